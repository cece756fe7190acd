"""Fuzzing of every parser: `python -m tests.fuzz --help`.

A target makes inputs and says what has to hold for each of them; see runner.py. The targets
lie by what they feed:

    wire.py      the event socket: what comes, and what we send
    doors.py     AudioSocket, FastAGI, WebSocket, a browser's messages
    entries.py   stream entries, turns, the frames of a speech process
    config.py    the bot's file, settings
    answers.py   what providers answer
    audio.py     WAV files, datagrams, endpointing, playback
    talk.py      spoken digits, sentences, the rules of conversation, the DTMF menu
"""
