"""Answers of HTTP/1.1, cut anywhere, beside what h11 makes of the same bytes."""

from __future__ import annotations

from random import Random

import h11
import httpcore

from tests.fuzz.mutate import mangled, sliced
from tests.fuzz.runner import Target
from workers.http1 import Incoming

Read = tuple[int, list[tuple[bytes, bytes]], bytes]

_HEADERS = (
    b"Content-Length: 5", b"Content-Length: 0", b"content-length:5 ", b"Content-Length: 5, 5",
    b"Content-Length: 99999999999999999999", b"Transfer-Encoding: chunked", b"Connection: close",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: identity", b"Connection: keep-alive",
    b"Content-Type: text/event-stream", b"X-Empty:", b"X: \xe4", b" folded", b"Upgrade: h2c",
    b"Connection: upgrade", b"Trailer: X",
)  # fmt: skip
_PARTS = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"0\r\n\r\n", b"HTTP/1.1 ", b"HTTP/1.0 200 OK\r\n", b":",
    b"100", b"101", b"204", b"\0", b"\t", b";", b"ffffffffffffffff", b"-1", b"+5", b"0x5", b"5",
)  # fmt: skip


def _one(dice: Random) -> bytes:
    status = dice.choice((b"200", b"200", b"200", b"100", b"103", b"101", b"204", b"304", b"404"))
    version = dice.choice((b"1.1", b"1.1", b"1.1", b"1.0"))
    framing = dice.choice((*_HEADERS[:2], _HEADERS[5], b"X: 1"))
    headers = [framing, *dice.sample(_HEADERS, dice.choice((0, 0, 1, 2)))]
    dice.shuffle(headers)
    head = b"HTTP/%s %s OK\r\n%s\r\n\r\n" % (version, status, b"\r\n".join(headers))
    if framing == _HEADERS[5]:
        sizes = [dice.randrange(1, 20) for _ in range(dice.randrange(4))]
        ends = (b"0\r\n\r\n", b"0\r\nX: 1\r\n\r\n", b"")
        return head + b"".join(b"%x\r\n%s\r\n" % (n, b"x" * n) for n in sizes) + dice.choice(ends)
    return head + dice.choice((b"", b"hello", b"hel", b"hello, you"))


def _make(dice: Random) -> tuple[bool, list[bytes]]:
    stream = b"".join(_one(dice) for _ in range(dice.choice((1, 1, 2))))
    if dice.random() < 0.6:
        stream = mangled(dice, stream, _PARTS, 2)
    return dice.random() < 0.1, sliced(dice, stream)


def _read(head_only: bool, pieces: list[bytes]) -> tuple[Read, bool] | None:
    """((status, headers, body), whether its connection serves again); None: refused."""
    incoming = Incoming(head_only)
    body = b""
    try:
        for piece in pieces:
            if piece:
                incoming.feed(piece)
                body += incoming.take()
        reusable = incoming.reusable
        if not incoming.done:
            incoming.end()
            body += incoming.take()
    except httpcore.RemoteProtocolError:
        return None
    finally:
        incoming.close()
    return (incoming.status, incoming.headers, body), reusable


def _by_h11(head_only: bool, stream: bytes) -> tuple[Read, bool] | None:
    peer = h11.Connection(h11.CLIENT)
    method = b"HEAD" if head_only else b"POST"
    peer.send(h11.Request(method=method, target=b"/", headers=[(b"Host", b"h")]))
    peer.send(h11.EndOfMessage())
    status, headers, body = 0, [], b""
    try:
        peer.receive_data(stream)
        peer.receive_data(b"")
        while True:
            event = peer.next_event()
            if isinstance(event, h11.Response):
                status, headers = event.status_code, list(event.headers)
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            elif not isinstance(event, h11.InformationalResponse):
                return None
    except h11.RemoteProtocolError:
        return None
    # Empty lines between answers are no answer.
    alone = not peer.trailing_data[0].strip(b"\r\n") and peer.their_state is h11.DONE
    return (status, headers, body), alone


def _plain(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """h11 has names in lower case, and the encoding's."""
    lower = [(name.lower(), value.strip(b" \t")) for name, value in headers]
    return [(n, v.lower() if n == b"transfer-encoding" else v) for n, v in lower]


def _check(one: tuple[bool, list[bytes]]) -> bool:
    head_only, pieces = one
    stream = b"".join(pieces)
    found = _read(head_only, pieces)
    assert found == _read(head_only, [stream]), "the cut decides"
    if found is None:
        return False
    (status, headers, body), reusable = found
    assert 200 <= status <= 999
    other = _by_h11(head_only, stream)
    if other is not None:
        (their_status, their_headers, their_body), theirs_alone = other
        assert (status, body) == (their_status, their_body)
        assert _plain(headers) == _plain(their_headers)
        assert not reusable or theirs_alone, "kept, though something else may come on it"
    return True


TARGETS = [
    Target(
        "http-answer",
        "the same however it is cut, no other than h11 reads, or RemoteProtocolError",
        _make,
        _check,
    ),
]
