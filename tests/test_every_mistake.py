"""Each kind of mistake in each key of a bot's file: refused, with its line and key.

The kinds are derived from the models themselves: a new section or key is in here as soon as it
stands in tests/data/bots/every_key.yaml, and a test fails as long as it does not.

    unknown key     in each section
    missing         each key that has no default
    wrong type      a mapping where a word belongs, a word where a list or a mapping belongs
    out of bounds   each bound, pattern and list of values in the JSON Schema of the key
    no such name    each key that names an intent, slot, table, tool, destination, hours or phrase
    twice           each key
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from workers.bot import Bot, BotError, load
from workers.bot.schema import sections

FULL = Path(__file__).parent / "data" / "bots" / "every_key.yaml"
DATA: dict[str, Any] = yaml.load(FULL.read_text(), yaml.BaseLoader)
SCHEMA = Bot.model_json_schema()
# What a tool sends is the operator's own; a test of its own has its bounds.
FREE = {("Tool", "body")}
# A word that could be any: it is no name of something else in the file.
FREE_NAMES = {("Bot", "name"), ("Tool", "secret"), ("Webhook", "secret")}
NAME = r"^[a-z][a-z0-9_]{0,31}$"
ROOT_SECTION = "Bot"


class Key(NamedTuple):
    """A key of the file, once for each section that can have it: path, its section, its schema."""

    path: tuple[str | int, ...]
    section: str
    name: str
    schema: dict[str, Any]


def resolved(node: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(name of the section, or "", schema) behind references and what may be left out."""
    name = ""
    while True:
        some = [one for one in node.get("anyOf", []) if one != {"type": "null"}]
        if "$ref" in node:
            name = node["$ref"].rsplit("/", 1)[-1]
            node = SCHEMA["$defs"][name]
        elif len(some) == 1:
            node = some[0]
        elif some:  # numbers that may be texts as well
            return name, next(one for one in some if one.get("type") != "string")
        else:
            return name, node


def walk(path: tuple[str | int, ...], value: Any, node: dict[str, Any]) -> Iterator[Key]:
    section, node = resolved(node)
    if "properties" in node:
        for name, inner in value.items():
            yield Key((*path, name), section, name, resolved(node["properties"][name])[1])
            yield from walk((*path, name), inner, node["properties"][name])
    elif isinstance(value, dict):
        below = node.get("additionalProperties")
        if not isinstance(below, dict):
            below = next(iter(node.get("patternProperties", {}).values()), {})
        for name, inner in value.items():
            yield from walk((*path, name), inner, below)
    elif isinstance(value, list):
        for n, inner in enumerate(value):
            yield from walk((*path, n), inner, node.get("items", {}))


def keys() -> dict[tuple[str, str], Key]:
    """Each key of each section, where it stands first."""
    found: dict[tuple[str, str], Key] = {}
    for key in walk((), DATA, {"$ref": f"#/$defs/{ROOT_SECTION}"}):
        found.setdefault((key.section, key.name), key)
    return found


KEYS = keys()


def test_every_key_that_a_bots_file_can_have_is_tried() -> None:
    every = {(one.__name__, name) for one in sections() for name in one.model_fields}
    # Of languages see test_bot.py: they need a file each.
    assert every - set(KEYS) == {("Bot", "languages"), ("Intent", "language")}
    assert load(FULL).name == "everything"


def refused(folder: Path, data: dict[str, Any], *named: str | int) -> BotError:
    """The error of this file, once it was seen to name the line of what it names."""
    path = folder / "bot.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False, width=10_000))
    with pytest.raises(BotError) as caught:
        load(path)
    error = caught.value
    told = str(error)
    assert told == f"{path}: line {error.line}: {error.key}: {error.cause}"
    assert error.line == line(path.read_text(), error.key)
    wanted = [part for part in map(str, named) if not part.isdigit()]
    got = [part for part in error.key.split(".") if not part.isdigit()]
    assert got[: len(wanted)] == wanted or (got == wanted[:-1] and wanted[-1] in error.cause), told
    return error


def line(text: str, key: str) -> int:
    """Where the key stands, or the closest one around it: read anew, by YAML's own marks."""
    node = yaml.compose(text, yaml.SafeLoader)
    at = 1
    for part in key.split("."):
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == part), None)
            if found is None:
                return at
            at, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and part.isdigit():
            node = node.value[int(part)]
            at = node.start_mark.line + 1
        else:
            return at
    return at


