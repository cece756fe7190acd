"""One call's connection from FreeSWITCH: greenswitch's outbound session, made safe.

    reader greenlet ── esl.Parser ──┬─ replies ────▶ who sent the command, in order
                                    ├─ completions ▶ who runs that application, by event-uuid
                                    └─ events ─────▶ bounded queue ─▶ handler greenlet

What greenswitch 0.0.19 does and this does not: freeze the process when the connection ends
within a body; leave a waiting send() for ever; take headers out of a caller's name; lose its
reader to a line without a colon or to a reply that nobody waits for; match completions by the
application's name; hang a blocking call when somebody else handles its event; print all of an
event's values when a handler fails; send half a command.
"""

from __future__ import annotations

import ipaddress
import logging
import time
import uuid as uuids
from collections.abc import Callable, Mapping
from typing import Any

import gevent
from gevent import socket
from gevent.event import AsyncResult
from gevent.event import Event as Flag
from gevent.lock import RLock
from gevent.queue import Full, Queue
from greenswitch.esl import ESLProtocol, OutboundSession

from eslbot import esl
from eslbot.doors import DoorClosed, DoorError
from eslbot.esl import Event, Message, Parser, RemoteProtocolError

log = logging.getLogger(__name__)

MAX_EVENTS = 1000
MAX_COMMANDS = 100
DEFAULT_TIMEOUT_S = 5.0
# Of `myevents`, what a call has no use for: each is about 6 KB to write, send and parse.
UNWANTED = tuple(
    "CHANNEL_APPLICATION CHANNEL_BRIDGE CHANNEL_CREATE CHANNEL_DATA CHANNEL_DESTROY "  # noqa: SIM905
    "CHANNEL_EXECUTE CHANNEL_ORIGINATE CHANNEL_OUTGOING CHANNEL_PARK CHANNEL_PROGRESS "
    "CHANNEL_PROGRESS_MEDIA CHANNEL_STATE CHANNEL_UNBRIDGE CHANNEL_UUID "
    "DETECTED_SPEECH NOTALK TALK".split()
)
# Of those that are left, what only a call in our hands needs.
NEEDED = ("CHANNEL_ANSWER", "CHANNEL_EXECUTE_COMPLETE", "CHANNEL_UNPARK", "DTMF")
# Of the latest event's headers, what is asked for later; all of them are some 15 kB.
OF_CHANNEL = (
    "Answer-State",
    "Channel-Read-Codec-Name",
    "Channel-Read-Codec-Rate",
    "FreeSWITCH-IPv4",
    "FreeSWITCH-IPv6",
)


class SessionError(DoorError):
    """Anything that ends or disturbs a session."""


class SessionClosed(SessionError, DoorClosed):
    """The connection is over; str() says how. A hang-up is an ordinary ending."""


class SessionTimeout(SessionError):
    """FreeSWITCH did not answer in time."""


class CommandRefused(SessionError):
    """FreeSWITCH answered -ERR."""


