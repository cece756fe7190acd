"""Audio over unicast, on real UDP: frames of any ptime and rate, and what must not come through."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import numpy as np
import pytest

from eslbot.media.unicast import MAX_DRAIN, MediaError, Unicast
from tests.conftest import wait_until


class Peer:
    """FreeSWITCH's end."""

    def __init__(self, port: Unicast) -> None:
        self._to = port.address
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(5)

    def send(self, *datagrams: bytes) -> None:
        for datagram in datagrams:
            self.socket.sendto(datagram, self._to)


@pytest.fixture
def port() -> Iterator[Unicast]:
    one = Unicast("127.0.0.1", 8000)
    yield one
    one.close()


def tone(count: int, rate: int) -> bytes:
    return (8000 * np.sin(np.arange(count) * 2 * np.pi * 440 / rate)).astype("<i2").tobytes()


def received(port: Unicast, size: int) -> bytes:
    """All audio up to at least size bytes."""
    audio = b""

    def more() -> bool:
        nonlocal audio
        audio += port.receive()
        return len(audio) >= size

    wait_until(more, 5)
    return audio


@pytest.mark.parametrize("ptime_ms", [10, 20, 30, 40, 60])
def test_a_frame_comes_through_as_it_is_and_goes_back_in_one_datagram(port, ptime_ms):
    peer = Peer(port)
    frame = tone(8 * ptime_ms, 8000)
    peer.send(frame, frame)
    assert received(port, 2 * len(frame)) == frame * 2
    assert port.started
    assert port.frame_bytes == 16 * ptime_ms
    port.send(frame)
    assert peer.socket.recv(65536) == frame


def test_the_longest_frame_there_is_comes_through():
    port = Unicast("127.0.0.1", 48000)
    peer = Peer(port)
    for _ in range(5):  # the filter keeps the last of it
        peer.send(tone(48 * 60, 48000))
    received(port, 960)
    assert port.frame_bytes == 960
    assert port.refused == 0
    port.close()


def test_a_datagram_longer_than_any_frame_is_refused_not_cut(port):
    peer = Peer(port)
    frame = b"\x01\x02" * 160
    peer.send(frame, b"\x7f\x7f" * 4096, frame)
    assert received(port, 640) == frame * 2
    assert port.refused == 1


def test_nothing_is_sent_before_the_switch_has_shown_where_it_is(port):
    port.send(b"\0" * 320)
    assert port.sent == 0
    assert not port.started


def test_wideband_audio_becomes_8_khz_and_goes_back_wide():
    port = Unicast("127.0.0.1", 16000)
    peer = Peer(port)
    wide = tone(16000, 16000)
    audio = b""
    for n in range(0, len(wide), 640):
        before = port.received
        peer.send(wide[n : n + 640])
        while port.received == before:
            audio += port.receive()
    samples = np.frombuffer(audio, "<i2").astype(float)
    assert 6500 <= samples.size <= 8000  # the filter keeps the last of it
    peak = int(np.argmax(np.abs(np.fft.rfft(samples)))) * 8000 / samples.size
    assert peak == pytest.approx(440, abs=5)
    assert port.frame_bytes == 320
    for _ in range(20):
        port.send(tone(160, 8000))
    assert port.sent > 0
    assert {len(peer.socket.recv(65536)) for _ in range(port.sent)} == {640}
    port.close()


def test_only_the_switch_is_listened_to(port):
    peer, stranger = Peer(port), Peer(port)
    peer.send(b"\x01\x02" * 160)
    received(port, 320)
    stranger.send(b"\x7f\x7f" * 160)
    peer.send(b"\x03\x04" * 160)
    assert received(port, 320) == b"\x03\x04" * 160
    assert port.received == 2


def test_what_a_stranger_sent_before_the_switch_was_known_is_not_heard(port):
    peer, stranger = Peer(port), Peer(port)
    peer.send(b"\x01\x02" * 160)
    stranger.send(b"\x7f\x7f" * 160)
    peer.send(b"\x03\x04" * 160)
    assert received(port, 640) == b"\x01\x02" * 160 + b"\x03\x04" * 160
    assert port.refused == 1


@pytest.mark.parametrize("junk", [b"", b"x", b"\0" * 321, b"\0" * 100, b"\0" * 4000])
def test_what_is_no_frame_does_not_make_its_sender_the_switch(port, junk):
    stranger, peer = Peer(port), Peer(port)
    stranger.send(junk)
    peer.send(b"\x01\x02" * 160)
    assert received(port, 320) == b"\x01\x02" * 160
    port.send(b"\x05\x06" * 160)
    assert peer.socket.recv(65536) == b"\x05\x06" * 160


def test_a_flood_is_taken_in_bounded_portions(port):
    peer = Peer(port)
    peer.send(b"\0" * 320)
    received(port, 320)
    peer.send(*[b"\0" * 320] * 200)
    assert len(port.receive()) <= MAX_DRAIN * 320


@pytest.mark.parametrize("rate", [0, 11025, 44100, -8000])
def test_a_rate_that_no_codec_has_is_refused(rate):
    with pytest.raises(MediaError):
        Unicast("127.0.0.1", rate)


def test_an_address_that_is_not_ours_is_refused_by_name():
    with pytest.raises(MediaError, match=r"192\.0\.2\.1"):
        Unicast("192.0.2.1", 8000)