def changed(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """The whole file with another value at this place; None: without it."""
    data = copy.deepcopy(DATA)
    inside: Any = data
    for part in path[:-1]:
        inside = inside[part]
    if value is None:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    return data


SECTIONS = {key.section: key.path[:-1] for key in reversed(KEYS.values())}


@pytest.mark.parametrize("section", SECTIONS)
def test_an_unknown_key(tmp_path: Path, section: str) -> None:
    at = SECTIONS[section]
    error = refused(tmp_path, changed((*at, "zzz"), "x"), *at, "zzz")
    assert error.cause == "unknown key"


REQUIRED = [
    (one.__name__, name)
    for one in sections()
    for name, field in one.model_fields.items()
    if field.is_required()
]


@pytest.mark.parametrize("key", REQUIRED, ids=".".join)
def test_a_missing_key(tmp_path: Path, key: tuple[str, str]) -> None:
    path = KEYS[key].path
    assert refused(tmp_path, changed(path, None), *path).cause == "Field required"


@pytest.mark.parametrize("key", [k for k in KEYS if k not in FREE], ids=".".join)
def test_a_value_of_another_type(tmp_path: Path, key: tuple[str, str]) -> None:
    """Neither a mapping nor a list in place of a word, and no word in place of these."""
    one = KEYS[key]
    held: Any = DATA
    for part in one.path:
        held = held[part]
    wrong = [{"zzz": "x"}, ["x"]] if isinstance(held, str) else ["zzz"]
    for value in wrong:
        refused(tmp_path, changed(one.path, value), *one.path)


def out_of_bounds(schema: dict[str, Any]) -> Iterator[Any]:
    """Values that its schema does not allow, one for each of its bounds."""
    kind = schema.get("type")
    if "enum" in schema:
        yield "zzz"
    if kind in ("integer", "number"):
        yield "four"
        if "minimum" in schema:
            yield str(schema["minimum"] - 1)
        if "maximum" in schema:
            yield str(schema["maximum"] + 1)
    if kind == "boolean":
        yield "perhaps"
    if "pattern" in schema:
        yield next(w for w in ("", "A b\u0007", "zzz") if not re.search(schema["pattern"], w))
    if "minLength" in schema:
        yield ""
    if "maxLength" in schema:
        yield "x" * (schema["maxLength"] + 1)
    if schema.get("format") == "date":
        yield "2026-02-30"
    if schema.get("minItems"):
        yield []
    if schema.get("minProperties"):
        yield {}


BOUNDS = [
    (*key, n, value)
    for key, one in KEYS.items()
    for n, value in enumerate(out_of_bounds(one.schema))
]


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda b: f"{b[0]}.{b[1]}-{b[2]}")
def test_a_value_out_of_bounds(tmp_path: Path, bound: tuple[str, str, int, Any]) -> None:
    section, name, _, value = bound
    path = KEYS[section, name].path
    refused(tmp_path, changed(path, value), *path)


MANY = [
    key for key, one in KEYS.items() if {"maxItems", "maxProperties"} & set(one.schema)
]  # fmt: skip


@pytest.mark.parametrize("key", MANY, ids=".".join)
def test_more_than_there_may_be(tmp_path: Path, key: tuple[str, str]) -> None:
    one = KEYS[key]
    held: Any = DATA
    for part in one.path:
        held = held[part]
    count = one.schema.get("maxItems", one.schema.get("maxProperties", 0)) + 1
    if isinstance(held, list):
        value: Any = [copy.deepcopy(held[0]) for _ in range(count)]
    else:
        first = next(iter(held.values()))
        value = {f"n{n}": copy.deepcopy(first) for n in range(count)}
    refused(tmp_path, changed(one.path, value), *one.path)


def names(key: Key) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Places of this key where the name of something else stands, with a name that is nobody's."""
    items = key.schema.get("items", {})
    if key.schema.get("pattern") == NAME:
        yield key.path, "nobody"
    elif items.get("pattern") == NAME:
        held: Any = DATA
        for part in key.path:
            held = held[part]
        yield key.path, [*held, "nobody"]


NAMED = [key for key, one in KEYS.items() if key not in FREE_NAMES and list(names(one))]
# Names that are keys of a mapping.
NAMED_BY_KEY = {
    ("Tool", "keep"): {"nobody": "number"},
    ("Variant", "phrases"): {"nobody": "Hm."},
    ("Variant", "answers"): {"nobody": "Hm."},
}


