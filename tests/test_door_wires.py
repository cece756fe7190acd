"""What a door's other side may send, parser by parser."""

from __future__ import annotations

import json
import uuid as uuids

import gevent
import pytest
from gevent import socket

from eslbot.doors import agi, audiosocket_wire, browser_protocol
from eslbot.doors.audiosocket import KEEP_S, MAX_KEPT, Kept
from eslbot.doors.audiosocket_wire import Digit, End, Parser, Sound, Uuid, WireError
from eslbot.doors.modules import MODULES, ModulePort
from eslbot.doors.outflow import MAX_SOUND, Outflow
from eslbot.media.stream import AHEAD_S, StreamPort
from tests.house import until

TOKEN = "a-token-of-the-tests"
UUID = "639c7676-e4ad-40ba-8fa8-737a69f4b5d3"
NAMED = b"\x01\x00\x10" + uuids.UUID(UUID).bytes


# -- AudioSocket's frames


def frames(*pieces: bytes) -> list[audiosocket_wire.Frame]:
    parser = Parser()
    found = []
    for piece in pieces:
        parser.receive_data(piece)
        while (frame := parser.next_frame()) is not None:
            found.append(frame)
    return found


def test_a_call_as_asterisk_sends_it_whole_and_byte_by_byte():
    wire = NAMED + b"\x10\x01\x40" + bytes(320) + b"\x10\x00\x06abcdef" + b"\x03\x00\x015"
    wire += b"\x12\x00\x02ab" + b"\x00\x00\x00"
    expected = [Uuid(UUID), Sound(8000, bytes(320)), Sound(8000, b"abcdef"), Digit("5"),
                Sound(16000, b"ab"), End()]  # fmt: skip
    assert frames(wire) == expected
    assert frames(*(bytes([byte]) for byte in wire)) == expected


@pytest.mark.parametrize(
    ("wire", "cause"),
    [
        (b"\x10\x01\x40" + bytes(320), "the first frame is no UUID"),
        (b"GET / HTTP/1.1\r\n\r\n", "the first frame is no UUID"),
        (b"\x01\x00\x0f" + bytes(15), "not 16 bytes"),
        (NAMED + NAMED, "a second UUID"),
        (NAMED + b"\x10\xff\xff", "more than 24000"),
        (NAMED + b"\x10\x00\x03abc", "half a sample"),
        (NAMED + b"\x03\x00\x01x", "a key that is none"),
        (NAMED + b"\x03\x00\x0212", "a key that is none"),
        (NAMED + b"\x03\x00\x00", "a key that is none"),
        (NAMED + b"\x42\x00\x00", "no known kind"),
    ],
)
def test_what_is_not_audiosocket_is_named(wire: bytes, cause: str):
    with pytest.raises(WireError, match=cause):
        frames(wire)


def test_we_make_only_frames_that_asterisk_takes():
    assert audiosocket_wire.sound(bytes(320)) == b"\x10\x01\x40" + bytes(320)
    assert audiosocket_wire.end() == b"\x00\x00\x00"


# -- FastAGI


def request(*lines: str) -> bytes:
    return "\n".join(["agi_network: yes", *lines]).encode()


def test_what_a_dialplan_knows_and_asks():
    found = agi.parse(request("agi_network_script: begin", f"agi_arg_1: {UUID}",
                              "agi_arg_2: ai_account=4271", "agi_arg_3: ai_intent="))  # fmt: skip
    assert (found.what, found.uuid) == ("begin", UUID)
    assert dict(found.variables) == {"ai_account": "4271"}


@pytest.mark.parametrize(
    "lines",
    [
        ("agi_network_script: other", f"agi_arg_1: {UUID}"),
        ("agi_network_script: end",),
        ("agi_network_script: end", "agi_arg_1: me"),
        ("agi_network_script: begin", f"agi_arg_1: {UUID}", "agi_arg_2: PATH=/"),
        ("agi_network_script: begin", f"agi_arg_1: {UUID}", "agi_arg_2: ai_x"),
        tuple(f"x{n}: y" for n in range(300)),
    ],
)
def test_what_our_dialplan_would_not_ask_is_refused(lines: tuple[str, ...]):
    with pytest.raises(agi.AgiError):
        agi.parse(request(*lines))


def test_a_value_ends_no_command():
    line = agi.set_variable("ai_street", 'Main "St" \\ 5\nEXEC System "x"')
    assert line.count(b"\n") == 1
    assert line.count(b'"') == 2
    with pytest.raises(agi.AgiError):
        agi.set_variable('x" y', "1")


