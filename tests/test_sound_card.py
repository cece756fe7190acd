"""`eslbot talk --microphone`, with programs in the place of a sound card's."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event

from eslbot.sound_card import NoSoundCard, SoundCard
from eslbot.switch.recording import Recording
from tests.house import until

FRAME = bytes(range(160)) * 2
# A frame that can be told from silence, and then silence for ever, 20 ms each 20 ms.
MICROPHONE = f"""#!{sys.executable}
import sys, time
frame = bytes(range(160)) * 2
while True:
    sys.stdout.buffer.write(frame)
    sys.stdout.buffer.flush()
    frame = bytes(320)
    time.sleep(0.02)
"""


class Call:
    """What a sound card sees of a call."""

    def __init__(self) -> None:
        self.recording = Recording(8000, 20)
        self.closed = Event()
        self.said = b""
        self.saying = False

    def say(self, pcm: bytes) -> None:
        self.said += pcm


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which programs are looked for."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("names", [("parec", "pacat"), ("arecord", "aplay")])
def test_both_sides_are_carried(programs: Path, names: tuple[str, str]):
    heard = programs / "heard.raw"
    program(programs / names[0], MICROPHONE)
    program(programs / names[1], f"#!/bin/sh\nexec /bin/cat > {heard}\n")
    call: Any = Call()
    call.recording.tick(b"", b"before\0\0")  # is over when the card comes
    with SoundCard() as card:
        carrying = gevent.spawn(card.carry, call)
        until(lambda: call.said.startswith(FRAME), 60, "the microphone is heard")
        call.recording.tick(b"", FRAME)
        call.recording.tick(b"", FRAME[::-1])
        until(lambda: heard.exists() and heard.stat().st_size >= 640, 60, "it is played")
        call.closed.set()
        carrying.get(timeout=60)
    assert heard.read_bytes() == FRAME + FRAME[::-1]
    for one in (card._microphone, card._loudspeaker):
        assert one.poll() is not None, "left behind"


def test_without_the_programs_it_says_what_to_install(programs: Path):
    program(programs / "parec", MICROPHONE)  # and no pacat
    with pytest.raises(NoSoundCard, match=r"pulseaudio-utils.*alsa-utils"):
        SoundCard()


def test_a_device_that_is_not_there_is_told_in_its_own_words(programs: Path):
    program(programs / "parec", "#!/bin/sh\necho 'Connection refused' >&2\nexit 1\n")
    program(programs / "pacat", "#!/bin/sh\nexec /bin/cat > /dev/null\n")
    call: Any = Call()
    told = r"^parec ended: Connection refused$"
    with SoundCard() as card, pytest.raises(NoSoundCard, match=told), gevent.Timeout(60):
        card.carry(call)
