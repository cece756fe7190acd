"""What an operator writes: the bot's file, and settings."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

from tests.fuzz.mutate import HOSTILE, NUMBERS, mangled, text
from tests.fuzz.runner import Target
from tests.test_bot import GOOD
from tests.test_ivr import TRICKY
from workers import bot, settings
from workers.bot import Bot, BotError
from workers.settings import Settings, SettingsError

MAX_CAUSE = 1000  # characters of an error, after the file's name
SOURCES = (GOOD.encode(), TRICKY.encode())
SCALARS = (
    b"*a", b"&a x", b"&a [*a, *a]", b"!!python/object/apply:os.system [id]", b"!!binary x",
    b"!<x> y", b"? [a, [b]]\n: c", b"? {a: b}\n: c", b"{<<: *a}", b"[" * 30, b"{a: " * 30,
    b'"\\x41"', b'"\\ud800"', b'"\\UFFFFFFFF"', b'"\\U00110000"', b'"\\0"', b'"\\e"', b'"\\N"',
    b"| \n  x", b">-", b"'", b'"', b"~", b"null", b"0o17", b"1_000", b"0x1F", b"12:30:00", b"-4",
    b".inf", b"1e999", b"2001-01-01", b"=", b"%YAML 9.9\n---", b"%YAML 1." + b"9" * 5000 + b"\n---",
    b"---\n", b"...\n", b"#", b"\t", b"\r", b"\xc2\x85", b"\xe2\x80\xa8", b"\xff", b"\x00",
    b"[a, b]", b"{a: b}", b"x" * 700, b"{order}", b"{orders.state}", b"{", b"}}", b"execute_on_x",
    b"../x", b"2000 XML public", b"${x}", b"confirm", b"ai_intent", b"on", b"no", b"yes",
    b"&a {b: c}", b"? &b [x, x]\n: &c [*b, *b]\n? [*c, *c]\n: d",
)  # fmt: skip

# A key of aliases to aliases: written out, it is longer than memory.
BOMB = b"? &a0 [x, x]\n: y\n" + b"".join(
    b"? &a%d [*a%d, *a%d]\n: y\n" % (n, n - 1, n - 1) for n in range(1, 40)
)

_folder = tempfile.TemporaryDirectory(prefix="eslbot-fuzz-")
_path = Path(_folder.name) / "bot.yaml"


def _make_bot(dice: Random) -> bytes:
    lines = dice.choice(SOURCES).splitlines(keepends=True)
    for _ in range(dice.randrange(4)):
        at = dice.randrange(len(lines))
        head, colon, tail = lines[at].partition(b":")
        match dice.randrange(8):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[at])
            case 2 | 3 if colon and tail.strip():
                lines[at] = head + b": " + dice.choice(SCALARS) + b"\n"
            case 4 if colon:
                name = dice.choice((b"x", b'"a.b"', b'"a\\nb"', *SCALARS))
                indent = head[: len(head) - len(head.lstrip())]
                lines[at] = indent + name + b":" + tail
            case 5:
                lines[at] = b" " * dice.randrange(6) + lines[at]
            case 6:
                other = dice.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case _:
                lines[at] = mangled(dice, lines[at], SCALARS, 2)
        if not lines:
            break
    if dice.random() < 0.01:
        lines.insert(dice.randrange(len(lines) + 1), BOMB)
    return b"".join(lines)


def _check_bot(raw: bytes) -> bool:
    _path.write_bytes(raw)
    try:
        found = bot.load(_path)
    except BotError as error:
        said = str(error)
        place = f"{_path}: line "
        assert said.startswith(place), "neither file nor line"
        assert said.removeprefix(place).partition(":")[0].isdecimal()
        assert len(said.splitlines()) == 1 and said.isprintable(), "more than a line"
        assert len(said) <= len(place) + MAX_CAUSE
        return False
    assert Bot.model_validate_json(found.model_dump_json()) == found
    assert found.menu.person in found.destinations
    for phrase in found.fixed_phrases():
        assert "{" not in phrase and "}" not in phrase
        assert phrase.encode() and not any(c in phrase for c in "\n\r\0\x1b")
    return True


_NAMES = dict(settings.names())


def _make_settings(dice: Random) -> dict[str, str]:
    environ = {"PATH": "/bin"}
    for _ in range(dice.randrange(1, 4)):
        name = dice.choice(list(_NAMES))
        one = _NAMES[name]
        if dice.random() < 0.1:
            name = mangled(dice, name.encode()).decode("utf-8", "surrogateescape")
        kind = dice.randrange(5)
        if kind == 0:
            given = str(one.default)
        elif kind == 1:
            given = dice.choice((*HOSTILE, "x" * 90_000, "1" * 5000, "10.0.0.0/8,", "::/0", "1.5"))
        elif kind == 2 and one.metadata["low"] is not None:
            edge = dice.choice((one.metadata["low"], one.metadata["high"]))
            given = str(edge + dice.randrange(-1, 2))
        elif kind == 3 and one.metadata["among"]:
            given = dice.choice(one.metadata["among"])
        else:
            given = dice.choice((str(dice.choice(NUMBERS)), text(dice, 2)))
        environ[name] = given
    return environ


def _check_settings(environ: dict[str, str]) -> bool:
    try:
        found = settings.load(environ)
    except SettingsError as error:
        said = str(error)
        assert len(said.splitlines()) == 1 and said.isprintable(), "more than a line"
        assert len(said) <= MAX_CAUSE
        assert said.startswith(("ESLBOT_", "REDIS_URL")), "no variable named"
        return False
    assert isinstance(found, Settings)
    for name, one in _NAMES.items():
        held, meta = getattr(found, one.name), one.metadata
        if meta["low"] is not None:
            assert type(held) is int and meta["low"] <= held <= meta["high"], name
        assert not meta["among"] or held in meta["among"]
        given = environ.get(name, str(one.default))
        if one.type == "int":
            assert given.isascii() and given.removeprefix("-").isdigit(), "no number"
            assert int(given) == held
        else:
            assert given == held, "read as something else"
    assert found.networks
    assert found.redis
    return True


TARGETS = [
    Target(
        "bot-file",
        "a bot that is the same after JSON, or BotError: one line with file, line and cause",
        _make_bot,
        _check_bot,
    ),
    Target(
        "settings",
        "values within their bounds, as they are written, or SettingsError: one line, naming one",
        _make_settings,
        _check_settings,
    ),
]
