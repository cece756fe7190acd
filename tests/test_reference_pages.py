"""The reference pages name what there is, and nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints
from xml.etree import ElementTree

import pytest

from eslbot.freeswitch import DIALPLAN, generate
from tests.house import ROOT
from tests.test_transfers import bot as with_all_transfers  # noqa: F401  a fixture
from workers import messages
from workers.bot import Bot, load

VARIABLES = (ROOT / "docs" / "channel-variables.md").read_text()
STREAMS = (ROOT / "docs" / "streams.md").read_text()
BOTS = sorted((ROOT / "eslbot" / "bots").glob("*.yaml"))
OURS = re.compile(r"(?:ai|eslbot)_[a-z][a-z_]*")
EXPANDED = re.compile(r"\$\{([a-z][a-z_]*)\}")
# Of the same form, and no variables: extensions of the native menu.
EXTENSIONS = {"eslbot_go", "eslbot_choice"}
# These hold names of metrics.
OF_METRICS = {"accounts.py", "fleet.py"}
# Callers, rigs and stand-ins bring variables of example bots.
NOT_THE_HOUSE = {"bench", "chaos", "evals", "examples", "loadtest", "rig", "switch"}


def cells(page: str, heading: str) -> list[list[str]]:
    """The rows of the tables under a heading that begins so, without those of names."""
    part = page.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in part.splitlines() if line.startswith("| `") or line.startswith("| a ")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def sources() -> Iterator[tuple[Path, ast.AST]]:
    for folder in ("eslbot", "workers"):
        for path in (ROOT / folder).rglob("*.py"):
            if not NOT_THE_HOUSE & set(path.relative_to(ROOT).parts):
                yield path, ast.parse(path.read_text())


def in_the_code() -> set[str]:
    """Strings and keywords that are the name of a variable, and nothing more."""
    found = set()
    for path, tree in sources():
        for node in ast.walk(tree):
            name = ""
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                name = node.value
            elif isinstance(node, ast.keyword):
                name = node.arg or ""
            if OURS.fullmatch(name) and path.name not in OF_METRICS:
                found.add(name)
    assert {"ai_intent", "eslbot_secret", "eslbot_extension"} <= found
    return found - EXTENSIONS - {name for name in found if name.endswith("_")}


def in_a_dialplan(bot: Bot) -> tuple[set[str], set[str]]:
    """(set or removed, read) by what is generated for a bot."""
    xml = generate(
        bot, listeners=["127.0.0.1:8084"], sounds_dir="/x", context="eslbot", watchdog_s=3,
        entry_extension="7000", menu_extension="9000", secret="a-secret-of-enough-length",
    )[DIALPLAN]  # fmt: skip
    done, read = set(), set()
    for one in ElementTree.fromstring(xml).iter():
        if one.tag in ("action", "anti-action"):
            data = one.get("data", "")
            if one.get("application") in ("set", "unset"):
                done.add(data.partition("=")[0])
            elif one.get("application") == "play_and_get_digits":
                done.add(data.split(" ")[7])
            read |= set(EXPANDED.findall(data))
        read |= set(EXPANDED.findall(one.get("field", "")))
    return done, read - {"uuid"}


def in_asterisk() -> set[str]:
    text = (ROOT / "asterisk" / "extensions.conf").read_text()
    lines = [line.partition(";")[0] for line in text.splitlines()]
    words = re.findall(r"(?:Set|Read)\((\w+)[=,]|\$\{(\w+)\}", "\n".join(lines))
    return {name for pair in words for name in pair if OURS.fullmatch(name)}


def of_slots(bot: Bot) -> set[str]:
    found = {slot.variable for slot in bot.slots.values()}
    return found | {name for rule in bot.rules.values() for name in rule.variables}


def test_every_channel_variable_has_its_row_and_every_row_a_variable(
    with_all_transfers: Bot,  # noqa: F811
):
    bots = [*map(load, BOTS), with_all_transfers]
    plans = [in_a_dialplan(bot) for bot in bots]
    slots = set().union(*map(of_slots, bots))
    used = set().union(in_the_code(), in_asterisk(), *(done | read for done, read in plans))
    used -= slots
    rows = [
        name
        for heading in ("Of the conversation", "Between", "Of the native", "Of the Asterisk",
                        "FreeSWITCH's own")
        for row in cells(VARIABLES, heading)
        if not row[0].startswith("a ")  # a slot's, a rule's: the bot's file names them
        for name in named(row[0])
    ]  # fmt: skip
    assert len(rows) == len(set(rows))
    # Set by the listener alone, for who takes over:
    assert set(rows) - {"sip_h_X-Eslbot-*", "export_vars"} == used


@pytest.mark.parametrize("kind", get_args(messages.Message), ids=lambda kind: kind.__name__)
def test_every_message_has_its_row_with_its_fields_in_order(kind: type):
    rows = {named(row[0])[0]: row for row in cells(STREAMS, "Reference: messages")}
    assert named(rows[kind.__name__][2]) == list(get_type_hints(kind))


@pytest.mark.parametrize(
    "kind", [messages.Turn, messages.DialogState, messages.Step, messages.Line],
    ids=lambda kind: kind.__name__,
)  # fmt: skip
def test_what_a_job_is_told_has_its_fields(kind: type):
    rows = {named(row[0])[0]: row for row in cells(STREAMS, "Reference: messages")}
    told = rows[kind.__name__][1]
    assert named(told) == list(get_type_hints(kind))
    whole = {int: "int", float: "float", bool: "bool", str: "str"}
    for name, hint in get_type_hints(kind).items():
        if hint in whole:
            assert f"`{name}` {whole[hint]}" in told


def test_no_message_stands_there_that_is_none():
    rows = {named(row[0])[0] for row in cells(STREAMS, "Reference: messages")}
    jobs = {"Turn", "DialogState", "Step", "Line"}
    assert rows - jobs == {kind.__name__ for kind in get_args(messages.Message)}


def key_of(text: str) -> str:
    """A key without what is a name in it: eslbot:log, eslbot:ai-off:audit, eslbot:{."""
    if text.startswith("eslbot:{"):
        return "eslbot:{"
    parts = re.split(r"[:*]", text)
    fixed = [part for part in parts[1:] if re.fullmatch(r"[a-z-]+", part)]
    return ":".join(["eslbot", *fixed])


def keys_in_the_code() -> set[str]:
    found = set()
    for path, tree in sources():
        if path.name == "redis_acl.py":
            continue
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            text = ""
            if isinstance(node, ast.JoinedStr):
                text = "".join(one.value if isinstance(one, ast.Constant) else "N"
                               for one in node.values)  # fmt: skip
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
            if id(node) not in docs and re.match(r"eslbot:[a-z{]", text):
                found.add(key_of(text))
    live = (ROOT / "eslbot" / "chaos" / "live.py").read_text()
    return found | {key_of(text) for text in re.findall(r'"(eslbot:chaos[:a-z]*)"', live)}


def test_every_key_has_its_row_and_every_row_a_key():
    rows = [name for row in cells(STREAMS, "Reference: keys") for name in named(row[0])]
    ours = {key_of(name) for name in rows if name.startswith("eslbot:")}
    assert ours == keys_in_the_code()


def test_every_entry_of_a_call_s_log_has_its_row_and_every_row_an_entry():
    rows = {
        name: row[1] for row in cells(STREAMS, "Reference: a call's log") for name in named(row[0])
    }
    used: dict[str, set[str]] = {}
    for _, tree in sources():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
                and node.func.attr == "record" and node.args
                and isinstance(node.args[0], ast.Constant)
            ):  # fmt: skip
                told = used.setdefault(node.args[0].value, set())
                told |= {one.arg for one in node.keywords if one.arg}
    assert set(rows) == set(used)
    for name, fields in used.items():
        assert fields <= set(named(rows[name])), name
