"""A session against a switch that misbehaves, on real sockets; greenswitch alone beside it."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator

import gevent
import pytest
from gevent import socket
from greenswitch.esl import ESLEvent

from eslbot.esl import LocalProtocolError
from eslbot.session import (
    CommandRefused,
    Session,
    SessionClosed,
    SessionError,
    SessionTimeout,
)

UUID = "639c7676-e4ad-40ba-8fa8-737a69f4b5d3"
OK = b"Content-Type: command/reply\nReply-Text: +OK\n\n"
CONNECT = (
    f"Event-Name: CHANNEL_DATA\nUnique-ID: {UUID}\nAnswer-State: answered\n"
    "Channel-Read-Codec-Name: PCMU\nChannel-Read-Codec-Rate: 8000\n"
    "Content-Type: command/reply\nReply-Text: %2BOK%0A\n\n"
).encode()


def event(**headers: str) -> bytes:
    body = "".join(f"{k.replace('_', '-')}: {v}\n" for k, v in headers.items()) + "\n"
    return f"Content-Length: {len(body)}\nContent-Type: text/event-plain\n\n{body}".encode()


class Wire:
    """A session and the other end of its connection."""

    def __init__(self) -> None:
        self.switch, ours = socket.socketpair()
        self.session = Session("test", ours)

    def read(self) -> bytes:
        data: bytes = self.switch.recv(65536)
        return data

    def answers(self, *replies: bytes) -> gevent.Greenlet:
        """Read a command, send a reply, as often as there are replies."""

        def run() -> list[bytes]:
            seen = []
            for reply in replies:
                seen.append(self.read())
                self.switch.sendall(reply)
            return seen

        return gevent.spawn(run)

    def connect(self) -> None:
        self.answers(CONNECT)
        self.session.connect(5)


@pytest.fixture
def wire() -> Iterator[Wire]:
    one = Wire()
    with gevent.Timeout(30):
        yield one
    one.session.close()
    one.switch.close()


def plain_greenswitch(script: str, within_s: float = 4.0) -> str:
    """Run greenswitch alone, as it comes, in a process of its own: it may freeze.

    Returns what it printed, or "FROZEN".
    """
    head = """
        import gevent, logging
        logging.disable(logging.CRITICAL)
        from gevent import socket
        from greenswitch.esl import OutboundSession
        switch, ours = socket.socketpair()
        session = OutboundSession("test", ours)
        ok = b"Content-Type: command/reply\\nReply-Text: +OK\\n\\n"
    """
    try:
        run = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(script)],
            capture_output=True,
            text=True,
            timeout=within_s,
        )
    except subprocess.TimeoutExpired:
        return "FROZEN"
    return run.stdout.strip()


def test_connect_gives_the_channels_data(wire: Wire):
    wire.connect()
    assert wire.session.uuid == UUID
    assert wire.session.headers["Channel-Read-Codec-Rate"] == "8000"


# -- greenswitch's holes: first that it has them, then that we have not


def test_the_end_within_a_body_freezes_greenswitch_but_ends_our_session(wire: Wire):
    assert (
        plain_greenswitch("""
            switch.sendall(b"Content-Length: 100\\nContent-Type: text/event-plain\\n\\nEvent-")
            switch.close()
            gevent.sleep(0.5)
            print("alive")
        """)
        == "FROZEN"
    )
    wire.switch.sendall(b"Content-Length: 100\nContent-Type: text/event-plain\n\nEvent-")
    wire.switch.shutdown(socket.SHUT_WR)
    assert wire.session.closed.wait(5)
    assert "within a message" in wire.session.close_reason


def test_a_send_that_waits_when_the_end_comes_never_returns_in_greenswitch(wire: Wire):
    assert (
        plain_greenswitch("""
            gevent.spawn_later(0.2, switch.close)
            with gevent.Timeout(2, False):
                try:
                    session.send("connect")
                except Exception as error:
                    print("raised")
                print("returned")
            print("end")
        """)
        == "end"
    )
    gevent.spawn_later(0.05, wire.switch.close)
    with pytest.raises(SessionClosed):
        wire.session.connect(5)


def test_a_callers_name_forges_headers_in_greenswitch(wire: Wire):
    forged = "Event-Name: DTMF\nCaller-Caller-ID-Name: x%0AEvent-Name: SPOOF"
    assert ESLEvent(forged).headers["Event-Name"] == "SPOOF"
    seen: list[str] = []
    wire.session.on_event = lambda e: seen.append(e["Event-Name"])
    wire.switch.sendall(event(Event_Name="DTMF", Caller_Caller_ID_Name="x%0AEvent-Name: SPOOF"))
    until(lambda: seen)
    assert seen == ["DTMF"]


def test_a_line_without_a_colon_kills_greenswitchs_reader_but_closes_our_session(
    wire: Wire, caplog: pytest.LogCaptureFixture
):
    script = """
        switch.sendall(b"nonsense secret-4271\\n\\n")
        gevent.sleep(0.2)
        print("dead" if session._receive_events_greenlet.dead and session.connected else "ok")
        """
    assert plain_greenswitch(script) == "dead"
    wire.switch.sendall(b"nonsense secret-4271\n\n")
    assert wire.session.closed.wait(5)
    (line,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert "without a colon" in line
    assert "4271" not in line


def test_a_reply_that_nobody_waits_for_kills_greenswitchs_reader_but_closes_our_session(
    wire: Wire,
):
    script = """
        switch.sendall(ok)
        gevent.sleep(0.2)
        print("dead" if session._receive_events_greenlet.dead and session.connected else "ok")
        """
    assert plain_greenswitch(script) == "dead"
    wire.switch.sendall(OK)
    assert wire.session.closed.wait(5)
    assert "nobody waits for" in wire.session.close_reason


def test_completions_are_matched_by_uuid_not_by_the_applications_name(wire: Wire):
    script = """
        def body(uuid):
            b = (f"Event-Name: CHANNEL_EXECUTE_COMPLETE\\nvariable_current_application: playback\\n"
                 f"Application-UUID: {uuid}\\n\\n").encode()
            return b"Content-Length: %d\\nContent-Type: text/event-plain\\n\\n" % len(b) + b
        def switch_side():
            for _ in range(2):
                switch.recv(9999); switch.sendall(ok)
            gevent.sleep(0.1)
            switch.sendall(body("of-the-second"))
        gevent.spawn(switch_side)
        first = gevent.spawn(session.call_command, "playback", "a", True)
        gevent.sleep(0.05)
        gevent.spawn(session.call_command, "playback", "b", True)
        done = first.get(timeout=2)
        print(done.headers["Application-UUID"])
        """
    assert plain_greenswitch(script) == "of-the-second"
    wire.connect()
    uuids: list[str] = []

    def switch_side() -> None:
        while len(uuids) < 2:
            for packet in wire.read().decode().split("\n\n"):
                if "event-uuid: " in packet:
                    uuids.append(packet.split("event-uuid: ")[1].split("\n")[0])
                    wire.switch.sendall(OK)
        for one in reversed(uuids):
            wire.switch.sendall(
                event(
                    Event_Name="CHANNEL_EXECUTE_COMPLETE", Application="sleep", Application_UUID=one
                )
            )

    gevent.spawn(switch_side)
    runs = [gevent.spawn(wire.session.execute, "sleep", str(n), timeout_s=5) for n in range(2)]
    done = [run.get(timeout=6)["Application-UUID"] for run in runs]
    assert done == uuids


def test_an_own_handler_for_completions_does_not_hang_a_blocking_call(wire: Wire):
    script = """
        b = b"Event-Name: CHANNEL_EXECUTE_COMPLETE\\nvariable_current_application: answer\\n\\n"
        session.register_handle("CHANNEL_EXECUTE_COMPLETE", lambda event: None)
        def switch_side():
            switch.recv(9999); switch.sendall(ok)
            head = b"Content-Length: %d\\nContent-Type: text/event-plain\\n\\n" % len(b)
            switch.sendall(head + b)
        gevent.spawn(switch_side)
        with gevent.Timeout(2, False):
            session.call_command("answer", block=True)
            print("returned")
        print("end")
        """
    assert plain_greenswitch(script) == "end"
    wire.connect()
    seen: list[str] = []
    wire.session.on_event = lambda e: seen.append(e["Event-Name"])

    def switch_side() -> None:
        packet = wire.read().decode()
        one = packet.split("event-uuid: ")[1].split("\n")[0]
        wire.switch.sendall(
            OK
            + event(Event_Name="DTMF", DTMF_Digit="1")
            + event(Event_Name="CHANNEL_EXECUTE_COMPLETE", Application_UUID=one)
        )

    gevent.spawn(switch_side)
    assert wire.session.execute("answer", timeout_s=5)["Event-Name"] == "CHANNEL_EXECUTE_COMPLETE"
    until(lambda: seen == ["DTMF"])


def test_a_failing_handler_is_logged_without_the_callers_values(
    wire: Wire, caplog: pytest.LogCaptureFixture
):
    seen: list[str] = []

    def handler(one: object) -> None:
        seen.append("x")
        raise ValueError("defect")

    wire.session.on_event = handler
    secret = event(Event_Name="DTMF", Caller_Caller_ID_Number="0049123456", DTMF_Digit="7")
    wire.switch.sendall(secret + secret)
    until(lambda: len(seen) == 2)
    assert "DTMF" in caplog.text
    assert "0049123456" not in caplog.text


# -- deadlines, bounds and the law of the wire


def test_a_switch_that_does_not_answer_is_given_up(wire: Wire):
    with pytest.raises(SessionTimeout):
        wire.session.connect(0.1)
    # The late reply is still the first command's, and the next one's is its own.
    wire.answers(CONNECT + b"Content-Type: command/reply\nReply-Text: +OK second\n\n")
    assert wire.session.command("linger", "1", timeout_s=5) == "+OK second"


def test_a_completion_that_never_comes_is_given_up(wire: Wire):
    wire.connect()
    wire.answers(OK)
    with pytest.raises(SessionTimeout):
        wire.session.execute("answer", timeout_s=0.2)


def test_a_switch_that_reads_nothing_ends_the_session(wire: Wire):
    wire.connect()
    wire.switch.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with pytest.raises(SessionError):
        for _ in range(2000):
            wire.session.command("linger", "1" * 3900, timeout_s=0.05)
    assert not wire.session.closed.is_set() or "does not read" in wire.session.close_reason


def test_half_a_command_of_whoever_was_killed_is_not_followed_by_another(wire: Wire):
    wire.connect()
    writer = gevent.spawn(wire.session.command, *["1" * 3900] * 500, timeout_s=20)
    gevent.sleep(0)  # the socket takes no more
    assert not writer.dead
    writer.kill()
    with pytest.raises(SessionClosed):
        wire.session.command("linger", "2", timeout_s=1)


def test_a_flood_of_events_ends_the_session_not_the_process(wire: Wire):
    wire.session.on_event = lambda e: gevent.sleep(60)
    flood = event(Event_Name="DTMF", DTMF_Digit="1") * 3000
    gevent.spawn(wire.switch.sendall, flood)
    assert wire.session.closed.wait(10)
    assert "events at once" in wire.session.close_reason


@pytest.mark.parametrize(
    "headers",
    [
        {"Answer-State": "ringing"},
        {"Answer-State": "early", "Channel-Read-Codec-Name": "PCMU"},
        {"Answer-State": "answered"},
        {"Answer-State": "answered", "Channel-Read-Codec-Name": ""},
    ],
)
def test_unicast_is_not_sent_where_it_would_crash_freeswitch(wire: Wire, headers):
    wire.connect()
    wire.session.headers = headers
    with pytest.raises(LocalProtocolError):
        wire.session.unicast("127.0.0.1", 4000, timeout_s=1)
    wire.answers(OK)
    wire.session.command("linger", timeout_s=5)  # had anything been sent, this got its reply


@pytest.mark.parametrize(
    ("ours", "headers", "local"),
    [
        ("127.0.0.1", {"FreeSWITCH-IPv4": "192.0.2.2"}, "127.0.0.1"),
        ("10.0.0.5", {"FreeSWITCH-IPv4": "192.0.2.2", "FreeSWITCH-IPv6": "::1"}, "192.0.2.2"),
        ("10.0.0.5", {}, "0.0.0.0"),
        ("10.0.0.5", {"FreeSWITCH-IPv4": "x\n\napi status"}, "0.0.0.0"),
        ("2001:db8::5", {"FreeSWITCH-IPv6": "2001:db8::2"}, "2001:db8::2"),
    ],
)
def test_the_switch_takes_audio_at_an_address_of_its_own(wire: Wire, ours, headers, local):
    wire.connect()
    wire.session.headers = headers
    assert wire.session._media_address(ours) == local


def test_a_refused_command_says_so_without_what_was_sent(wire: Wire):
    wire.connect()
    wire.answers(b"Content-Type: command/reply\nReply-Text: -ERR invalid 4271\n\n")
    with pytest.raises(CommandRefused) as caught:
        wire.session.command("linger", "4271", timeout_s=5)
    assert "4271" not in str(caught.value)


def test_a_channel_that_is_no_uuid_is_refused(wire: Wire):
    wire.answers(CONNECT.replace(UUID.encode(), b"x%0Aapi status"))
    with pytest.raises(LocalProtocolError):
        wire.session.connect(5)


def test_goodbye_ends_it_and_linger_does_not(wire: Wire):
    notice = b"Content-Type: text/disconnect-notice\nContent-Disposition: %s\n\n"
    wire.switch.sendall(notice % b"linger" + event(Event_Name="CHANNEL_HANGUP_COMPLETE"))
    seen: list[str] = []
    wire.session.on_event = lambda e: seen.append(e["Event-Name"])
    until(lambda: seen)
    assert not wire.session.closed.is_set()
    wire.switch.sendall(notice % b"disconnect")
    assert wire.session.closed.wait(5)


def until(condition: Callable[[], object], within_s: float = 5.0) -> None:
    with gevent.Timeout(within_s):
        while not condition():
            gevent.sleep(0.01)
