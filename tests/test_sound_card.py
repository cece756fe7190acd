"""`eslbot talk --microphone`, with programs in the place of a sound card's."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.house import RECORDINGS, ROOT, House, until

# Silence for as long as the greeting lasts, the question, and silence: 20 ms each 20 ms.
MICROPHONE = f"""#!{sys.executable}
import sys, time, wave
with wave.open({str(RECORDINGS / "hours.wav")!r}) as file:
    question = file.readframes(file.getnframes())
sound, due = bytes(6 * 16000) + question, time.monotonic()
while True:
    frame, sound = sound[:320].ljust(320, b"\\0"), sound[320:]
    sys.stdout.buffer.write(frame)
    sys.stdout.buffer.flush()
    due += 0.02
    time.sleep(max(0.0, due - time.monotonic()))
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    one = House(tmp_path_factory.mktemp("house"), tmp_path_factory.mktemp("state"),
                ESLBOT_NO_INPUT_MS="60000")  # fmt: skip
    one.start_all()
    yield one
    one.stop()


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def talk(house: House, programs: Path) -> subprocess.Popen[str]:
    environ = house.environ | {"PATH": str(programs)}
    return subprocess.Popen(
        [sys.executable, "-m", "eslbot", "talk", "--microphone"], cwd=ROOT, env=environ,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_what_is_spoken_is_answered_aloud(house: House, tmp_path: Path):
    heard = tmp_path / "heard.raw"
    program(tmp_path / "parec", MICROPHONE)
    program(tmp_path / "pacat", f"#!/bin/sh\nexec /bin/cat > {heard}\n")
    done = talk(house, tmp_path)
    assert done.stdout and done.stdin
    told = ""
    for line in done.stdout:
        told += line
        if "turn" in line and "We are open" in told:
            break
    done.stdin.close()  # Ctrl-D
    told += done.stdout.read()
    assert done.wait(60) == 0
    assert "heard    'when are you open'" in told
    assert told.endswith("hung up\n")
    # Greeting and answer came out of the loudspeaker: ten seconds, some of them between the words.
    loud = np.abs(np.frombuffer(heard.read_bytes()[: heard.stat().st_size // 2 * 2], "<i2")) > 500
    assert loud.reshape(-1)[: len(loud) // 160 * 160].reshape(-1, 160).any(axis=1).sum() * 0.02 > 5


def test_a_microphone_that_is_not_there_is_told(house: House, tmp_path: Path):
    done = talk(house, tmp_path)
    assert "neither parec and pacat" in done.communicate(timeout=60)[1]
    assert done.returncode == 2
    program(tmp_path / "parec", "#!/bin/sh\necho 'Connection refused' >&2\nexit 1\n")
    program(tmp_path / "pacat", "#!/bin/sh\nexec /bin/cat > /dev/null\n")
    done = talk(house, tmp_path)
    began = time.monotonic()
    until(lambda: done.poll() is not None or time.monotonic() - began > 60, 90)
    assert done.communicate()[1] == "eslbot talk: parec ended: Connection refused\n"
    assert done.returncode == 2