@pytest.mark.parametrize("key", [*NAMED, *NAMED_BY_KEY], ids=".".join)
def test_a_name_that_nothing_has(tmp_path: Path, key: tuple[str, str]) -> None:
    one = KEYS[key]
    for path, value in [*names(one)] or [(one.path, NAMED_BY_KEY[key])]:
        assert "nobody" in str(refused(tmp_path, changed(path, value), *path))


def test_all_that_names_something_else_is_known_to_this_test() -> None:
    assert {f"{section}.{name}" for section, name in NAMED} == {
        "Closed.destination", "Destination.hours", "Destination.on_no_answer", "ErrorAnswer.ask",
        "Intent.about", "Intent.destination", "Intent.slots", "Intent.tool", "Intent.transfer",
        "Lookup.key", "Lookup.table", "Menu.person", "MenuItem.intent", "Rule.transfer",
        "Turns.intents",
    }  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=".".join)
def test_a_key_that_stands_there_twice(tmp_path: Path, key: tuple[str, str]) -> None:
    path = KEYS[key].path
    text = yaml.safe_dump(DATA, sort_keys=False, width=10_000)
    at = line(text, ".".join(map(str, path))) - 1
    lines = text.splitlines()
    bare = lines[at].lstrip(" -")
    before = lines[at][: len(lines[at]) - len(bare)]
    lines[at] = " " * len(before) + bare
    lines.insert(at, f"{before}{path[-1]}: x")
    file = tmp_path / "bot.yaml"
    file.write_text("\n".join(lines))
    with pytest.raises(BotError) as caught:
        load(file)
    error = caught.value
    assert error.cause == f"{path[-1]} stands here twice"
    assert lines[error.line - 1].split(":")[0].strip(" -'\"") == path[-1]


@pytest.mark.parametrize(
    ("path", "value", "cause"),
    [
        ("webhooks.crm.url", "ftp://crm.example/", "pattern"),
        ("tools.book.url", "https://{order}.example/", "no placeholder"),
        ("tools.book.url", "https://user:word@shop.example/{order}", "use secret"),
        ("tools.book.url", "https://shop.example/{order}#x", "fragment"),
        ("tools.book.url", "https://shop.example:port/{order}", "is none"),
        ("tools.book.url", "https://shop.example/{nobody}", "is no argument"),
        ("tools.book.headers", {"Host": "a"}, "by the bot itself"),
        ("tools.book.headers", {"X-Key": "{order}"}, "no argument gets into a header"),
        ("tools.book.body", {"day": "{"}, "a brace"),
        ("tools.book.secret", "Shop Key", "pattern"),
        ("hours.office.zone", "Europe/Nowhere", "no time zone"),
        ("hours.office.weekly.mon", ["17:00-09:00"], "ends before it begins"),
        ("hours.office.weekly.mon", ["9-17"], "pattern"),
        ("hours.office.weekly", {"monday": ["09:00-17:00"]}, "mon"),
        ("hours.office.holidays", {"2026-02-30": []}, "is no day"),
        ("timezone", "Berlin", "no time zone"),
        ("language", "english", "pattern"),
        ("intents.english.language", "fr", "there is no file of languages"),
        ("intents.status.answer", "It is {orders.colour}.", "not every row"),
        ("intents.status.answer", "It is {colour}.", "not defined"),
        ("intents.pay.confirm", "{pin}?", "secret slot"),
        ("destinations.office.dial", "user/${caller}", "pattern"),
        ("destinations.office.whisper", "{pin}", "none of intent, summary"),
        ("destinations.sales.refer_to", "tel:+4930", "pattern"),
        ("slots.day.earliest", "tomorrow", "pattern"),
        ("slots.sum.variable", "ai_day", "channel variable of its own"),
        ("rules.angry.variables", {"ai_order": "x"}, "is a slot's"),
        ("menu.retry", "Again {order}.", "belongs to no placeholder"),
    ],
)  # fmt: skip
def test_what_is_wrong_beyond_its_type(tmp_path: Path, path: str, value: Any, cause: str) -> None:
    at = tuple(path.split("."))
    error = refused(tmp_path, changed(at, value), *at)
    assert cause in error.cause
