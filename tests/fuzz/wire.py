"""The event socket: what a switch may send us, and what we may send a switch."""

from __future__ import annotations

import itertools
from pathlib import Path
from random import Random
from typing import Any

from eslbot import esl
from eslbot.esl import LocalProtocolError, Message, Parser, RemoteProtocolError
from tests.fuzz.mutate import mangled, sliced, text
from tests.fuzz.runner import Target

ROOT = Path(__file__).parent.parent.parent
CAPTURES = sorted((ROOT / "tests" / "captures").glob("*.from_freeswitch.esl"))
UUID = "639c7676-e4ad-40ba-8fa8-737a69f4b5d3"
TOKENS = (
    b"\n", b"\n\n", b"\r\n", b":", b"\0", b"%0A", b"%", b"\xff", b" ", b"\xc2\xa0", b"\x0b",
    b"Content-Length: ", b"content-length:7\n", b" Content-Length: 3\n", b"Content-Length : 5\n",
    b"Event-Name: SPOOF\n", b"-1", b"99999999", b"+5", b"1_0", b"0x10", b"Content-Type: api\n",
    b"Content-Length: 0\n\n", b"Content-Length: 1048577\n", b"Content-Length: 3\nX: y\n\nabc",
)  # fmt: skip


def _messages() -> list[bytes]:
    """Each captured message, with its body."""
    found = [(ROOT / "eslbot" / "switch" / "connect_reply.esl").read_bytes()]
    for path in CAPTURES:
        data = path.read_bytes()
        parser = Parser()
        parser.receive_data(data)
        edges = [0]
        while parser.next_message() is not None:
            edges.append(len(data) - parser.buffered)
        found += [data[a:b] for a, b in itertools.pairwise(edges)]
    return sorted(set(found), key=len)


_ALL = _messages()
_SHORT = [one for one in _ALL if len(one) < 1000]


def _make_received(dice: Random) -> list[bytes]:
    if dice.random() < 0.001:  # close to a bound
        size = esl.MAX_HEADER_BYTES + dice.randrange(-3, 4)
        data = b"A: " + b"b" * (size - 3) + b"\n\n" + _SHORT[0]
    elif dice.random() < 0.001:
        count = esl.MAX_HEADERS + dice.randrange(-2, 3)
        data = b"\n".join(b"%d:" % n for n in range(count)) + b"\n\n"
        if dice.random() < 0.5:
            head = b"Content-Type: text/event-plain\nContent-Length: %d\n\n"
            data = head % len(data) + data
    else:
        sources = _ALL if dice.random() < 0.1 else _SHORT
        data = b"".join(dice.choice(sources) for _ in range(dice.randrange(1, 4)))
        data = mangled(dice, data, TOKENS, 3)
    return sliced(dice, data)


def _read(pieces: list[bytes]) -> tuple[list[Message], str]:
    """The messages, and why the rest was refused, "" where nothing was."""
    parser = Parser()
    found = []
    fed = 0
    try:
        for piece in pieces:
            parser.receive_data(piece)
            fed += len(piece)
            while (message := parser.next_message()) is not None:
                found.append(message)
            assert parser.buffered <= min(
                fed, max(esl.MAX_HEADER_BYTES + 1, esl.MAX_BODY_BYTES) + len(piece)
            )
        parser.receive_eof()
    except RemoteProtocolError as error:
        return found, str(error)
    return found, ""


def _check_received(pieces: list[bytes]) -> bool:
    found, refused = _read(pieces)
    whole, also = _read([b"".join(pieces)])
    assert refused == also, "the cut decides"
    assert [(dict(m.headers), m.body) for m in found] == [(dict(m.headers), m.body) for m in whole]
    for message in found:
        assert len(message.headers) <= esl.MAX_HEADERS
        assert len(message.body) <= esl.MAX_BODY_BYTES
        lengths = [v for k, v in message.headers.items() if k.lower() == "content-length"]
        assert [str(int(v)) for v in lengths] in ([], [str(len(message.body))])
        assert isinstance(message.reply + message.type, str)
        try:
            event = message.event()
        except RemoteProtocolError:
            continue
        assert len(event) <= esl.MAX_HEADERS
        for name in (*event, *message.headers):
            assert "\n" not in name and ":" not in name
        assert dict(event) == dict(event)
    return not refused


def _make_sent(dice: Random) -> tuple[str, list[str]]:
    kind = dice.choice(("command", "execute", "unicast", "variables", "value", "uuid"))
    if kind != "variables":
        return kind, [text(dice, 4) for _ in range(dice.randrange(1, 4))]
    words = [dice.choice((UUID, UUID, UUID, text(dice, 2)))]
    for _ in range(dice.randrange(4)):
        name = dice.choice(("ai_intent", "ai_account", "socket_resume", text(dice, 2)))
        words += [name, dice.choice(("4271", text(dice, 3)))]
    return kind, words


def _check_sent(one: tuple[str, list[str]]) -> bool:
    kind, words = one
    if kind == "value":
        _check_value(words[0])
        return True
    try:
        sent, lines = _sent(kind, words)
    except LocalProtocolError as error:
        assert not any(len(word) > 6 and word in str(error) for word in words), "it tells the text"
        return False
    assert sent.endswith(b"\n\n") and b"\n\n" not in sent[:-2], "more than one command"
    assert sent.count(b"\n") == lines + 1, "more lines than were meant"
    assert not any(one in sent for one in (b"${", b"\r", b"\0", b"$", b"{", b"}"))
    sent.decode()
    if kind == "variables":
        pairs = sent.decode().split(" ", 3)[3].removesuffix("\n\n")
        assert pairs == ";".join(f"{a}={b}" for a, b in _pairs(words).items())
        assert pairs.count("=") == pairs.count(";") + 1 if pairs else True
    return True


def _pairs(words: list[str]) -> dict[str, str]:
    return dict(zip(words[1::2], words[2::2], strict=True))


def _sent(kind: str, words: list[str]) -> tuple[bytes, int]:
    """The bytes, and how many lines of them there should be."""
    if kind == "command":
        return esl.command(*words), 1
    if kind == "execute":
        arg = words[1] if len(words) > 1 else ""
        return esl.execute(words[0] or "set", arg, UUID, lock=True), 6 if arg else 5
    if kind == "unicast":
        return esl.unicast(words[0], words[-1], 4000), 7
    if kind == "uuid":
        return esl.command("api", "uuid_exists", esl.uuid(words[0])), 1
    return esl.set_variables(words[0], _pairs(words)), 1


def _check_value(word: str) -> None:
    clean = esl.clean_value(word)
    assert len(clean) <= esl.MAX_VALUE
    assert esl.clean_value(clean) == clean, "cleaned twice it is another"
    assert b"ai_x=" + clean.encode() + b"\n\n" in esl.set_variables(UUID, {"ai_x": clean})


def _words(dice: Random) -> Any:
    return _make_sent(dice)


TARGETS = [
    Target(
        "esl-received",
        "messages within their bounds, the same ones however they are cut, or RemoteProtocolError",
        _make_received,
        _check_received,
    ),
    Target(
        "esl-sent",
        "one command without ${, CR, LF, NUL, or LocalProtocolError that does not tell the text",
        _words,
        _check_sent,
    ),
]
