"""Scripted callers against the whole running system: `eslbot eval SCENARIO...`.

scenario.py   what is said, keyed and expected: a YAML file's model
speech.py     the caller's audio: synthesised, recorded, with noise
caller.py     goes through one scenario on a call of the stand-in switch
seen.py       what the call's log and channel tell of a step
verdict.py    whether what was seen is what was expected
told.py       table, summary, JSON, JUnit
"""
