"""The event socket's wire format, without I/O: bytes in, messages out; commands to bytes.

Source: FreeSWITCH `mod_event_socket.c` (read_packet, parse_command, listener_run).

    message = header lines, empty line, then Content-Length bytes of body
    event   = a message of type text/event-plain whose body is header lines again

Header values of events, and of the reply to `connect`, are percent-encoded; they are decoded
one by one after the lines were split, so that `%0A` in a caller's name makes no new header.

    EslError
    ├── RemoteProtocolError   what the switch sent is not this protocol: close the connection
    └── LocalProtocolError    what we were about to send is not safe: nothing was sent
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

# `connect` answers with about 170 headers in 7 KB, an event has about 12 KB; variables set by
# a dialplan add to that.
MAX_HEADER_BYTES = 128 * 1024
MAX_HEADERS = 2000
MAX_BODY_BYTES = 1024 * 1024
MAX_VALUE = 200  # characters of a channel variable's value
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
APPLICATION = re.compile(r"[a-z_]{1,40}")
# Names that a conversation may set. Others are commands in disguise (execute_on_*, api_*,
# sip_h_*): the switch acts on them.
VARIABLE = re.compile(r"ai_[a-z0-9_]{1,40}")
OWN_VARIABLES = frozenset(
    {"socket_resume", "eslbot_secret", "eslbot_back", "eslbot_whisper", "export_vars"}
)
# A header of the call to who takes over. Names are ours, not a conversation's; what follows a line
# break in a value would be another header, so those are values of clean_value().
SIP_HEADER = re.compile(r"sip_h_X-Eslbot-[A-Za-z0-9-]{1,40}")
_FORBIDDEN = re.compile(r"[${}\r\n\0]")
_LENGTH = re.compile(r"[0-9]{1,9}")


class EslError(Exception):
    """Anything wrong with the event socket's protocol."""


class RemoteProtocolError(EslError):
    """The switch's bytes make no sense. The text names the rule, never the bytes."""


class LocalProtocolError(EslError):
    """An argument that may not be sent. The text names the rule, never the argument."""


class Event(Mapping[str, str]):
    """Header lines; a value is decoded when it is asked for, most never are.

    The first of two headers with one name counts.
    """

    __slots__ = ("_decoded", "_raw")

    def __init__(self, block: bytes, encoded: bool) -> None:
        self._raw: dict[str, str] = {}
        for line in block.decode("utf-8", "replace").split("\n"):
            name, colon, value = line.partition(":")
            if colon:
                self._raw.setdefault(name.strip(), value.strip())
        self._decoded: dict[str, str] | None = {} if encoded else None

    def __getitem__(self, name: str) -> str:
        raw = self._raw[name]
        if self._decoded is None or "%" not in raw:
            return raw
        if name not in self._decoded:
            self._decoded[name] = unquote(raw, errors="replace")
        return self._decoded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)


class Message:
    """One message: its headers, and its body, b"" where it has none."""

    __slots__ = ("body", "headers")

    def __init__(self, headers: Event, body: bytes) -> None:
        self.headers = headers
        self.body = body

    @property
    def type(self) -> str:
        return self.headers.get("Content-Type", "")

    @property
    def reply(self) -> str:
        """The text of a command's reply, or of an api's answer."""
        if self.type == "command/reply":
            return self.headers.get("Reply-Text", "").strip()
        return self.body.decode("utf-8", "replace").strip()

    def event(self) -> Event:
        """The event in a text/event-plain. Its own body, if any, is left aside.

        Raises RemoteProtocolError where it has too many headers.
        """
        block = self.body.partition(b"\n\n")[0]
        if block.count(b"\n") >= MAX_HEADERS:
            raise RemoteProtocolError(f"an event of more than {MAX_HEADERS} headers")
        return Event(block, encoded=True)


