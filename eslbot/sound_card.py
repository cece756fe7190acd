"""The machine's own microphone and loudspeaker, through the programs that everybody has for them.

    parec or arecord ──▶ a call's caller        the bot's side ──▶ pacat or aplay

L16 mono at 8000 Hz both ways. Nothing here waits for a device: what it does not give is silence,
and what it does not take is dropped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from types import TracebackType

import gevent

from eslbot.switch.channel import Channel

_PULSE = ["--raw", "--format=s16le", "--rate=8000", "--channels=1", "--latency-msec=40"]
_ALSA = ["-q", "-t", "raw", "-f", "S16_LE", "-r", "8000", "-c", "1"]
# The first pair that is installed: who hears, who speaks.
PROGRAMS = (
    (["parec", *_PULSE], ["pacat", "--playback", *_PULSE]),
    (["arecord", *_ALSA], ["aplay", "--buffer-time=120000", *_ALSA]),
)
LOOK_S = 0.02
# 200 ms; a device that gives more at once is behind, and catches up. A pipe takes so much whole or
# not at all (PIPE_BUF), never half a sample.
MAX_BYTES = 3200
ENDS_WITHIN_S = 2.0


class NoSoundCard(Exception):
    """There is none, or it ended; str() says what to do about it."""


class SoundCard:
    """Both programs, as long as the context lasts. Raises NoSoundCard."""

    def __init__(self) -> None:
        found = [pair for pair in PROGRAMS if all(shutil.which(program[0]) for program in pair)]
        if not found:
            raise NoSoundCard("neither parec and pacat (pulseaudio-utils) nor arecord and aplay "
                              "(alsa-utils) are installed")  # fmt: skip
        microphone, loudspeaker = found[0]
        self._microphone = subprocess.Popen(  # noqa: S603
            microphone, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._loudspeaker = subprocess.Popen(  # noqa: S603
            loudspeaker, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert self._microphone.stdout and self._loudspeaker.stdin
        self._in, self._out = self._microphone.stdout.fileno(), self._loudspeaker.stdin.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)

    def __enter__(self) -> SoundCard:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for one in (self._microphone, self._loudspeaker):
            one.terminate()
        for one in (self._microphone, self._loudspeaker):
            try:
                one.wait(ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()
            for pipe in (one.stdin, one.stdout, one.stderr):
                if pipe:
                    with contextlib.suppress(OSError):
                        pipe.close()

    def carry(self, call: Channel) -> None:
        """Both ways, until the call is over. Raises NoSoundCard where a program ends before."""
        heard = call.recording.ticks
        while not call.closed.is_set():
            self._alive()
            with contextlib.suppress(BlockingIOError):
                spoken = os.read(self._in, MAX_BYTES)
                if not call.saying or len(spoken) < MAX_BYTES:
                    call.say(spoken)
            sound = call.recording.since("bot", heard)
            heard = call.recording.ticks
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(self._out, sound[-MAX_BYTES:])
            gevent.sleep(LOOK_S)

    def _alive(self) -> None:
        for one in (self._microphone, self._loudspeaker):
            if one.poll() is not None:
                assert one.stderr
                told = one.stderr.read(300).decode("utf-8", "replace").strip().splitlines()
                name = one.args[0] if isinstance(one.args, list) else one.args
                raise NoSoundCard(f"{name!s} ended: {told[0] if told else one.returncode}")
