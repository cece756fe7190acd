"""The JSON Schema of a bot's file, for completion and checks in editors: `eslbot schema`.

    # yaml-language-server: $schema=bot.schema.json

From the models that read the file, so that both agree. An editor reads YAML's scalars as numbers
and truth values where we read text, so each text may be one of those as well.
"""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

from pydantic import BaseModel

from workers.bot.definition import Bot

_FIELD = re.compile(r"    ([a-z_]+):")
DRAFT = "https://json-schema.org/draft/2020-12/schema"
# What the keys of the file itself are for.
TOP = {
    "name": "The bot's name: lower case, digits and underscores.",
    "language": "Of its texts, as en or en-GB.",
    "languages": "The same bot in other languages: language to the name of a file beside this one.",
    "timezone": "Of the callers' today and tomorrow, as Europe/Berlin.",
    "persona": "For language models: who the bot is.",
    "greeting": "The first words of a call.",
    "phrases": "What is said apart from answers.",
    "max_misses": "Turns in a row that were not understood, until the keypad menu takes over.",
    "ladder": "What is done for a turn whose answer does not come, and when.",
    "recording": "Whether and how calls are recorded, and who is asked first.",
    "webhooks": "Who is told of what happens in calls, over HTTP.",
    "redaction": "What is hidden of callers' words before they are stored or leave the house.",
    "slots": "What can be asked for.",
    "tables": "Rows that intents look up: table to key to field to text.",
    "intents": "What callers can want.",
    "tools": "What can be asked of, or done by, servers over HTTP.",
    "hours": "When destinations are open.",
    "destinations": "Where callers can be sent: extensions of the dialplan.",
    "menu": "The keypad menu.",
    "knowledge": "A folder of texts from which questions are answered.",
    "routes": "Which turns go to the strong model; the first that fits.",
    "signals": "Callers' words that tell of anger, urgency, or the wish for a person.",
    "rules": "What is done about these, once in a call each.",
    "variants": "Versions of the bot that are tried against each other.",
}


def schema() -> dict[str, Any]:
    """The whole of it."""
    made = Bot.model_json_schema(mode="validation")
    found: dict[str, Any] = _plain(made)
    definitions = found.get("$defs", {})
    # The file names itself where it has translations: there, names of files stand.
    root = definitions.pop("Bot", None) or {
        key: value for key, value in found.items() if key != "$defs"
    }
    for key, what in TOP.items():
        if key in root["properties"]:
            root["properties"][key]["description"] = what
    if "languages" in root["properties"]:
        files = {"type": "string"}
        root["properties"]["languages"] |= {"additionalProperties": files}
        root["properties"]["languages"].pop("patternProperties", None)
    for section in sections():
        described = root if section is Bot else definitions.get(section.__name__, {})
        for key, what in comments(section).items():
            if key in described.get("properties", {}):
                described["properties"][key].setdefault("description", what)
    root["description"] = "A bot of eslbot."
    return {"$schema": DRAFT, "title": "eslbot bot", **root, "$defs": definitions}


def text() -> str:
    return json.dumps(schema(), indent=2, sort_keys=False) + "\n"


def sections() -> list[type[BaseModel]]:
    """Bot, and each model within it."""
    found: list[type[BaseModel]] = []

    def look(kind: Any) -> None:
        for inner in getattr(kind, "__args__", ()):
            look(inner)
        if inspect.isclass(kind) and issubclass(kind, BaseModel) and kind not in found:
            found.append(kind)
            for field in kind.model_fields.values():
                look(field.annotation)

    look(Bot)
    return found


def comments(section: type[BaseModel]) -> dict[str, str]:
    """Of each field, what the comment above it says in the source."""
    found: dict[str, str] = {}
    above: list[str] = []
    for line in inspect.getsource(section).splitlines():
        bare = line.strip()
        field = _FIELD.match(line)
        if bare.startswith("# "):
            above.append(bare[2:])
            continue
        if field and above and field[1] in section.model_fields:
            found[field[1]] = " ".join(above)
        above = []
    return found


def _plain(node: Any) -> Any:
    """Without titles, which repeat the keys, and with texts as wide as YAML writes them."""
    if isinstance(node, list):
        return [_plain(one) for one in node]
    if not isinstance(node, dict):
        return node
    found: dict[str, Any] = {}
    for key, value in node.items():
        if key == "title" and isinstance(value, str):
            continue
        if key == "default" and not isinstance(value, str | int | float):
            continue  # whole sections, and None
        if key in ("properties", "$defs"):
            found[key] = {name: _plain(one) for name, one in value.items()}
        elif key == "description":
            found[key] = " ".join(str(value).split())
        else:
            found[key] = value if key in ("const", "enum", "default") else _plain(value)
    if found.get("type") == "string" and not {"enum", "const"} & set(found):
        found["type"] = ["string", "number", "boolean"]
    if "patternProperties" in found:
        found["additionalProperties"] = False
    if "anyOf" in found:
        # A key that has no value is left out, and never null.
        some = [one for one in found.pop("anyOf") if one != {"type": "null"}]
        found |= some[0] if len(some) == 1 else {"anyOf": some}
    return found
