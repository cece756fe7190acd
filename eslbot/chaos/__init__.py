"""Faults, made on purpose: against a house of our own, and in a share of live calls."""
