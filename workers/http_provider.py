"""A provider over HTTP: one pooled client, deadlines, retries, and errors that tell no secrets.

    ProviderError            what the engines turn into their own error
    └── Retryable            worth another attempt: connecting failed, 429, 500, 502, 503, 504

Retries wait 100, 300, 900 ms (with jitter), or as long as Retry-After says if that fits; none
starts past the deadline, and none after the first byte of an answer was used.
"""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_EVENT_BYTES = 1024 * 1024
MAX_DEPTH_HINT = 10_000  # brackets: no answer of ours nests, and a parser's stack is finite
WAITS_S = (0.1, 0.3, 0.9)
RETRY_STATUS = frozenset({429, 500, 502, 503, 504})

Result = TypeVar("Result")


class ProviderError(Exception):
    """str() is a reason for the operator: no key, no URL, nothing of what was sent or came."""


class Retryable(ProviderError):
    """retry_after_s: what the provider asked for, if it did."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Deadline:
    """A point in time; monotonic."""

    def __init__(self, in_s: float) -> None:
        self._at = time.monotonic() + in_s

    @property
    def left_s(self) -> float:
        return self._at - time.monotonic()

    def check(self) -> None:
        if self.left_s <= 0:
            raise ProviderError("the deadline passed")


class Provider:
    """base_url: up to and with /v1. Threads may share it; at most `connections` requests run."""

    def __init__(
        self, base_url: str, api_key: str, *, connect_timeout_s: float, connections: int = 64
    ) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._connect_s = connect_timeout_s
        self._client = httpx.Client(
            base_url=base_url.rstrip("/") + "/",
            headers=headers,
            http2=True,
            # A redirect would take key and audio to a host nobody configured.
            follow_redirects=False,
            limits=httpx.Limits(max_connections=connections, keepalive_expiry=60.0),
        )

    def close(self) -> None:
        self._client.close()

    def retrying(self, deadline: Deadline, attempt: Callable[[], Result]) -> Result:
        """attempt(), again after each Retryable, as long as it can still be in time."""

        def wait_s(state: RetryCallState) -> float:
            assert state.outcome is not None
            error = state.outcome.exception()
            asked = error.retry_after_s if isinstance(error, Retryable) else None
            if asked is not None:
                return asked
            base = WAITS_S[min(state.attempt_number, len(WAITS_S)) - 1]
            return base * random.uniform(0.8, 1.2)  # noqa: S311

        def stop(state: RetryCallState) -> bool:
            return stop_after_attempt(len(WAITS_S) + 1)(state) or (
                wait_s(state) + self._connect_s / 10 > deadline.left_s
            )

        for one in Retrying(
            retry=retry_if_exception_type(Retryable), stop=stop, wait=wait_s, reraise=True
        ):
            with one:
                return attempt()
        raise AssertionError("unreachable")

    @contextlib.contextmanager
    def stream(
        self, path: str, *, deadline: Deadline, first_s: float, gap_s: float, **body: Any
    ) -> Iterator[httpx.Response]:
        """POST; the response once its headers are there and say 200.

        first_s: to the headers. gap_s: between two pieces of the body.
        """
        deadline.check()
        left = deadline.left_s
        timeout = httpx.Timeout(
            connect=min(self._connect_s, left),
            read=min(first_s, left),
            write=min(5.0, left),
            pool=min(self._connect_s, left),
        )
        request = self._client.build_request("POST", path, timeout=timeout, **body)
        try:
            response = self._client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Retryable(f"can't connect ({type(error).__name__})") from None
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
            # A pooled connection that the server has closed meanwhile.
            raise Retryable(f"the connection broke ({type(error).__name__})") from None
        except httpx.TimeoutException:
            raise ProviderError("no answer in time") from None
        except httpx.HTTPError as error:
            raise ProviderError(f"the request failed ({type(error).__name__})") from None
        try:
            self._check_status(response)
            # Read anew for each piece of the body.
            request.extensions["timeout"]["read"] = max(0.01, min(gap_s, deadline.left_s))
            yield response
        except httpx.TimeoutException:
            raise ProviderError("the answer broke off") from None
        except httpx.HTTPError as error:
            raise ProviderError(f"the answer broke off ({type(error).__name__})") from None
        finally:
            response.close()

    @staticmethod
    def _check_status(response: httpx.Response) -> None:
        status = response.status_code
        if status == 200:
            return
        if status in RETRY_STATUS:
            raise Retryable(f"status {status}", _retry_after(response))
        raise ProviderError(f"status {status}")


def pieces(response: httpx.Response, deadline: Deadline, limit: int) -> Iterator[bytes]:
    """The body as it comes, bounded in bytes and in time: one byte a second is too slow."""
    total = 0
    for piece in response.iter_bytes():
        deadline.check()
        total += len(piece)
        if total > limit:
            raise ProviderError(f"an answer of more than {limit} bytes")
        yield piece


def parse_json(text: bytes | str) -> Any:
    """JSON of an answer; NaN, garbage and deep nesting are a ProviderError."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH_HINT:
        raise ProviderError("the answer nests too deeply")

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        return json.loads(raw.decode("utf-8", "replace"), parse_constant=refuse)
    except (ValueError, RecursionError):
        raise ProviderError("the answer is not JSON") from None


def server_events(response: httpx.Response, deadline: Deadline) -> Iterator[bytes]:
    """The data of each server-sent event; comments and other fields are left out.

    Raises ProviderError where the stream ends without [DONE].
    """
    buffer = b""
    for piece in pieces(response, deadline, MAX_BODY_BYTES):
        buffer += piece
        *lines, buffer = buffer.split(b"\n")
        if len(buffer) > MAX_EVENT_BYTES:
            raise ProviderError(f"an event of more than {MAX_EVENT_BYTES} bytes")
        for line in lines:
            line = line.strip(b"\r")
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                return
            yield data
    raise ProviderError("the answer ended before its end")


def _retry_after(response: httpx.Response) -> float | None:
    try:
        seconds = float(response.headers.get("Retry-After", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < 3600 else None
