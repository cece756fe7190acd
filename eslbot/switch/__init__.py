"""A stand-in for FreeSWITCH: dials a listener as the real one does, traps included.

For a first call without any switch, for load, and for the tests; held to captures of a real one.
"""
