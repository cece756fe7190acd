"""Runs tools: one pool of connections per host, one circuit breaker per tool and host.

    given ─▶ arguments() ─▶ build() ─▶ breaker ─▶ the server ─▶ results() ─▶ Result

What may have been done is not asked again: a tool that is not idempotent is sent once more only
where nothing of it went out. No key, URL, argument or answer gets into a log.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis

from workers.acting import Result
from workers.bot import Bot
from workers.bot.tools import Tool
from workers.breaker import Breaker
from workers.http_provider import (
    Deadline,
    NotSent,
    Provider,
    ProviderError,
    Retryable,
    parse_json,
)
from workers.settings import Settings
from workers.tools.request import build
from workers.tools.values import BadArguments, arguments, results

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 256 * 1024
MAX_HOSTS = 64
MAX_SECRETS_BYTES = 64 * 1024
CONNECTIONS = 32


class SecretsError(Exception):
    """The file of secrets can't be used; str() names file and line, never a secret."""


def read_secrets(path: str) -> dict[str, str]:
    """Lines NAME=VALUE, but for empty ones and comments (#). Raises SecretsError."""
    if not path:
        return {}
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_SECRETS_BYTES + 1)
    except OSError as error:
        raise SecretsError(f"{path}: {error.strerror}") from None
    if len(raw) > MAX_SECRETS_BYTES:
        raise SecretsError(f"{path}: larger than {MAX_SECRETS_BYTES} bytes")
    found: dict[str, str] = {}
    for number, line in enumerate(raw.decode("utf-8", "replace").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name.isidentifier() or not value:
            raise SecretsError(f"{path}: line {number}: NAME=VALUE is wanted")
        if not (value.isascii() and value.isprintable()):
            raise SecretsError(f"{path}: line {number}: characters that no header can carry")
        found[name] = value
    return found


class Runner:
    """One per worker process; threads share it."""

    def __init__(self, settings: Settings, client: redis.Redis | None) -> None:
        """Raises SecretsError."""
        self._settings = settings
        self._client = client
        self._secrets = read_secrets(settings.tool_secrets_file)
        self._providers: OrderedDict[str, Provider] = OrderedDict()
        self._breakers: OrderedDict[str, Breaker] = OrderedDict()
        self._lock = threading.Lock()

    def missing(self, bot: Bot) -> list[str]:
        """Names of secrets that the bot's tools want and nobody has set."""
        wanted = {tool.secret for tool in bot.tools.values() if tool.secret}
        return sorted(wanted - set(self._secrets))

    def run(
        self, bot: Bot, name: str, given: object, key: str, language: str, today: str = ""
    ) -> Result:
        """Call a tool of the bot. key: names what is done, the same for each attempt at it."""
        began = time.monotonic()
        tool = bot.tools[name]
        result = self._run(tool, name, given, key, language, today)
        ms = round((time.monotonic() - began) * 1000)
        if not result.ok:
            log.warning("tool %s: %s after %d ms", name, result.status, ms)
        return replace(result, ms=ms)

    def _run(
        self, tool: Tool, name: str, given: object, key: str, language: str, today: str
    ) -> Result:
        secret = self._secrets.get(tool.secret or "", "")
        if tool.secret and not secret:
            return Result("no secret")
        try:
            request = build(tool, arguments(tool, given), secret, key)
        except BadArguments as error:
            log.warning("tool %s: refused: %s", name, error)
            return Result("bad arguments")
        provider, breaker = self._at(tool, name)
        probe = False
        if not breaker.closed():
            probe = breaker.may_probe()  # this call is the one that finds out
            if not probe:
                return Result("breaker open")
        deadline = Deadline(tool.timeout_ms / 1000)
        kind: type[Retryable] = Retryable if tool.retries else NotSent

        def attempt() -> tuple[int, bytes]:
            with provider.send(
                request.method, request.url, request.headers, request.body, deadline
            ) as answer:
                answer.check_retryable()
                answer.check_plain()
                return answer.status, b"".join(answer.pieces(MAX_ANSWER_BYTES))

        try:
            code, raw = provider.retrying(deadline, attempt, on=kind)
            answer = parse_json(raw) if 200 <= code < 300 and tool.result else None
        except NotSent as error:
            breaker.failed(probe)
            log.warning("tool %s: %s", name, error)
            return Result("failed")
        except ProviderError as error:
            breaker.failed(probe)
            log.warning("tool %s: %s", name, error)
            return Result("failed" if tool.retries else "unknown")
        breaker.succeeded(probe)
        return _judged(tool, name, code, answer, language, today)

    def _at(self, tool: Tool, name: str) -> tuple[Provider, Breaker]:
        parts = urlsplit(tool.url)
        host = f"{parts.scheme}://{parts.netloc}"
        with self._lock:
            provider = _kept(self._providers, host, lambda: self._provider(host))
            about = f"tool:{name}@{parts.netloc}"
            return provider, _kept(self._breakers, about, lambda: self._breaker(about))

    def _provider(self, host: str) -> Provider:
        return Provider(
            host,
            "",
            connect_timeout_s=self._settings.connect_timeout_ms / 1000,
            connections=CONNECTIONS,
            retry_percent=self._settings.retry_percent,
        )

    def _breaker(self, name: str) -> Breaker:
        settings = self._settings
        open_s = settings.breaker_open_ms / 1000
        return Breaker(self._client, name, settings.breaker_failures, open_s)


def _kept(kept: OrderedDict[str, Any], name: str, make: Any) -> Any:
    if name not in kept:
        kept[name] = make()
    kept.move_to_end(name)
    while len(kept) > MAX_HOSTS:
        kept.popitem(last=False)  # its connections close when nobody uses them any more
    return kept[name]


def _judged(tool: Tool, name: str, code: int, answer: object, language: str, today: str) -> Result:
    if not 200 <= code < 300:
        return Result("no" if str(code) in tool.errors else "failed", code=code)
    try:
        said, plain = results(tool, answer, language, today)
    except BadArguments as error:
        log.warning("tool %s: %s", name, error)
        return Result("failed" if tool.retries else "unknown", code=code)
    return Result("ok", said, plain, code=code)
