"""Switches a running provider of the rig, and asks it what it was asked."""

from __future__ import annotations

import contextlib
import http.client
import json
import urllib.parse
from typing import Any, Final

TIMEOUT_S: Final = 10.0


def control(
    url: str, role: str, mode: str, seconds: float | None = None, transcript: str | None = None
) -> dict[str, Any]:
    """Sets a mode of the provider at url; returns its counts (see Provider.counts).

    Raises ValueError for a role or mode that there is not, OSError when nobody answers.
    """
    asked = {"role": role, "mode": mode, "seconds": seconds, "transcript": transcript}
    return _ask(url, {name: value for name, value in asked.items() if value is not None})


def counts(url: str) -> dict[str, Any]:
    """The counts of the provider at url. Raises OSError when nobody answers."""
    return _ask(url, None)


def _ask(url: str, body: dict[str, Any] | None) -> dict[str, Any]:
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(
        place.hostname or "127.0.0.1", place.port, timeout=TIMEOUT_S
    )
    with contextlib.closing(connection):
        connection.request(
            "GET" if body is None else "POST",
            "/control",
            None if body is None else json.dumps(body),
        )
        reply = connection.getresponse()
        answer: dict[str, Any] = json.loads(reply.read())
        if reply.status != 200:
            raise ValueError(answer["error"]["message"])
    return answer