class Session(OutboundSession):  # type: ignore[misc]
    """All waits take timeout_s and raise SessionTimeout, or SessionClosed, which also ends all
    other waits. on_event(event) is called for each event, on a greenlet of its own."""

    def __init__(self, client_address: Any, sock: Any) -> None:
        # Not OutboundSession's: it would start a reader of its own on a buffered file.
        ESLProtocol.__init__(self)
        self.sock = sock
        self.connected = True
        self.session_data: Mapping[str, str] | None = None
        self.closed = Flag()
        self.close_reason = ""
        self.headers: Mapping[str, str] = {}
        self.on_event: Callable[[Event], None] | None = None
        self._waiting: list[AsyncResult] = []
        self._completions: dict[str, AsyncResult] = {}
        self._events: Queue = Queue(maxsize=MAX_EVENTS)
        self._sending = RLock()
        self._renewed: list[AsyncResult] = []  # the watchdog's last renewal
        self._renewed_at = 0.0
        # What was asked of it, and the commands for that: the same once a second.
        self._renewal: tuple[tuple[str, ...], tuple[bytes, ...]] = (), ()
        self._receive_events_greenlet = gevent.spawn(self.receive_events)
        self._process_events_greenlet = gevent.spawn(self.process_events)

    # -- what comes in

    def receive_events(self) -> None:
        """The reader: until the connection ends, however it ends."""
        parser = Parser()
        reason = "the switch closed the connection"
        try:
            while not self.closed.is_set():
                data = self.sock.recv(65536)
                if not data:
                    parser.receive_eof()
                    break
                parser.receive_data(data)
                while (message := parser.next_message()) is not None:
                    self._handle(message)
        except RemoteProtocolError as error:
            reason = f"not the event socket's protocol: {error}"
            log.error("%s: %s", self.name, reason)
        except OSError as error:
            reason = f"connection lost: {error.strerror or type(error).__name__}"
        self._finish(reason)

    def _handle(self, message: Message) -> None:
        kind = message.type
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s < %s", self.name, kind)
        if kind in ("command/reply", "api/response"):
            if not self._waiting:
                # From here on every reply would be taken for the answer to another command.
                raise RemoteProtocolError("a reply that nobody waits for")
            self._waiting.pop(0).set(message)
        elif kind == "text/event-plain":
            self._take_event(message.event())
        elif kind == "text/disconnect-notice":
            if message.headers.get("Content-Disposition") == "linger":
                self._lingering = True
            else:
                self._finish("the switch said goodbye")

    def _take_event(self, event: Event) -> None:
        if "Answer-State" in event:
            self.headers = {name: event[name] for name in OF_CHANNEL if name in event}
        if event.get("Event-Name") == "CHANNEL_EXECUTE_COMPLETE":
            waiting = self._completions.pop(event.get("Application-UUID", ""), None)
            if waiting is not None:
                waiting.set(event)
                return
        try:
            self._events.put_nowait(event)
        except Full:
            raise RemoteProtocolError(f"more than {MAX_EVENTS} events at once") from None

    def process_events(self) -> None:
        """The handler greenlet: a slow or failing handler stops nobody else."""
        while True:
            event = self._events.get()
            if event is None:
                self.on_event = None  # it knows the session, too
                return
            if self.on_event is None:
                continue
            try:
                self.on_event(event)
            except Exception:
                # Without the event: its values are the caller's.
                log.exception("%s: handling %s failed", self.name, event.get("Event-Name"))

    def _finish(self, reason: str) -> None:
        if self.closed.is_set():
            return
        self.close_reason = reason
        self.connected = False
        self._run = False
        self.closed.set()
        for waiting in [*self._waiting, *self._completions.values()]:
            waiting.set_exception(SessionClosed(reason))
        self._waiting.clear()
        self._completions.clear()
        try:
            self._events.put_nowait(None)
        except Full:
            gevent.kill(self._process_events_greenlet, block=False)
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            log.debug("%s: was shut already", self.name)
        self.sock.close()

    # -- what goes out

    @property
    def name(self) -> str:
        """For log lines: the call's UUID, once it is known."""
        return self.session_data.get("Unique-ID", "call") if self.session_data else "call"

    @property
    def uuid(self) -> str:
        """The channel's UUID, checked. Raises SessionError before connect()."""
        if self.session_data is None:
            raise SessionError("not connected yet")
        return esl.uuid(self.session_data.get("Unique-ID", ""))

    def exchange(self, *commands: bytes, timeout_s: float) -> list[Message]:
        """Send commands in one write, return their replies."""
        try:
            with gevent.Timeout(timeout_s):
                return [result.get() for result in self._write(commands)]
        except gevent.Timeout:
            raise SessionTimeout(f"no reply in {timeout_s} s") from None

    def _write(self, commands: tuple[bytes, ...]) -> list[AsyncResult]:
        """Within a gevent.Timeout of the caller's."""
        if self.closed.is_set():
            raise SessionClosed(self.close_reason)
        if len(self._waiting) + len(commands) > MAX_COMMANDS:
            raise SessionTimeout(f"{MAX_COMMANDS} commands without a reply")
        results = [AsyncResult() for _ in commands]
        try:
            with self._sending:
                # In one order here and on the wire: replies carry no name.
                self._waiting.extend(results)
                if log.isEnabledFor(logging.DEBUG):
                    log.debug("%s > %s", self.name, commands[0].split(b"\n", 1)[0][:12])
                try:
                    self._put(b"".join(commands))
                except (gevent.Timeout, gevent.GreenletExit):
                    # Half a command may be on the wire: nothing can follow it.
                    self._finish("the switch does not read")
                    raise
        except OSError as error:
            self._finish(f"connection lost: {error.strerror or type(error).__name__}")
            raise SessionClosed(self.close_reason) from None
        return results

    def _put(self, packet: bytes) -> None:
        # gevent's sendall looks at the socket's buffer first, which costs as much as to send.
        sent = self.sock.send(packet)
        if sent < len(packet):
            self.sock.sendall(packet[sent:])

    def send(self, data: str) -> Message:
        """greenswitch's own: for its methods, with a deadline."""
        lines = data.split("\n")
        text = "\n".join(esl.argument(line) for line in lines if line)
        return self.exchange(text.encode() + b"\n\n", timeout_s=DEFAULT_TIMEOUT_S)[0]

    def command(self, *words: str, timeout_s: float) -> str:
        """A command; returns its reply. Raises CommandRefused."""
        return _accepted(self.exchange(esl.command(*words), timeout_s=timeout_s)[0].reply)

    def api(self, *words: str, timeout_s: float) -> str:
        """An api command; returns its answer, also where it is -ERR."""
        return self.exchange(esl.command("api", *words), timeout_s=timeout_s)[0].reply

    def connect(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> Mapping[str, str]:
        """The channel's data. FreeSWITCH says nothing before it is asked."""
        message = self.exchange(esl.command("connect"), timeout_s=timeout_s)[0]
        esl.uuid(message.headers.get("Unique-ID", ""))
        self.session_data = self.headers = message.headers
        return message.headers

    def subscribe(self, timeout_s: float) -> None:
        """This call's events, less those that nobody wants."""
        replies = self.exchange(
            esl.command("myevents"), esl.command("nixevent", *UNWANTED), timeout_s=timeout_s
        )
        _accepted(replies[0].reply)

    def linger(self, seconds: int, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Without it the last events of a call can be lost."""
        self.command("linger", str(seconds), timeout_s=timeout_s)

    def execute(
        self, application: str, arg: str = "", *, timeout_s: float, lock: bool = False
    ) -> Event:
        """Run a dialplan application; return the event of its completion.

        An application that is not loaded makes FreeSWITCH hang up: only well-known ones.
        """
        event_uuid = str(uuids.uuid4())
        done = self._completions[event_uuid] = AsyncResult()
        try:
            with gevent.Timeout(timeout_s):
                packet = esl.execute(application, arg, event_uuid, lock)
                _accepted(self.exchange(packet, timeout_s=timeout_s)[0].reply)
                event: Event = done.get()
                return event
        except gevent.Timeout:
            raise SessionTimeout(f"{application} did not end in {timeout_s} s") from None
        finally:
            self._completions.pop(event_uuid, None)

    def post_variables(self, values: Mapping[str, str], timeout_s: float) -> None:
        """Put channel variables on the call at once, without waiting for the reply: what follows
        on this connection comes after it. A refusal is logged."""
        packet = esl.set_variables(self.uuid, values)
        try:
            with gevent.Timeout(timeout_s):
                (result,) = self._write((packet,))
        except gevent.Timeout:
            raise SessionTimeout("the switch does not read") from None
        result.rawlink(self._look_at)

    def _look_at(self, result: AsyncResult) -> None:
        if result.successful() and result.value.reply.startswith("-"):
            log.error("%s: the switch did not take variables", self.name)

    def subscribe_custom(self, subclass: str, timeout_s: float) -> None:
        """Events of a module, too; of this call alone, as those of myevents."""
        packet = esl.command("event", "plain", "CUSTOM", subclass)
        _accepted(self.exchange(packet, timeout_s=timeout_s)[0].reply)

    def play_next(self, path: str, timeout_s: float) -> None:
        """Play a file after those that play already; does not wait for its end."""
        packet = esl.execute("playback", path, str(uuids.uuid4()), lock=True)
        _accepted(self.exchange(packet, timeout_s=timeout_s)[0].reply)

    def mute(self, timeout_s: float) -> None:
        """From now on no events but the call's end."""
        self.exchange(esl.command("nixevent", *UNWANTED, *NEEDED), timeout_s=timeout_s)

    def unicast(self, host: str, port: int, timeout_s: float) -> None:
        """Have the channel's audio sent to us. That it is answered with +OK means nothing: the
        first datagram does.

        Raises LocalProtocolError, and sends nothing, while the channel is not answered or has
        no read codec: that crashes FreeSWITCH (switch_ivr.c, switch_ivr_activate_unicast).
        """
        answered = self.headers.get("Answer-State") == "answered"
        if not answered or not self.headers.get("Channel-Read-Codec-Name"):
            raise esl.LocalProtocolError("unicast before the channel is answered and has a codec")
        command = esl.unicast(self._media_address(host), host, port)
        _accepted(self.exchange(command, timeout_s=timeout_s)[0].reply)

    def _media_address(self, ours: str) -> str:
        """Where the switch shall take the bot's audio: the address that it has by its own words, so
        that a proxy before the listener does not matter; on one host no other network than ours."""
        here = ipaddress.ip_address(ours)
        if here.is_loopback:
            return ours
        said = self.headers.get(f"FreeSWITCH-IPv{here.version}", "")
        try:
            return str(ipaddress.ip_address(said))
        except ValueError:
            return "::" if here.version == 6 else "0.0.0.0"  # noqa: S104  it knows none: any

    def renew_watchdog(self, seconds: int, extension: str, context: str, timeout_s: float) -> None:
        """FreeSWITCH takes the call there in so many seconds, unless this is called again.

        It does not wait: that the last one was answered is looked at by the next.
        """
        if any(not one.ready() for one in self._renewed):
            if time.monotonic() - self._renewed_at > timeout_s:
                raise SessionTimeout("the watchdog's renewal was not answered")
            return
        for one in self._renewed:
            one.get()  # raises what ended the session
        self._renewed_at = time.monotonic()
        when = f"+{int(seconds)}"
        asked = (when, extension, context)
        if self._renewal[0] != asked:
            transfer = ("sched_transfer", when, self.uuid, extension, "XML", context)
            packets = esl.command("api", "sched_del", self.uuid), esl.command("api", *transfer)
            self._renewal = asked, packets
        try:
            with gevent.Timeout(timeout_s):
                self._renewed = self._write(self._renewal[1])
        except gevent.Timeout:
            raise SessionTimeout("the switch does not read") from None

    def transfer(
        self,
        extension: str,
        context: str,
        timeout_s: float,
        values: Mapping[str, str] | None = None,
    ) -> None:
        """Give the call to the dialplan; the channel's variables go with it, these as well."""
        # With socket_resume still true the end of our connection would break into it.
        self.exchange(
            esl.set_variables(self.uuid, {"socket_resume": "false", **(values or {})}),
            esl.command("api", "sched_del", self.uuid),
            timeout_s=timeout_s,
        )
        self.execute("transfer", f"{extension} XML {context}", timeout_s=timeout_s)

    def hangup(self, cause: str = "NORMAL_CLEARING") -> None:
        """End the call; that it is over may come before the reply."""
        try:
            self.exchange(
                esl.execute("hangup", cause, str(uuids.uuid4())), timeout_s=DEFAULT_TIMEOUT_S
            )
        except SessionClosed:
            return

    def close(self) -> None:
        """End the connection, not the call."""
        self._finish("closed by us")

    def stop(self) -> None:
        """greenswitch's name for close()."""
        self.close()


def _accepted(reply: str) -> str:
    if reply.startswith("-"):
        # The reply may quote what was sent.
        raise CommandRefused(f"FreeSWITCH answered {reply.split()[0]}")
    return reply
