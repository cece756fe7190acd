"""The stand-in switch's frames, levels and clock, by themselves; and what the kernel drops."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import numpy as np
import pytest

from eslbot.loadtest.processes import UdpDrops, cost
from eslbot.switch.clock import MAX_LATE_MS, Clock, Lateness
from eslbot.switch.media import Frames, Media
from eslbot.switch.recording import SETTLE, Recording
from tests.house import until

SPEECH = (3000 * np.sin(np.arange(160))).astype("<i2").tobytes()
SILENCE = bytes(320)


@pytest.fixture
def bot() -> Iterator[socket.socket]:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("127.0.0.1", 0))
    one.settimeout(5)
    yield one
    one.close()


def unicast(bot: socket.socket, frames: Frames) -> tuple[Media, tuple[str, int]]:
    media = Media("127.0.0.1", bot.getsockname(), 320, frames)
    media.send(SPEECH)
    return media, bot.recvfrom(4096)[1]


def heard(media: Media, bot: socket.socket, to: tuple[str, int], frame: bytes) -> None:
    """The frame is sent and taken; over loopback it is there when sendto() returns."""
    bot.sendto(frame, to)
    assert media.take() == frame


def test_a_tick_without_a_frame_is_a_hole_only_within_speech(bot: socket.socket):
    frames = Frames()
    media, to = unicast(bot, frames)
    assert media.take() == b""
    assert frames.missing == 0  # the bot has not begun
    heard(media, bot, to, SILENCE)
    media.take()
    heard(media, bot, to, SPEECH)
    assert (frames.missing, frames.holes) == (1, 0)
    media.take()
    media.take()
    heard(media, bot, to, SPEECH)
    assert (frames.missing, frames.holes) == (3, 2)
    media.take()
    heard(media, bot, to, SILENCE)
    assert (frames.missing, frames.holes) == (4, 2)  # it had finished
    assert (frames.sent, frames.received) == (1, 4)
    media.close()


def test_levels_are_known_with_and_without_the_audio():
    for keep in (True, False):
        recording = Recording(8000, 20, keep)
        for n in range(SETTLE * 3):
            recording.tick(b"", SPEECH if 70 <= n < 90 else SILENCE)
        assert recording.ticks == SETTLE * 3
        assert recording.first_heard("bot") == 70
        assert recording.last_heard("bot") == 89
        assert recording.first_heard("bot", 90) is recording.last_heard("caller") is None
        assert np.flatnonzero(recording.audible("bot", 60)).tolist() == list(range(10, 30))
        assert recording.quiet_s("bot") == pytest.approx(60 * 0.02)
        assert recording.quiet_s("caller") == pytest.approx(150 * 0.02)
    assert Recording(8000, 20).bot().size == 0
    with pytest.raises(ValueError, match="keeps no audio"):
        recording.bot()


def test_one_channels_defect_does_not_stop_the_clock_of_the_others():
    clock = Clock()
    ticked: list[str] = []

    def broken() -> bool:
        ticked.append("broken")
        raise RuntimeError

    def finite() -> bool:
        ticked.append("finite")
        return ticked.count("finite") < 3

    clock.add(0.01, broken)
    clock.add(0.01, finite)
    until(lambda: ticked.count("finite") == 3, 5)
    assert ticked.count("broken") == 1 and ticked.count("finite") == 3
    clock.add(0.01, finite)  # it starts again after all were over
    until(lambda: ticked.count("finite") == 4, 5)
    assert sum(clock.lateness.counts) == len(ticked)


def test_lateness_is_counted_in_milliseconds_and_bounded():
    lateness = Lateness()
    for late_s in (0.0, 0.0205, -1.0, 7.0):
        lateness.add(late_s)
    assert lateness.counts[0] == 2 and lateness.counts[20] == 1
    assert lateness.counts[MAX_LATE_MS] == 1


def test_what_the_kernel_drops_at_a_socket_is_seen(bot: socket.socket):
    drops = UdpDrops(os.getpid())
    drops.look()
    before = drops.total
    bot.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(500):
        sender.sendto(SPEECH, bot.getsockname())
    drops.look()
    assert 0 < drops.total - before < 500
    sender.close()


def test_the_cost_of_a_process_that_is_gone_is_unknown():
    assert cost(2**22 + 1) is None
    own = cost(os.getpid())
    assert own is not None and own.cpu_s > 0 and own.rss > 1e6
