"""FreeSWITCH's side of one event socket: commands in, replies and events out.

Source: `mod_event_socket.c`, read_packet and parse_command.
"""

from __future__ import annotations

import contextlib
import logging
import uuid as uuids
from typing import TYPE_CHECKING

from gevent import socket
from gevent.lock import RLock

from eslbot.switch import events

if TYPE_CHECKING:
    from eslbot.switch.channel import Channel

log = logging.getLogger(__name__)

MYEVENTS = {
    "CHANNEL_ANSWER", "CHANNEL_EXECUTE", "CHANNEL_EXECUTE_COMPLETE", "CHANNEL_HANGUP",
    "CHANNEL_HANGUP_COMPLETE", "CHANNEL_PARK", "CHANNEL_STATE", "CHANNEL_UNPARK", "DTMF",
    "CHANNEL_APPLICATION", "CHANNEL_BRIDGE", "CHANNEL_UNBRIDGE", "CHANNEL_DATA", "TALK", "NOTALK",
}  # fmt: skip
# Without `full` these are unknown.
FULL_ONLY = ("api", "bgapi", "event", "linger", "log")
GOODBYE = "Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"


class Peer:
    """One connection to a listener; serve() lasts as long as it."""

    def __init__(self, channel: Channel, sock: socket.socket, full: bool = True) -> None:
        self.channel = channel
        self.spoke = False  # anything was received
        self.connected = False  # `connect` was
        self.ended = False
        self.deaf = False  # True: it reads and writes nothing any more, and keeps the connection
        self._sock = sock
        self._full = full
        self._events: set[str] = set()
        self._filters: list[tuple[str, str]] = []
        self._linger: int | None = None
        self._sending = RLock()

    def serve(self) -> None:
        """Read commands until the listener closes."""
        buffer = b""
        try:
            while not self.ended:
                data = self._sock.recv(65536)
                if not data:
                    break
                if self.deaf:
                    continue
                self.spoke = True
                buffer += data
                while b"\n\n" in buffer.lstrip(b"\n"):
                    command, _, buffer = buffer.lstrip(b"\n").partition(b"\n\n")
                    self._command(command.decode("utf-8", "replace"))
        except OSError:
            pass
        self.ended = True
        self._sock.close()

    def close(self) -> None:
        self.ended = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def _send(self, data: bytes) -> None:
        if self.deaf:
            return
        with self._sending:
            try:
                self._sock.sendall(data)
            except OSError:
                self.ended = True

    def _reply(self, text: str, extra: str = "") -> None:
        self._send(f"Content-Type: command/reply\nReply-Text: {text}\n{extra}\n".encode())

    def _answer(self, text: str) -> None:
        body = text.encode()
        head = f"Content-Type: api/response\nContent-Length: {len(body)}\n\n"
        self._send(head.encode() + body)

    def event(self, name: str, extra: dict[str, str], with_variables: bool = True) -> None:
        """Write an event, if it was asked for."""
        if name not in self._events or self.ended:
            return
        channel = self.channel
        fields = {"Event-Name": name, **channel.headers, **extra}
        if self._filters and not any(fields.get(k) == v for k, v in self._filters):
            return
        variables = channel.variables if with_variables else None
        self._send(events.event(name, channel.headers, variables, extra))

    def hung_up(self) -> None:
        """The notice at the end of a call, and with linger the second one, later."""
        channel = self.channel
        name = channel.headers["Channel-Name"]
        uuid = channel.uuid
        if self._linger is not None:
            self._send(
                f"Content-Type: text/disconnect-notice\nControlled-Session-UUID: {uuid}\n"
                f"Content-Disposition: linger\nChannel-Name: {name}\n"
                f"Linger-Time: {self._linger}\nContent-Length: 0\n\n".encode()
            )
            channel.sleep(min(self._linger, 5) if self._linger >= 0 else 5)
        self._goodbye()

    def _goodbye(self) -> None:
        self._send(
            f"Content-Type: text/disconnect-notice\nControlled-Session-UUID: {self.channel.uuid}\n"
            f"Content-Disposition: disconnect\nContent-Length: {len(GOODBYE)}\n\n{GOODBYE}".encode()
        )
        self.close()

    # -- commands

    def _command(self, text: str) -> None:
        lines = text.split("\n")
        words = lines[0].split()
        verb = words[0].lower() if words else ""
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        if verb in FULL_ONLY and not self._full:
            verb = "?"
        match verb:
            case "connect":
                self.connected = True
                channel = self.channel
                self._send(events.connect_reply(channel.headers, channel.variables, self._full))
            case "myevents":
                self._events |= MYEVENTS
                self._reply("+OK Events Enabled")
            case "event":
                self._events |= set(words[2:] if "ALL" not in words else MYEVENTS)
                self._reply("+OK event listener enabled plain")
            case "nixevent":
                self._events -= set(words[1:])
                self._reply("+OK")
            case "filter":
                self._filters.append((words[1], " ".join(words[2:])))
                self._reply(f"+OK filter added. [{words[1]}]=[{' '.join(words[2:])}]")
            case "linger":
                self._linger = int(words[1]) if len(words) > 1 else -1
                seconds = f" {words[1]} seconds" if len(words) > 1 else ""
                self._reply(f"+OK will linger{seconds}")
            case "getvar":
                self._reply(self.channel.variables.get(words[1], ""))
            case "exit":
                self._reply("+OK bye")
                self._goodbye()
            case "api":
                self._answer(self.channel.api(" ".join(words[1:])))
            case "bgapi":
                job = uuids.uuid4()
                self._reply(f"+OK Job-UUID: {job}", f"Job-UUID: {job}\n")
            case "sendmsg":
                self._reply("+OK")
                self.channel.message(headers)
            case _:
                self._reply("-ERR command not found")
