"""The JSON Schema of a bot's file: what we accept it accepts, and what it can see it refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.house import ROOT
from tests.test_bot import GOOD
from tests.test_bot_sections import SECTIONS
from tests.test_every_mistake import FULL
from workers.bot import Bot
from workers.bot.schema import TOP, schema, sections, text


class Core(yaml.SafeLoader):
    """YAML 1.2, as editors read it: without days and numbers to the base of 60."""


Core.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in some if not tag.endswith((":timestamp", ":int"))]
    for first, some in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Core.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?[0-9]+$"), list("-+0123456789")
)


def seen(text: str) -> object:
    return yaml.load(text, Loader=Core)


@pytest.fixture(scope="module")
def editor() -> jsonschema.Draft202012Validator:
    found = schema()
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


BOTS = sorted((ROOT / "eslbot" / "bots").glob("*.yaml"))
SCHEMA_FILE = ROOT / "eslbot" / "bots" / "bot.schema.json"


@pytest.mark.parametrize("path", BOTS, ids=lambda path: path.stem)
def test_editors_find_the_schema_of_the_bots_that_come_along(path: Path) -> None:
    """`eslbot schema > eslbot/bots/bot.schema.json` writes it anew."""
    first = path.read_text().splitlines()[0]
    named = first.removeprefix("# yaml-language-server: $schema=")
    assert named != first
    assert path.parent / named == SCHEMA_FILE
    assert SCHEMA_FILE.read_text() == text()


@pytest.mark.parametrize(
    "text", [*(path.read_text() for path in (*BOTS, FULL)), GOOD, GOOD + SECTIONS]
)
def test_a_right_file_is_right_in_an_editor(
    editor: jsonschema.Draft202012Validator, text: str
) -> None:
    told = [f"{list(e.path)}: {e.message}" for e in editor.iter_errors(seen(text))]
    assert told == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("greeting: Hello.", "greting: Hello."),
        ("ask: Your", "aks: Your"),
        ("  retry: Again.\n", ""),
        ("  colour:", "  Colour:"),
        ("type: text", "type: word"),
        ("min_digits: 4", "min_digits: four"),
        ("max_digits: 4", "max_digits: -4"),
        ("ai_colour", "execute_on_answer"),
        ("[where is my order]", "[]"),
        ("context: shop", "context: ../shop"),
        ("folder: shop", "folder: ../shop"),
        ("anger: high", "anger: very"),
        ("to: strong", "to: stronger"),
        ("weight: 2", "wait: 2"),
    ],
)
def test_a_mistake_is_seen_in_an_editor(
    editor: jsonschema.Draft202012Validator, right: str, wrong: str
) -> None:
    text = GOOD + SECTIONS
    assert right in text
    assert list(editor.iter_errors(seen(text.replace(right, wrong, 1))))


def test_each_section_and_each_key_of_the_file_is_explained() -> None:
    assert set(Bot.model_fields) <= set(TOP), "workers/bot/schema.py explains the file's keys"
    for one in sections():
        assert (one.__doc__ or "").strip(), one.__name__


def test_the_command_prints_it() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "eslbot", "schema"],
        cwd=ROOT, env={}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    told = json.loads(run.stdout)
    assert told["properties"]["greeting"]["description"] == TOP["greeting"]
    assert told["$defs"]["Knowledge"]["properties"]["sentences"]["description"]
    assert "null" not in run.stdout
