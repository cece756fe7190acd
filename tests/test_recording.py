"""A call's recording: both sides in step, whole whatever dies, sealed, never in a call's way."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from eslbot.media.recording import (
    BLOCK_BYTES,
    MAX_QUEUED,
    RATE,
    Recording,
    RecordingError,
    Tap,
    Writer,
    read,
)
from tests.house import ROOT, until

KEY = b"k" * 32


def tone(value: int, seconds: float) -> bytes:
    return np.full(int(seconds * RATE), value, "<i2").tobytes()


def sides(wav: bytes) -> tuple[np.ndarray, np.ndarray]:
    with wave.open(io.BytesIO(wav)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, RATE)
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    return both[:, 0], both[:, 1]


def play(tap: Tap, left: bytes, right: bytes) -> None:
    """In frames of 20 ms, as the clock does."""
    for at in range(0, max(len(left), len(right)), 320):
        tap.heard(left[at : at + 320])
        tap.said(right[at : at + 320])


@pytest.mark.parametrize("key", [None, KEY])
def test_the_caller_is_left_and_the_bot_right(tmp_path: Path, key: bytes | None):
    writer = Writer()
    one = Recording(writer, tmp_path / "recordings", key, 60)
    play(one.tap, tone(100, 3.5), tone(-200, 3.5))
    one.end()
    one.end()
    path = tmp_path / "recordings" / one.name
    until(lambda: path.exists() and len(read(path, [KEY])) == 44 + 4 * int(3.5 * RATE), 10, "it")
    left, right = sides(read(path, [b"x" * 32, KEY]))
    assert set(left) == {100} and set(right) == {-200}
    assert path.stat().st_mode & 0o777 == 0o600
    if key:
        assert tone(100, 0.01) not in path.read_bytes()
        with pytest.raises(RecordingError, match="no key"):
            read(path, [b"y" * 32])
    writer.stop(1)


def test_while_a_secret_is_asked_for_there_is_silence_and_the_time_goes_on():
    blocks: list[bytes] = []
    tap = Tap(blocks.append, 60)
    play(tap, tone(1, 1), tone(2, 1))
    tap.paused = True
    play(tap, tone(1, 2), tone(2, 2))
    tap.paused = False
    play(tap, tone(1, 1), tone(2, 1))
    tap.end()
    both = np.frombuffer(b"".join(blocks), "<i2").reshape(-1, 2)
    assert len(both) == 4 * RATE
    assert set(both[:RATE, 0]) == {1} and set(both[RATE : 3 * RATE].ravel()) == {0}
    assert set(both[3 * RATE :, 1]) == {2}


def test_a_side_that_stands_still_is_filled_with_silence():
    blocks: list[bytes] = []
    tap = Tap(blocks.append, 60)
    play(tap, b"", tone(5, 5))
    play(tap, tone(7, 1), tone(5, 1))
    tap.end()
    both = np.frombuffer(b"".join(blocks), "<i2").reshape(-1, 2)
    assert len(both) == 6 * RATE
    late = np.flatnonzero(both[:, 0] == 7)
    assert abs(late[0] - 5 * RATE) <= RATE and set(both[:, 1]) == {5}


def test_no_more_than_the_bound_is_kept():
    blocks: list[bytes] = []
    tap = Tap(blocks.append, 2)
    play(tap, tone(1, 10), tone(2, 10))
    tap.end()
    assert sum(map(len, blocks)) == 2 * BLOCK_BYTES * 2
    assert len(tap._left) + len(tap._right) <= 2 * BLOCK_BYTES


def test_a_disk_that_takes_nothing_ends_the_recording_alone(tmp_path: Path, caplog):
    (tmp_path / "file").write_text("no folder")
    writer = Writer()
    bad = Recording(writer, tmp_path / "file", None, 60)
    good = Recording(writer, tmp_path / "recordings", None, 60)
    play(bad.tap, tone(1, 2), tone(1, 2))
    play(good.tap, tone(1, 2), tone(1, 2))
    until(lambda: bad.failed, 10, "it is noticed")
    play(bad.tap, tone(1, 2), tone(1, 2))
    bad.end()
    good.end()
    path = tmp_path / "recordings" / good.name
    until(lambda: path.exists() and path.stat().st_size == 44 + 2 * RATE * 4, 10, "the other")
    assert not good.failed and caplog.text.count("ends early") == 1
    writer.stop(1)


def test_a_full_disk_ends_it(tmp_path: Path):
    """By the system's own limit on a file's size: a write fails in the middle."""
    code = (
        "import resource, signal, gevent\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from pathlib import Path\n"
        "from eslbot.media.recording import *\n"
        f"w = Writer(); r = Recording(w, Path({str(tmp_path)!r}), None, 60)\n"
        "for _ in range(500): r.tap.heard(bytes(320)); r.tap.said(bytes(320))\n"
        "w.stop(5); print(r.name, r.failed)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                         timeout=60, check=True)  # fmt: skip
    name, failed = run.stdout.split(" ", 1)
    assert failed.strip() == "File too large"
    sides(read(tmp_path / name, []))  # what is there can be heard


@pytest.mark.parametrize("key", [None, KEY])
def test_killed_in_the_middle_what_was_written_can_be_heard(tmp_path: Path, key: bytes | None):
    code = (
        "import gevent\nfrom pathlib import Path\nfrom eslbot.media.recording import *\n"
        f"w = Writer(); r = Recording(w, Path({str(tmp_path)!r}), {key!r}, 600)\n"
        "print(r.name, flush=True)\n"
        "while True:\n"
        "  for _ in range(50): r.tap.heard(bytes(320)); r.tap.said(b'\\1\\0' * 160)\n"
        "  gevent.sleep(0.001)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    path = tmp_path / process.stdout.readline().decode().strip()
    until(lambda: path.exists() and path.stat().st_size > 300_000, 30, "some of it")
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, right = sides(read(path, [KEY]))
    assert len(right) > 2 * RATE and set(right) == {1}


@pytest.mark.parametrize("change", ["flip", "swap", "drop"])
def test_a_sealed_recording_that_was_changed_is_refused(tmp_path: Path, change: str):
    writer = Writer()
    one = Recording(writer, tmp_path, KEY, 60)
    for value in range(3):
        play(one.tap, tone(value, 1), tone(value, 1))
    one.end()
    path = tmp_path / one.name
    until(lambda: path.exists() and path.stat().st_size > 3 * 4 * RATE, 10, "it is written")
    writer.stop(1)
    raw = bytearray(path.read_bytes())
    size = 4 + 12 + 16 + 4 * RATE
    first = len(raw) - 3 * size
    if change == "flip":
        raw[-1] ^= 1
    elif change == "swap":
        a, b = raw[first : first + size], raw[first + size : first + 2 * size]
        raw[first : first + 2 * size] = b + a
    else:
        del raw[first : first + size]
    path.write_bytes(raw)
    with pytest.raises(RecordingError):
        read(path, [KEY])


def test_a_writer_that_falls_behind_drops_recordings_and_waits_for_none(tmp_path: Path):
    writer = Writer()
    one = Recording(writer, tmp_path, None, 14_400)
    for _ in range(MAX_QUEUED + 5):
        writer.put(one, b"")
    play(one.tap, tone(1, 2), tone(1, 2))
    assert one.failed == "the disk does not keep up"
    writer.stop(0.1)
