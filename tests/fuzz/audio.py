"""Audio as it comes and goes: files, datagrams, windows, frames."""

from __future__ import annotations

import io
import socket
import struct
import tempfile
import wave
from pathlib import Path
from random import Random
from typing import Any

from eslbot.endpointing import Endpointer, Heard, SpeechEnded, SpeechStarted
from eslbot.media.unicast import MAX_DATAGRAM, PTIMES_MS, Unicast
from eslbot.playback import Playback, PlaybackFull
from eslbot.prompts import MAX_PROMPT_BYTES, read_wav
from eslbot.vad import WINDOW_BYTES, WINDOW_MS
from tests.fuzz.mutate import NUMBERS, mangled
from tests.fuzz.runner import Target

_folder = tempfile.TemporaryDirectory(prefix="eslbot-fuzz-")
_path = Path(_folder.name) / "prompt.wav"


# -- prompts


def _wav(rate: int, channels: int, width: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((channels, width, rate, 0, "NONE", ""))
        out.writeframes(bytes(range(240)))
    return file.getvalue()


_WAVS = [_wav(8000, 1, 2)] * 4 + [_wav(16000, 1, 2), _wav(8000, 2, 2), _wav(8000, 1, 1)]
_CHUNKS = (b"RIFF", b"RIFX", b"WAVE", b"fmt ", b"data", b"LIST\x04\0\0\0abcd", b"\xff\xff\xff\xff",
           b"\0\0\0\0", b"\x10\0\0\0", b"\x01\0\x01\0", b"\xfe\xff")  # fmt: skip


def _make_wav(dice: Random) -> bytes:
    raw = mangled(dice, dice.choice(_WAVS), _CHUNKS, 2)
    if dice.random() < 0.5 and len(raw) > 8:
        at = dice.randrange(min(len(raw) - 4, 44))
        raw = raw[:at] + struct.pack("<I", dice.choice(NUMBERS) % 2**32) + raw[at + 4 :]
    return raw


def _check_wav(raw: bytes) -> bool:
    _path.write_bytes(raw)
    try:
        pcm = read_wav(_path)
    except ValueError as error:
        assert str(error).startswith("prompt.wav: "), "the file is not named"
        assert len(str(error).splitlines()) == 1
        return False
    assert len(pcm) % 2 == 0, "half a sample"
    assert len(pcm) <= min(MAX_PROMPT_BYTES, len(raw))
    return True


# -- datagrams


def _make_datagrams(dice: Random) -> tuple[int, list[tuple[int, int]]]:
    """(rate, [(who sends, bytes)])."""
    rate = dice.choice((8000, 8000, 16000, 24000, 48000))
    frame = rate * 2 * dice.choice(PTIMES_MS) // 1000
    sizes = (frame, frame, frame, frame, 0, 1, frame + 1, frame - 2, 2 * frame, 9000, 60_000)
    return rate, [(int(dice.random() < 0.15), dice.choice(sizes)) for _ in range(dice.randrange(9))]


_senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
for _one in _senders:
    _one.bind(("127.0.0.1", 0))
    _one.setblocking(False)


def _check_datagrams(one: tuple[int, list[tuple[int, int]]]) -> bool:
    rate, datagrams = one
    frames = {rate * 2 * ms // 1000 for ms in PTIMES_MS}
    whole = range(0, MAX_DATAGRAM + 1, 2)
    port = Unicast("127.0.0.1", rate)
    owner: int | None = None
    try:
        for who, size in datagrams:
            _senders[who].sendto(bytes(size), port.address)
            audio = port.receive()  # loopback delivers before sendto returns
            if owner is None and size in frames:
                owner = who
            assert port.started == (owner is not None)
            if owner is None or who != owner or size % 2:
                assert not audio, "audio of somebody else, or none at all"
            if rate == 8000:
                assert audio == (bytes(size) if who == owner and size in whole else b"")
            assert len(audio) % 2 == 0 and len(audio) <= MAX_DATAGRAM
            if owner is not None:
                assert port.frame_bytes in {16 * ms for ms in PTIMES_MS}
                port.send(bytes(port.frame_bytes))
        assert port.received + port.refused <= len(datagrams)  # the kernel counts strangers'
    finally:
        port.close()
        replies = _replies()
    for who, size in replies:
        assert who == owner and size in frames, "to a stranger, or no frame"
    return owner is not None


def _replies() -> list[tuple[int, int]]:
    """(who, size) of what came back."""
    found = []
    for who, sender in enumerate(_senders):
        while True:
            try:
                found.append((who, len(sender.recv(65536))))
            except BlockingIOError:
                break
            except OSError:  # that the port is closed by now
                continue
    return found


# -- the caller's words


def _make_windows(dice: Random) -> tuple[dict[str, Any], list[tuple[int, float]]]:
    """(settings, [(min_speech_ms from here on, probability)])."""
    start = dice.choice((0.5, 0.8, 0.05))
    shape = {
        "start": start,
        "stop": dice.choice((start, start / 2, start * 0.7)),
        "min_speech_ms": 96,
        "silence_ms": dice.choice((100, 640)),
        "preroll_ms": dice.choice((0, 300, 1000)),
        "max_ms": dice.choice((2000, 5000)),
        "chunk_ms": dice.choice((20, 100, 500)),
        "gate_dbfs": dice.choice((None, -55)),
    }
    windows: list[tuple[int, float]] = []
    while len(windows) < 40 or dice.random() < 0.6:
        least = dice.choice((32, 96, 160, 640))
        level = dice.choice((0.0, start, start * 0.8, shape["stop"], dice.random(), 1.0))
        windows += [(least, level)] * dice.randrange(1, 12)
    if dice.random() < 0.05:
        windows += [(96, 1.0), (96, 0.0), *[(96, start * 0.8)] * 400]
    return shape, windows


def _check_windows(one: tuple[dict[str, Any], list[tuple[int, float]]]) -> bool:
    shape, windows = one
    pointer = Endpointer(**shape)
    speaking = False
    heard = b""
    started = 0
    longest = shape["preroll_ms"] + 640 + 4 * WINDOW_MS
    fed = b""
    for n, (least, probability) in enumerate(windows):
        pcm = struct.pack("<I", n) * (WINDOW_BYTES // 4)
        fed += pcm
        pointer.min_speech_ms = least
        events = pointer.window(pcm, probability)
        if pointer.soon:
            events += pointer.partial(pcm[: 2 * (n % 257)])
        for event in events:
            assert isinstance(event, SpeechStarted) != speaking, "out of order"
            if isinstance(event, SpeechStarted):
                speaking, heard = True, event.pcm
                started += 1
                assert len(heard) <= longest * 16, "more from before the speech than is kept"
            elif isinstance(event, Heard):
                heard += event.pcm
            elif isinstance(event, SpeechEnded):
                speaking = False
                assert heard and fed.endswith(heard), "not the last of what came"
                assert len(heard) <= (shape["max_ms"] + longest) * 16, "never cut"
        assert speaking == pointer.in_speech
        held = sum(map(len, (*pointer._preroll, *pointer._onset))) + len(pointer._chunk)
        assert held <= (longest + 512) * 16, "it keeps more and more"
    return started > 0


# -- the bot's words


def _make_playback(dice: Random) -> tuple[int, int, list[tuple[str, int]]]:
    """(frame bytes, lead, what is done: (name, bytes or milliseconds))."""
    steps: list[tuple[str, int]] = []
    for _ in range(dice.randrange(1, 25)):
        name = dice.choice(("sentence", "feed", "feed", "complete", "say", "due", "due", "silence",
                            "stop", "begin", "frame"))  # fmt: skip
        size = {"due": 200, "silence": 200, "frame": 3}.get(name, 3000)
        steps.append((name, dice.randrange(size)))
    return dice.choice((160, 320, 480)), dice.choice((1, 3, 10)), steps


def _check_playback(one: tuple[int, int, list[tuple[str, int]]]) -> bool:
    frame_bytes, lead, steps = one
    playback = Playback(frame_bytes, lead, 0.5)
    now = 1000.0
    open_sentence = False
    fed = sent = said = 0
    for name, size in steps:
        if name in ("due", "silence"):
            now += size / 1000
            frames = playback.due(now) if name == "due" else playback.silence(now)
            assert all(len(frame) == playback.frame_bytes for frame in frames)
            if name == "due":
                assert len(frames) <= lead + 1
                sent += sum(len(frame) - frame.count(0) for frame in frames)
            else:
                assert len(frames) <= 0.2 / playback._frame_s + 1, "a burst"
            assert playback.drained_at() - now <= (lead + 1) * 0.06
        elif name == "sentence" or name == "say":
            if open_sentence:
                playback.complete()
            playback.sentence("one two three")
            open_sentence, said = True, said + 1
        if name in ("feed", "say") and open_sentence:
            try:
                playback.feed(b"\1" * size)
                fed += size
            except PlaybackFull:
                assert playback.seconds_left + size / 16000 > 0.5
        if name in ("complete", "say"):
            playback.complete()
            open_sentence = False
        if name == "stop":
            words = playback.stop(now).split()
            assert set(words) <= {"one", "two", "three"} and len(words) <= 3 * said
            assert playback.idle and playback.seconds_left == 0.0
            open_sentence, fed, sent, said = False, 0, 0, 0
        if name == "begin":
            playback.begin()
        if name == "frame":
            playback.frame_bytes = (160, 320, 480)[size]
        assert 0 <= playback.seconds_left <= 0.5
        assert fed - sent == round(playback.seconds_left * 16000), "audio lost or doubled"
    return True


TARGETS = [
    Target(
        "prompt-wav",
        "whole samples within their bound, or ValueError that names the file",
        _make_wav,
        _check_wav,
    ),
    Target(
        "unicast",
        "audio of the first who sends a frame alone, in whole samples; frames to nobody else",
        _make_datagrams,
        _check_datagrams,
    ),
    Target(
        "endpointing",
        "speech starts and ends in turn, is what came last, and nothing grows",
        _make_windows,
        _check_windows,
    ),
    Target(
        "playback",
        "whole frames, every byte once, never more ahead than the lead",
        _make_playback,
        _check_playback,
    ),
]
