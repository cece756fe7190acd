"""Measurements: the parts alone against floors, and the whole path against Pipecat."""