class Parser:
    """Feed receive_data(), take next_message() until it is None.

    Raises RemoteProtocolError; the connection is of no use after it.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._headers: Event | None = None
        self._wanted = 0

    @property
    def buffered(self) -> int:
        """Bytes held for a message that is not complete."""
        return len(self._buffer)

    def receive_data(self, data: bytes) -> None:
        self._buffer += data

    def receive_eof(self) -> None:
        """Raises RemoteProtocolError when the end cuts a message."""
        if self._headers is not None or self._buffer.strip(b"\n"):
            raise RemoteProtocolError("the connection ended within a message")

    def next_message(self) -> Message | None:
        if self._headers is None and not self._take_headers():
            return None
        if len(self._buffer) < self._wanted:
            return None
        assert self._headers is not None
        body = bytes(self._buffer[: self._wanted])
        del self._buffer[: self._wanted]
        message = Message(self._headers, body)
        self._headers = None
        self._searched = 0
        return message

    def _take_headers(self) -> bool:
        # Empty lines between messages mean nothing.
        while self._buffer[:1] == b"\n":
            del self._buffer[:1]
            self._searched = 0
        end = self._buffer.find(b"\n\n", max(0, self._searched - 1))
        if end < 0:
            self._searched = len(self._buffer)
            if self._searched > MAX_HEADER_BYTES:
                raise RemoteProtocolError(f"headers longer than {MAX_HEADER_BYTES} bytes")
            return False
        if end > MAX_HEADER_BYTES:
            raise RemoteProtocolError(f"headers longer than {MAX_HEADER_BYTES} bytes")
        block = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        if b"\0" in block:
            raise RemoteProtocolError("a zero byte in the headers")
        if block.count(b"\n") >= MAX_HEADERS:
            raise RemoteProtocolError(f"more than {MAX_HEADERS} headers")
        for line in block.split(b"\n"):
            if b":" not in line:
                raise RemoteProtocolError("a header line without a colon")
        # The reply to `connect` is the one message whose own headers are encoded.
        self._headers = Event(block, encoded=block.startswith(b"Event-Name:"))
        self._wanted = self._length(block)
        return True

    def _length(self, block: bytes) -> int:
        # Split as Event does: two readings of where a message ends would be two conversations.
        lines = (line.partition(":") for line in block.decode("utf-8", "replace").split("\n"))
        lengths = [value for name, _, value in lines if name.strip().lower() == "content-length"]
        if not lengths:
            return 0
        if len(lengths) > 1:
            raise RemoteProtocolError("more than one Content-Length")
        text = lengths[0].strip()
        if not _LENGTH.fullmatch(text):
            raise RemoteProtocolError("Content-Length is not a number")
        if int(text) > MAX_BODY_BYTES:
            raise RemoteProtocolError(f"a body longer than {MAX_BODY_BYTES} bytes")
        return int(text)


def argument(text: str) -> str:
    """The one way for a text into a command: unchanged, or LocalProtocolError.

    A line break starts another command, and FreeSWITCH expands `${...}` in arguments, which
    runs any api it names.
    """
    if _FORBIDDEN.search(text):
        raise LocalProtocolError("an argument with a line break, a zero byte, $, { or }")
    if len(text) > 4000:
        raise LocalProtocolError("an argument of more than 4000 characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise LocalProtocolError("an argument that has no UTF-8") from None
    return text


def uuid(text: str) -> str:
    """A channel's UUID, unchanged. Raises LocalProtocolError."""
    if not UUID.fullmatch(text):
        raise LocalProtocolError("not a UUID")
    return text


def clean_value(text: str) -> str:
    """Any text as a harmless value of a channel variable.

    What FreeSWITCH, its dialplan (regular expressions, quotes, lists) or uuid_setvar_multi (`;`)
    would read as more than text becomes a space.
    """
    kept = re.sub(r"[^\w .,:@+*#/-]", " ", text)
    return re.sub(r"\s+", " ", kept).strip()[:MAX_VALUE].rstrip()


def command(*words: str) -> bytes:
    """One command line."""
    return " ".join(argument(word) for word in words).encode() + b"\n\n"


def execute(application: str, arg: str, event_uuid: str, lock: bool = False) -> bytes:
    """sendmsg: run a dialplan application; its completion carries event_uuid."""
    if not APPLICATION.fullmatch(application):
        raise LocalProtocolError("not an application's name")
    lines = ["sendmsg", "call-command: execute", f"execute-app-name: {application}"]
    if arg:
        lines.append(f"execute-app-arg: {argument(arg)}")
    lines.append(f"event-uuid: {uuid(event_uuid)}")
    if lock:
        lines.append("event-lock: true")
    return "\n".join(lines).encode() + b"\n\n"


def unicast(host: str, port: int) -> bytes:
    """sendmsg: the channel's audio both ways over UDP. Crashes FreeSWITCH when the channel has
    no read codec: session.py asks first."""
    lines = [
        "sendmsg",
        "call-command: unicast",
        f"local-ip: {argument(host)}",
        "local-port: 0",
        f"remote-ip: {argument(host)}",
        f"remote-port: {int(port)}",
        "transport: udp",
    ]
    return "\n".join(lines).encode() + b"\n\n"


def set_variables(channel: str, values: Mapping[str, str]) -> bytes:
    """Several channel variables in one command."""
    pairs = []
    for name, value in values.items():
        if not (name in OWN_VARIABLES or VARIABLE.fullmatch(name) or SIP_HEADER.fullmatch(name)):
            raise LocalProtocolError("a channel variable that is not ours to set")
        if re.search(r"[;=|'\"\\]", value):
            raise LocalProtocolError("a value that splits the list of variables")
        pairs.append(f"{name}={argument(value)}")
    return command("api", "uuid_setvar_multi", uuid(channel), ";".join(pairs))