def test_what_is_kept_for_a_dialplan_is_given_once_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
):
    now = 100.0
    monkeypatch.setattr("eslbot.doors.audiosocket.time.monotonic", lambda: now)
    kept = Kept()
    kept.put("a", {"x": "1"})
    assert kept.take("a") == {"x": "1"}
    assert kept.take("a") is None
    kept.put("b", {})
    assert kept.fresh(1.0)
    now += KEEP_S + 1
    assert not kept.fresh(1.0)
    assert kept.take("b") is None
    for number in range(MAX_KEPT + 5):
        kept.put(str(number), {})
    assert kept.take("4") is None
    assert kept.take("5") == {}


# -- the browser's messages


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("{", "not JSON"),
        ("[" * 5000, "not JSON"),
        ("[]", "not a JSON object"),
        ('{"type":"x"}', "type is none of"),
        ('{"type":"start","rate":44100}', "rate is none of 8000"),
        ('{"type":"start","rate":true}', "rate is none"),
        ('{"type":"start","rate":8000,"from":7}', "from is no text"),
        ('{"type":"start","rate":8000,"from":"a\\u001b"}', "not printable"),
        ('{"type":"start","rate":8000,"variables":{"PATH":"x"}}', "not ai_"),
        ('{"type":"start","rate":8000,"variables":{"ai_x":"${y}"}}', "no plain text"),
        ('{"type":"key","digit":"12"}', "digit is none"),
        ('{"type":"key"}', "digit is none"),
        ('{"type":"ping","t":NaN}', "not JSON"),
        ('{"type":"ping","t":1e999}', "no number"),
        ('{"type":"network","delay_ms":-1}', "not from 0"),
        (" " * 9000, "more than 8192"),
    ],
)
def test_a_wrong_message_is_named_without_what_it_says(message: str, cause: str):
    with pytest.raises(browser_protocol.ProtocolError, match=cause):
        browser_protocol.parse(message)


# -- sound over a stream


class Stopwatch:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_pause_becomes_silence_of_the_same_length():
    watch = Stopwatch()
    port = StreamPort(8000, lambda frame: None, clock=watch)
    port.feed(b"\1\0" * 160)
    assert port.receive() == b"\1\0" * 160
    silence = 0
    for _ in range(100):
        watch.now += 0.02
        silence += len(port.receive())
    assert 1.6 <= silence / 16000 <= 1.72


def test_who_sends_faster_than_time_passes_is_cut():
    watch = Stopwatch()
    port = StreamPort(8000, lambda frame: None, clock=watch)
    for _ in range(1000):
        port.feed(b"\1\0" * 160)
    kept = len(port.receive())
    assert AHEAD_S * 16000 - 4 <= kept <= AHEAD_S * 16000
    assert port.dropped_bytes == 320_000 - kept
    watch.now += 1.0
    port.feed(b"\1\0" * 160)
    assert len(port.receive()) == 320


@pytest.mark.parametrize("rate", [16000, 48000])
def test_at_another_rate_whole_frames_go_out(rate: int):
    sent: list[bytes] = []
    port = StreamPort(rate, sent.append)
    for _ in range(50):
        port.send(bytes(320))
    assert {len(frame) for frame in sent} == {rate // 25}
    assert 40 <= len(sent) <= 50
    port.feed(bytes(rate * 2 // 2))
    assert abs(len(port.receive()) - 8000) < 3000


def test_of_files_that_were_asked_for_before_an_interruption_none_is_played():
    texts: list[str] = []

    class Wire:
        def send_text(self, text: str) -> None:
            texts.append(text)

        def clear_sound(self) -> None:
            """Nothing."""

    breaks: list[int] = []
    port = ModulePort(MODULES["stream"], False, lambda: breaks.append(1))
    port.join(Wire())  # type: ignore[arg-type]
    for _ in range(60):
        port.send(b"\1\0" * 160)
    port.receive()
    port.receive()
    assert [len(json.loads(t)["data"]["audioData"]) * 3 // 4 for t in texts] == [8001, 8001, 3201]
    assert port.reported()
    port.clear()
    assert breaks == [1]
    assert not port.reported()
    assert not port.reported()
    port.send(b"\1\0" * 160)
    port.receive()
    port.receive()
    assert port.reported()


# -- a writer whose other side takes nothing


def test_sound_that_nobody_takes_is_dropped_and_the_connection_ends(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("eslbot.doors.outflow.STALL_S", 0.3)
    ours, theirs = socket.socketpair()
    lost: list[str] = []
    out = Outflow(ours, lost.append)
    for _ in range(5000):
        out.sound(bytes(1920))
        gevent.sleep(0)
    assert out.dropped > 1000
    assert len(out._waiting) <= MAX_SOUND
    until(lambda: lost, 10, "it is noticed")
    assert lost == ["it takes nothing"]
    theirs.close()
