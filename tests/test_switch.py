"""The stand-in switch is held to what a real FreeSWITCH was seen to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import gevent
import numpy as np
import pytest
from gevent import socket

from eslbot.esl import Message, Parser
from eslbot.switch.channel import Channel, Dialplan
from eslbot.switch.media import SOCKET_FRAMES
from tests.house import until

CAPTURES = Path(__file__).parent / "captures"
# Of a captured event, what the stand-in leaves out: variables that only appear within a call.
VOLATILE = ("variable_", "Caller-Transfer-Source", "Caller-RDNIS")


class Listener:
    """A listener that does what a test wants, on a real socket."""

    def __init__(self) -> None:
        self._server = socket.socket()
        self._server.bind(("127.0.0.1", 0))
        self._server.listen()
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.got: list[Message] = []
        self.parser = Parser()
        self.sock: socket.socket | None = None

    def accept(self) -> None:
        self.sock, _ = self._server.accept()
        gevent.spawn(self._read)

    def _read(self) -> None:
        while data := self._receive():
            self.parser.receive_data(data)
            while (message := self.parser.next_message()) is not None:
                self.got.append(message)

    def _receive(self) -> bytes:
        assert self.sock is not None
        try:
            data: bytes = self.sock.recv(65536)
        except OSError:
            return b""
        return data

    def send(self, text: str, replies: int = 1) -> Message:
        """A command; returns its reply."""
        assert self.sock is not None
        before = self.count
        self.sock.sendall(text.encode() + b"\n\n")
        until(lambda: self.count >= before + replies, 5, f"a reply to {text[:20]!r}")
        return [m for m in self.got if m.type in ("command/reply", "api/response")][-1]

    @property
    def count(self) -> int:
        return sum(m.type in ("command/reply", "api/response") for m in self.got)

    def events(self, name: str) -> list[dict[str, str]]:
        found = [m.event() for m in self.got if m.type == "text/event-plain"]
        return [dict(e) for e in found if e["Event-Name"] == name]

    def close(self) -> None:
        if self.sock:
            self.sock.close()
        self._server.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    one = Listener()
    yield one
    one.close()


def dialled(listener: Listener, **kind: object) -> Channel:
    plan = {k: kind.pop(k) for k in ("socket_resume", "watchdog_s") if k in kind}
    call = Channel(Dialplan([listener.address], **plan), **kind)  # type: ignore[arg-type]
    call.dial()
    listener.accept()
    return call


def captured(name: str) -> list[Message]:
    parser = Parser()
    parser.receive_data((CAPTURES / f"{name}.from_freeswitch.esl").read_bytes())
    found = []
    while (message := parser.next_message()) is not None:
        found.append(message)
    return found


def names(headers: object) -> set[str]:
    return {h for h in headers if not h.startswith(VOLATILE)}  # type: ignore[attr-defined]


def test_the_reply_to_connect_is_the_captured_one(listener: Listener):
    dialled(listener)
    reply = listener.send("connect")
    real = captured("unicast_dtmf_caller_hangs_up")[0]
    assert list(reply.headers) == list(real.headers)
    assert reply.reply == real.reply == "+OK"


def test_each_event_has_the_captured_ones_headers(listener: Listener):
    call = dialled(listener)
    for command in ("connect", "myevents", "linger 1"):
        listener.send(command)
    listener.send(
        "sendmsg\ncall-command: execute\nexecute-app-name: set\nexecute-app-arg: ai_intent=billing"
    )
    until(lambda: listener.events("CHANNEL_EXECUTE_COMPLETE"), 5)
    call.keys("4")
    call.hangup()
    until(lambda: listener.events("CHANNEL_HANGUP_COMPLETE"), 5)
    real: dict[str, set[str]] = {}
    for message in captured("playback_break_digits_transfer"):
        if message.type == "text/event-plain":
            event = message.event()
            real.setdefault(event["Event-Name"], names(event))
    for name in ("CHANNEL_EXECUTE", "CHANNEL_EXECUTE_COMPLETE", "DTMF", "CHANNEL_HANGUP",
                 "CHANNEL_HANGUP_COMPLETE"):  # fmt: skip
        ours = names(listener.events(name)[0])
        assert ours == real[name] - {"Caller-Transfer-Source", "Caller-RDNIS"}, name


def test_replies_to_the_captured_commands_are_the_captured_replies(listener: Listener):
    """Each command of a capture that can be replayed, in order."""
    call = dialled(listener)
    real = captured("playback_break_digits_transfer")
    replies = [m for m in real if m.type in ("command/reply", "api/response")]
    text = (CAPTURES / "playback_break_digits_transfer.to_freeswitch.esl").read_text()
    commands = [c for c in text.strip().split("\n\n") if c]
    assert len(commands) == len(replies)
    for command, expected in zip(commands, replies, strict=True):
        uuid = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", command) if "api" in command else None
        if uuid:
            command = command.replace(uuid.group(0), call.uuid)
        reply = listener.send(command)
        assert reply.type == expected.type, command
        if command.startswith(("bgapi", "connect")):
            assert reply.reply.startswith(expected.reply[:13])
        elif "uuid_getvar" not in command:  # the digits were never pressed here
            assert reply.reply == expected.reply, command


def test_exit_and_linger_say_goodbye_as_captured(listener: Listener):
    call = dialled(listener)
    listener.send("connect")
    listener.send("linger 1")
    call.hangup()
    until(lambda: len([m for m in listener.got if "disconnect" in m.type]) == 2, 5)
    first, second = [m for m in listener.got if m.type == "text/disconnect-notice"]
    real = [
        m for m in captured("unicast_dtmf_caller_hangs_up") if m.type == "text/disconnect-notice"
    ]
    for ours, theirs in zip((first, second), real, strict=True):
        assert set(ours.headers) == set(theirs.headers)
        assert ours.headers["Content-Disposition"] == theirs.headers["Content-Disposition"]
        assert ours.body == theirs.body


# -- audio


def unicast(listener: Listener) -> tuple[socket.socket, Message]:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    udp.settimeout(5)
    reply = listener.send(
        "sendmsg\ncall-command: unicast\nlocal-ip: 127.0.0.1\nlocal-port: 0\n"
        f"remote-ip: 127.0.0.1\nremote-port: {udp.getsockname()[1]}\ntransport: udp"
    )
    return udp, reply


def test_unicast_sends_silence_of_ff_and_the_callers_words_and_plays_what_comes_back(
    listener: Listener,
):
    call = dialled(listener)
    listener.send("connect")
    udp, _ = unicast(listener)
    frame, source = udp.recvfrom(65536)
    assert frame == b"\xff" * 320
    said = (3000 * np.sin(np.arange(1600))).astype("<i2").tobytes()
    call.say(said)
    heard = b""
    while said not in heard:
        heard += udp.recv(65536)
        assert len(heard) < 100_000
    for n in range(10):
        udp.sendto(bytes([n]) * 320, source)
    until(lambda: bytes([9]) * 320 in call.recording.bot().tobytes(), 5)
    assert call.corrupt_frames == call.lost_frames == 0


def test_what_the_sockets_buffer_can_not_hold_is_lost_and_odd_frames_are_corrupted(
    listener: Listener,
):
    call = dialled(listener)
    listener.send("connect")
    udp, _ = unicast(listener)
    _, source = udp.recvfrom(65536)
    for _ in range(SOCKET_FRAMES + 60):
        udp.sendto(b"\1" * 320, source)
    until(lambda: call.lost_frames > 0, 5)
    udp.sendto(b"\1" * 100, source)
    until(lambda: call.corrupt_frames == 1, 5)


@pytest.mark.parametrize("application", ["playback", "play_and_get_digits", "record"])
def test_playback_ends_unicast_without_a_word(listener: Listener, application: str):
    call = dialled(listener)
    listener.send("connect")
    udp, _ = unicast(listener)
    udp.recv(65536)
    listener.send(
        f"sendmsg\ncall-command: execute\nexecute-app-name: {application}\nexecute-app-arg: x.wav"
    )
    until(lambda: (call.history[-1][1]) == "unicast ended", 5)


# -- traps


def test_unicast_before_the_codec_would_crash_it_and_is_answered_with_ok(listener: Listener):
    call = dialled(listener, answered=False)
    assert "Channel-Read-Codec-Name" not in call.headers
    listener.send("connect")
    _, reply = unicast(listener)
    assert reply.reply == "+OK"
    assert call.crashed


def test_an_application_that_is_not_loaded_hangs_up(listener: Listener):
    call = dialled(listener)
    listener.send("connect")
    listener.send("sendmsg\ncall-command: execute\nexecute-app-name: no_such_app")
    until(lambda: call.where == "hungup", 5)


def test_what_stands_in_braces_is_expanded(listener: Listener):
    call = dialled(listener)
    listener.send("connect")
    listener.send(
        "sendmsg\ncall-command: execute\nexecute-app-name: set\nexecute-app-arg: a=${system(id)}"
    )
    until(lambda: any(what == "expanded system(id)" for _, what in call.history), 5)


def test_a_line_break_in_a_command_is_another_command(listener: Listener):
    dialled(listener)
    listener.send("connect")
    listener.send("api status\n\napi no_such_api", replies=2)
    assert "Command not found" in listener.got[-1].reply


# -- when the listener is not there, or goes


def test_nobody_listening_leads_to_the_next_action_at_once():
    call = Channel(Dialplan(["127.0.0.1:9", "127.0.0.1:10"]))
    call.dial()
    until(lambda: call.where == "native:9000", 5)
    call.hangup()


def test_a_refused_host_is_skipped(listener: Listener):
    call = Channel(Dialplan(["127.0.0.1:9", listener.address]))
    call.dial()
    listener.accept()
    until(lambda: call.where == "socket", 5)
    call.hangup()


@pytest.mark.parametrize(
    ("resume", "connect", "where"),
    [
        (True, True, "native:9000"),
        (True, False, "native:9000"),
        (False, False, "stuck"),
    ],
)
def test_a_listener_that_dies_at_once(listener: Listener, resume, connect, where):
    call = dialled(listener, socket_resume=resume)
    if connect:
        listener.send("connect")
    listener.close()
    until(lambda: call.where == where, 5)
    call.hangup()


def test_the_watchdog_fires_unless_it_is_renewed(listener: Listener):
    call = dialled(listener, watchdog_s=0.5)
    listener.send("connect")
    listener.send("api sched_del " + call.uuid)
    listener.send(f"api sched_transfer +1 {call.uuid} 9001 XML eslbot")
    assert call.where == "socket"
    until(lambda: call.where == "native:9001", 5)


def test_a_transfer_leaves_to_what_is_there_and_nowhere_else(listener: Listener):
    transfer = "sendmsg\ncall-command: execute\nexecute-app-name: transfer\nexecute-app-arg: "
    call = dialled(listener)
    listener.send("connect")
    listener.send(transfer + "2000 XML eslbot")
    until(lambda: call.where == "extension:2000", 5)
    other = dialled(listener)
    listener.send("connect")
    listener.send(transfer + "4444 XML eslbot")
    until(lambda: other.where == "hungup", 5)
    assert other.headers["Hangup-Cause"] == "NO_ROUTE_DESTINATION"
