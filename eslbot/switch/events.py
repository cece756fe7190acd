"""Headers and events as FreeSWITCH writes them, after a captured reply to `connect`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote

_CAPTURED = (Path(__file__).parent / "connect_reply.esl").read_text().split("\n\n")[0]
TEMPLATE: dict[str, str] = {}
for _line in _CAPTURED.split("\n"):
    _name, _, _value = _line.partition(": ")
    TEMPLATE[_name] = unquote(_value)

# switch_event.c encodes all but these.
_SAFE = "/,()!*'~;.-_"
# Names that only the reply to `connect` has.
_CONNECT_ONLY = ("Channel-Direction", "Content-Type", "Reply-Text", "Socket-Mode", "Control")
_CHANNEL = [
    name
    for name in TEMPLATE
    if not name.startswith(("variable_", "Event-"))
    and name not in _CONNECT_ONLY
    and not (
        name.startswith("Channel-")
        and f"Caller-{name[len('Channel-') :]}" in TEMPLATE
        and name != "Channel-Name"
    )
]
_COMMON = [name for name in _CHANNEL if name.startswith(("Core-", "FreeSWITCH-"))]
_REST = [
    name
    for name in _CHANNEL
    if name not in _COMMON and name not in ("Channel-Username", "Channel-Dialplan")
]
_sequence = 0


def encode(headers: Mapping[str, str]) -> bytes:
    return "".join(f"{k}: {quote(v, safe=_SAFE)}\n" for k, v in headers.items()).encode()


def common(name: str, function: str = "switch_channel_perform") -> dict[str, str]:
    """The headers that every event begins with."""
    global _sequence
    _sequence += 1
    now = time.time()
    return {
        "Event-Name": name,
        **{header: TEMPLATE[header] for header in _COMMON},
        "Event-Date-Local": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now)),
        "Event-Date-GMT": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now)),
        "Event-Date-Timestamp": str(int(now * 1e6)),
        "Event-Calling-File": "switch_channel.c",
        "Event-Calling-Function": function,
        "Event-Calling-Line-Number": "1",
        "Event-Sequence": str(_sequence),
    }


def connect_reply(channel: Mapping[str, str], variables: Mapping[str, str], full: bool) -> bytes:
    """The reply to `connect`: one block, its own headers encoded."""
    headers = {k: v for k, v in TEMPLATE.items() if not k.startswith("variable_")}
    headers.update({k: v for k, v in common("CHANNEL_DATA").items() if k in headers})
    headers.update({k: v for k, v in channel.items() if k in headers})
    last = {"Content-Type": "command/reply", "Reply-Text": "+OK\n"}
    last |= {"Socket-Mode": "async", "Control": "full" if full else "single-channel"}
    for name in last:
        headers.pop(name, None)
    body = encode(headers) + encode({f"variable_{k}": v for k, v in variables.items()})
    tail = f"Content-Type: command/reply\nReply-Text: {quote(last['Reply-Text'], safe=_SAFE)}\n"
    tail += f"Socket-Mode: {last['Socket-Mode']}\nControl: {last['Control']}\n"
    return body + tail.encode() + b"\n"


def event(
    name: str,
    channel: Mapping[str, str],
    variables: Mapping[str, str] | None,
    extra: Mapping[str, str],
) -> bytes:
    """A text/event-plain; variables None: an event that carries none."""
    headers = common(name)
    headers.update({k: channel.get(k, TEMPLATE[k]) for k in _REST})
    if "Hangup-Cause" in channel:
        headers["Hangup-Cause"] = channel["Hangup-Cause"]
    body = encode(headers)
    if variables is not None:
        body += encode({f"variable_{k}": v for k, v in variables.items()})
    body += encode(extra) + b"\n"
    return f"Content-Length: {len(body)}\nContent-Type: text/event-plain\n\n".encode() + body
