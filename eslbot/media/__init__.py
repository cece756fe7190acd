"""Frames in, frames out, nothing else: one file per way a call's audio reaches us."""
