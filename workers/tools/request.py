"""A tool's request, from its template and checked arguments. No I/O.

Where an argument can stand: in the path and in the query, percent-encoded; in the body, as a JSON
text, or as its own type where a value of the body is that argument alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from workers.bot.texts import PLACEHOLDER
from workers.bot.tools import SECRET, Tool
from workers.tools.values import BadArguments, Given


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """headers hold the secret: not to be logged, so repr leaves them out."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None

    def __repr__(self) -> str:
        return f"ToolRequest({self.method})"


def build(tool: Tool, given: Mapping[str, Given], secret: str, key: str) -> ToolRequest:
    """key: names what is done, so that a server does it once; "": nothing is sent of it.

    Raises BadArguments where an argument would lead to another path.
    """
    headers = {name: value.replace(SECRET, secret) for name, value in tool.headers.items()}
    if tool.secret and not any(SECRET in value for value in tool.headers.values()):
        headers["Authorization"] = f"Bearer {secret}"
    headers["Accept"] = "application/json"
    if key and not tool.retries:
        headers["Idempotency-Key"] = key
    body = None
    if tool.body is not None:
        filled = _filled(tool.body, given)
        body = json.dumps(filled, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "replace"
        )
        headers["Content-Type"] = "application/json"
    return ToolRequest(tool.method, _url(tool.url, given), headers, body)


def _url(url: str, given: Mapping[str, Given]) -> str:
    at = url.find("?")
    path_end = len(url) if at < 0 else at

    def encoded(found: Any) -> str:
        value = _text(given[found.group(1)])
        # A way to another path, also percent-encoded: many servers decode first.
        if found.start() < path_end and re.search(r"[/\\]", value):
            raise BadArguments(f"{found.group(1)} can't stand in a path")
        return quote(value, safe="", errors="replace")

    filled = PLACEHOLDER.sub(encoded, url)
    if any(part in (".", "..") for part in filled.partition("?")[0].split("/")):
        raise BadArguments("the arguments lead to another path")
    return filled


def _filled(template: Any, given: Mapping[str, Given]) -> Any:
    if isinstance(template, Mapping):
        filled = {name: _filled(value, given) for name, value in template.items()}
        return {name: value for name, value in filled.items() if value is not None}
    if isinstance(template, list | tuple):
        return [_filled(value, given) for value in template]
    if not isinstance(template, str):
        return template
    whole = PLACEHOLDER.fullmatch(template)
    if whole:
        return given.get(whole.group(1))  # None, where it was not given: left out
    return PLACEHOLDER.sub(lambda found: _text(given.get(found.group(1), "")), template)


def _text(value: Given) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
