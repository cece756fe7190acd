"""Reading a bot's file: YAML to the definition, each error with its line and key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from workers.bot.definition import Bot

MAX_FILE_BYTES = 1_000_000
MAX_DEPTH = 20
MAX_VALUES = 200_000  # of the whole file, aliases written out
MAX_ERRORS = 50  # beside the first
MAX_SHOWN = 400  # characters of a key, and of a cause, in an error
_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


Lines = dict[tuple[str, ...], int]


class BotError(Exception):
    """The bot's file can't be used. str() is one line: file, line, key, cause.

    others: what else is wrong with it, as far as it is known.
    """

    def __init__(self, text: str, line: int = 1, key: str = "", cause: str = "") -> None:
        super().__init__(text)
        self.line = line
        self.key = key
        self.cause = cause or text
        self.others: list[BotError] = []


def load(path: Path) -> Bot:
    """Read and check a bot's file and its translations. Raises BotError with file, line, key."""
    return _load(path, translation=False)[0]


def load_with_lines(path: Path) -> tuple[Bot, Lines]:
    """The same, with the line of each key."""
    return _load(path, translation=False)


def line_of(lines: Lines, what: str) -> int:
    """That of the key, or of the closest one around it."""
    keys = tuple(what.split("."))
    return next((lines[keys[:n]] for n in range(len(keys), -1, -1) if keys[:n] in lines), 1)


def read(path: Path) -> tuple[object, Lines]:
    """A YAML file as dict, list and str, and the line of each key. Raises BotError."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BotError(f"{path}: {error.strerror}", cause=error.strerror or "") from None
    if len(raw) > MAX_FILE_BYTES:
        raise BotError(f"{path}: larger than {MAX_FILE_BYTES} bytes")
    lines: Lines = {}
    try:
        return _plain(yaml.compose(raw, Loader=yaml.SafeLoader), (), lines), lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        cause = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise BotError(f"{path}: line {line}: {_shown(cause)}", line, "", _shown(cause)) from None
    except (ValueError, OverflowError, RecursionError) as error:
        # PyYAML lets out what int() and chr() raise, for "\UFFFFFFFF" for instance.
        raise BotError(f"{path}: line 1: {type(error).__name__}: not a YAML text") from None


def invalid(path: Path, lines: Lines, error: ValidationError) -> BotError:
    """The first error of a model, with its line and key; what else is wrong is in `others`."""
    # A misspelt key is also a missing one: the first says more.
    first, *others = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    wrong = _wrong(path, lines, first)
    wrong.others = [_wrong(path, lines, one) for one in others[:MAX_ERRORS]]
    return wrong


def _wrong(path: Path, lines: Lines, one: Any) -> BotError:
    """Of one of pydantic's."""
    cause = "unknown key" if one["type"] == "extra_forbidden" else one["msg"]
    cause = cause.removeprefix("Value error, ")
    what = ".".join(str(part) for part in one["loc"])
    # Who checks several keys names the one that is wrong, seen from where he stands.
    named, _, rest = cause.partition(": ")
    if rest and (not what or _stands(lines, f"{what}.{named}")):
        what, cause = f"{what}.{named}".lstrip("."), rest
    return at_key(path, lines, what, cause)


def _stands(lines: Lines, what: str) -> bool:
    return tuple(what.split(".")) in lines


def _load(path: Path, translation: bool) -> tuple[Bot, Lines]:
    data, lines = read(path)
    _translations(path, data, lines, translation)
    try:
        bot = Bot.model_validate(data)
    except ValidationError as error:
        raise invalid(path, lines, error) from None
    stray = bot.stray_brace()
    if stray:
        raise at_key(path, lines, stray, "a brace that belongs to no placeholder here")
    odd = next((name for name, intent in bot.intents.items() if intent.language), None)
    if odd and not bot.languages and not translation:
        raise at_key(path, lines, f"intents.{odd}.language", "there is no file of languages")
    return bot, lines


def _translations(path: Path, data: object, lines: Lines, translation: bool) -> None:
    """In place of the name of each language's file, beside this one: what it holds."""
    files = data.get("languages") if isinstance(data, dict) else None
    if not isinstance(files, dict):
        return
    for language, name in files.items():
        at = f"languages.{language}"
        if translation:
            raise at_key(path, lines, at, "a translation has none of its own")
        if not isinstance(name, str) or not _FILE.fullmatch(name):
            raise at_key(path, lines, at, "the name of a file in the same folder is wanted")
        files[language] = _load(path.parent / name, translation=True)[0]


def at_key(path: Path, lines: Lines, what: str, cause: str) -> BotError:
    """An error at a key ("intents.hours.answer")."""
    line, key, cause = line_of(lines, what), _shown(what), _shown(cause)
    return BotError(f"{path}: line {line}: {key + ': ' if key else ''}{cause}", line, key, cause)


def _shown(text: str) -> str:
    """Something of the file in an error: on one line, and not too much of it."""
    cut = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
    return cut if cut.isprintable() else ascii(cut)[1:-1][:MAX_SHOWN]


def _plain(node: yaml.Node | None, at: tuple[str, ...], lines: Lines) -> object:
    """Nodes to dict, list and str, with the line of each; repeated keys are errors."""
    if node is None:
        return None
    # A few lines of aliases to aliases are more text than there is memory.
    if len(at) > MAX_DEPTH or len(lines) > MAX_VALUES:
        raise yaml.MarkedYAMLError(None, None, "nested too deeply or too much", node.start_mark)
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                # Nor could its text be told: of aliases to aliases it is endless.
                raise yaml.MarkedYAMLError(None, None, "a key that is no word", key_node.start_mark)
            key = str(key_node.value)
            if key in result:
                raise yaml.MarkedYAMLError(
                    None, None, f"{key} stands here twice", key_node.start_mark
                )
            lines[(*at, key)] = key_node.start_mark.line + 1
            result[key] = _plain(value_node, (*at, key), lines)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(n, (*at, str(i)), lines) for i, n in enumerate(node.value)]
    return str(node.value).strip()
