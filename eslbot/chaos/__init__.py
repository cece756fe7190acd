"""Faults, made on purpose: a matrix of them against a house of our own, and a share of live calls."""
