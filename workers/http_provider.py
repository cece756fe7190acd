"""A provider over HTTP: one pooled client, deadlines, retries, and errors that tell no secrets.

    ProviderError            what the engines turn into their own error
    ├── Refused              this request alone is at fault: 400, 413, 422
    ├── OverRate             it was not sent: see rate_limit.py
    └── Retryable            worth another attempt: 429, 500, 502, 503, 504, a broken connection
        └── NotSent          connecting failed: nothing of the request went out

Retries wait 100, 300, 900 ms (with jitter), or as long as Retry-After says if that fits; none
starts past the deadline, none after the first byte of an answer was used, and none over the
budget: see retry_budget.py. Each of them counts where there is a rate limit: see rate_limit.py.

The waits of its sockets end at points in time: see http_connections.py; who speaks HTTP:
http_pool.py.
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import math
import random
import secrets
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import httpcore
import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from workers.http_connections import Request, until
from workers.http_pool import Reply, pool
from workers.retry_budget import RetryBudget

if TYPE_CHECKING:
    from workers.rate_limit import RateLimit

MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_EVENT_BYTES = 1024 * 1024
MAX_BRACKETS = 10_000  # no answer of ours nests, and a parser's stack is finite
WAITS_S = (0.1, 0.3, 0.9)
RETRY_STATUS = frozenset({429, 500, 502, 503, 504})
REFUSED_STATUS = frozenset({400, 413, 422})
# After an answer's last word: what is left of it is read, or its connection can't be used again.
DRAIN_S = 0.02
DRAIN_BYTES = 64 * 1024

Result = TypeVar("Result")


class ProviderError(Exception):
    """str() is a reason for the operator: no key, no URL, nothing of what was sent or came.

    counts: whether it tells of a provider in trouble, rather than of what we asked for.
    """

    counts = True


class Refused(ProviderError):
    """The request is not to the provider's liking; others may be."""

    counts = False


class OverRate(ProviderError):
    """It was not asked, by rate_limit.py: no failure of its own, and no reason to try again."""

    counts = False


class Retryable(ProviderError):
    """retry_after_s: what the provider asked for, if it did."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class NotSent(Retryable):
    """The other side has not heard of this request."""


class Deadline:
    """A point in time; monotonic."""

    def __init__(self, in_s: float) -> None:
        self.at = time.monotonic() + in_s

    @property
    def left_s(self) -> float:
        return self.at - time.monotonic()

    def check(self) -> None:
        if self.left_s <= 0:
            raise Refused("the deadline passed")


class Provider:
    """base_url: up to and with /v1. Threads may share it; at most `connections` requests run.

    Redirects are not followed: key and audio would go to a host that nobody configured. Proxies
    are those of the environment (HTTPS_PROXY, NO_PROXY). Raises ValueError for a URL or a key that
    can't be used.

    retry_percent: of the requests, how many may be tried again; in the last minute.
    http2: where the server offers it, by TLS; one request at a time on a connection, as ever.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        connect_timeout_s: float,
        connections: int = 64,
        http2: bool = False,
        retry_percent: int = 10,
    ) -> None:
        try:
            self._base = httpx.URL(base_url)
        except httpx.InvalidURL:
            raise ValueError("not a URL") from None
        if self._base.scheme not in ("http", "https") or not self._base.host:
            raise ValueError("not a URL of http or https")
        if not (api_key.isascii() and api_key.isprintable()):
            raise ValueError("the key holds characters that no header can carry")
        # Compressed audio gains little, and a compression bomb is out of the question.
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "eslbot"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._connect_s = connect_timeout_s
        self.retries = RetryBudget(retry_percent)
        self.limit: RateLimit | None = None  # of the requests by post()
        self._pool = pool(self._base, connections, http2)
        # By path: URL and headers of a request, but for its body's.
        self._prepared: dict[str, tuple[httpx.URL, list[tuple[bytes, bytes]]]] = {}

    @property
    def host(self) -> str:
        """The provider's host, and its port where that is not the usual one."""
        return self._base.netloc.decode()

    def close(self) -> None:
        self._pool.close()

    def retrying(
        self,
        deadline: Deadline,
        attempt: Callable[[], Result],
        on: type[Retryable] = Retryable,
    ) -> Result:
        """attempt(), again after each error of kind `on`, as long as it can still be in time."""

        def wait_s(state: RetryCallState) -> float:
            assert state.outcome is not None
            error = state.outcome.exception()
            asked = error.retry_after_s if isinstance(error, Retryable) else None
            if asked is not None:
                return asked
            base = WAITS_S[min(state.attempt_number, len(WAITS_S)) - 1]
            return base * random.uniform(0.8, 1.2)  # noqa: S311

        def stop(state: RetryCallState) -> bool:
            last = stop_after_attempt(len(WAITS_S) + 1)(state)
            late = wait_s(state) + self._connect_s / 10 > deadline.left_s
            return last or late or not self.retries.retry()

        self.retries.request()
        before: Retryable | None = None
        try:
            for one in Retrying(
                retry=retry_if_exception_type(on), stop=stop, wait=wait_s, reraise=True
            ):
                with one:
                    try:
                        return attempt()
                    except Retryable as error:
                        before = error
                        raise
        except OverRate:
            if before is not None:
                raise before from None  # what the provider did is what its breaker has to hear
            raise
        raise AssertionError("unreachable")

    @contextlib.contextmanager
    def post(
        self, path: str, *, deadline: Deadline, first_s: float | None = None, **body: Any
    ) -> Iterator[Answer]:
        """The answer, once its headers are there and say 200. Raises OverRate, among others.

        first_s: until the first byte of the body, and on until Answer.expect; None: the deadline.
        body: json=, or data= (texts) and files= (name: (file name, content, type)), a form.
        """
        deadline.check()
        if self.limit is not None:
            self.limit.take()
        pool_s = min(self._connect_s, deadline.left_s)
        with self._exchange(self._asked(path, body, pool_s), Answer(deadline, first_s)) as answer:
            answer.check()
            yield answer

    @contextlib.contextmanager
    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | None,
        deadline: Deadline,
    ) -> Iterator[Answer]:
        """The answer to any request to this host, whatever its status; redirects are not followed.

        url: whole, and of this host.
        """
        deadline.check()
        to = httpx.URL(url)
        if (to.scheme, to.netloc) != (self._base.scheme, self._base.netloc):
            raise ProviderError("a URL of another host")
        made = httpx.Request(method, to, headers={**self._headers, **headers}, content=content)
        request = self._request(made, min(self._connect_s, deadline.left_s))
        with self._exchange(request, Answer(deadline, None)) as answer:
            yield answer

    @contextlib.contextmanager
    def _exchange(self, request: Request, answer: Answer) -> Iterator[Answer]:
        try:
            with until(answer.ends_at):
                reply = self._pool.send(request)
        except (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout) as error:
            untrusted = _untrusted(error)
            if untrusted:  # which will not be another one the next time
                raise ProviderError(f"can't connect: its certificate: {untrusted}") from None
            raise NotSent(f"can't connect ({type(error).__name__})") from None
        except httpcore.TimeoutException:
            raise ProviderError("no answer in time") from None
        except httpcore.RemoteProtocolError as error:
            if not str(error).startswith("Server disconnected"):
                raise ProviderError("the answer is not HTTP") from None
            raise Retryable("the connection broke") from None
        except httpcore.NetworkError as error:
            # A pooled connection that the server has closed meanwhile.
            raise Retryable(f"the connection broke ({type(error).__name__})") from None
        except (httpcore.ProtocolError, httpcore.ProxyError) as error:
            raise ProviderError(f"the request failed ({type(error).__name__})") from None
        answer.take(reply)
        try:
            yield answer
        except httpcore.TimeoutException:
            raise ProviderError("the answer broke off: nothing came in time") from None
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise ProviderError(f"the answer broke off ({type(error).__name__})") from None
        finally:
            reply.close()

    def _asked(self, path: str, body: dict[str, Any], pool_s: float) -> Request:
        if "json" in body:
            # httpx would raise for half a surrogate pair, which a caller's text may hold.
            text = json.dumps(body["json"], ensure_ascii=False, separators=(",", ":"))
            content, kind = text.encode("utf-8", "replace"), b"application/json"
        else:
            content, kind = _form(**body)
        url, headers = self._prepared.get(path) or self._prepare(path)
        about = (b"Content-Type", kind), (b"Content-Length", b"%d" % len(content))
        return Request("POST", url, [*headers, *about], content, self._connect_s, pool_s)

    def _request(self, made: httpx.Request, pool_s: float) -> Request:
        return Request(
            made.method, made.url, made.headers.raw, made.read(), self._connect_s, pool_s
        )

    def _url(self, path: str) -> httpx.URL:
        return self._base.copy_with(path=f"{self._base.path.rstrip('/')}/{path}")

    def _prepare(self, path: str) -> tuple[httpx.URL, list[tuple[bytes, bytes]]]:
        """What all requests to a path have in common; making it takes a third of a millisecond."""
        made = httpx.Request("POST", self._url(path), headers=self._headers)
        headers = [one for one in made.headers.raw if one[0].lower() != b"content-length"]
        found = self._prepared[path] = (made.url, headers)
        return found


class Answer:
    """What a provider sends back: bounded in bytes, and in time by expect and the deadline."""

    def __init__(self, deadline: Deadline, first_s: float | None) -> None:
        self._deadline = deadline
        self.expect(first_s)

    def take(self, reply: Reply) -> None:
        self._reply = reply
        self._headers = httpx.Headers(reply.headers)

    @property
    def status(self) -> int:
        return self._reply.status

    @property
    def content_type(self) -> str:
        """Without its parameters; "" when the server names none."""
        return str(self._headers.get("Content-Type", "")).split(";")[0].strip().lower()

    def expect(self, within_s: float | None) -> None:
        """What is read next has to come within so many seconds; None: by the deadline."""
        self.ends_at = self._deadline.at
        if within_s is not None:
            self.ends_at = min(self.ends_at, time.monotonic() + within_s)

    def check(self) -> None:
        """Raises ProviderError, or Retryable, unless this is an answer to be read."""
        status = self._reply.status
        if status != 200:
            self.drain()
            self.check_retryable()
            if status in REFUSED_STATUS:
                raise Refused(f"status {status}")
            raise ProviderError(f"status {status}")
        self.check_plain()

    def check_retryable(self) -> None:
        """Raises Retryable where the server may answer better later."""
        status = self._reply.status
        if status in RETRY_STATUS:
            raise Retryable(f"status {status}", _retry_after(self._headers))

    def check_plain(self) -> None:
        if self._headers.get("Content-Encoding", "identity") != "identity":
            raise ProviderError("a compressed answer, which was not asked for")

    def pieces(self, limit: int) -> Iterator[bytes]:
        """The body as it comes; of no more than limit bytes."""
        total = 0
        while True:
            with until(self.ends_at):
                piece = self._reply.read()
            if not piece:
                return
            total += len(piece)
            if total > limit:
                raise ProviderError(f"an answer of more than {limit} bytes")
            yield piece

    def events(self) -> Iterator[bytes]:
        """The data of each server-sent event; comments and other fields are left out.

        Raises ProviderError where the stream ends without [DONE].
        """
        line = bytearray()
        for piece in self.pieces(MAX_BODY_BYTES):
            *ends, rest = piece.split(b"\n")
            for end in ends:
                line += end
                if line.startswith(b"data:"):
                    data = bytes(line[5:]).strip()
                    if data == b"[DONE]":
                        self.drain()
                        return
                    yield data
                line.clear()
            line += rest
            if len(line) > MAX_EVENT_BYTES:
                raise ProviderError(f"an event of more than {MAX_EVENT_BYTES} bytes")
        raise ProviderError("the answer ended before its end")

    def drain(self) -> None:
        """Read what is left of the answer, if it is little: its connection serves again."""
        self.expect(DRAIN_S)
        with contextlib.suppress(
            ProviderError, httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError
        ):
            for _ in self.pieces(DRAIN_BYTES):
                pass


def parse_json(text: bytes | str) -> Any:
    """JSON of an answer; NaN, infinity, garbage and deep nesting are a ProviderError."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    if raw.count(b"[") + raw.count(b"{") > MAX_BRACKETS:
        raise ProviderError("the answer nests too deeply")
    try:
        return _JSON.decode(raw.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise ProviderError("the answer is not JSON") from None


def _finite(number: str) -> float:
    """Of a number, or of JSON's own name for what is none."""
    if not math.isfinite(found := float(number)):
        raise ValueError("no number")
    return found


_JSON = json.JSONDecoder(parse_constant=_finite, parse_float=_finite)


def _form(
    data: Mapping[str, str], files: Mapping[str, tuple[str, bytes, str]]
) -> tuple[bytes, bytes]:
    """(multipart form, its type). Names and types are ours, and hold no quote."""
    boundary = secrets.token_hex(16).encode()  # nobody who fills a field can know it
    head = b'--%s\r\nContent-Disposition: form-data; name="%s"'
    parts = []
    for name, text in data.items():
        parts += [
            head % (boundary, name.encode()),
            b"\r\n\r\n",
            text.encode("utf-8", "replace"),
            b"\r\n",
        ]
    for name, (file, content, kind) in files.items():
        about = b'; filename="%s"\r\nContent-Type: %s\r\n\r\n' % (file.encode(), kind.encode())
        parts += [head % (boundary, name.encode()), about, content, b"\r\n"]
    parts.append(b"--%s--\r\n" % boundary)
    return b"".join(parts), b"multipart/form-data; boundary=" + boundary


def plain(text: str) -> str:
    """The text with half surrogate pairs, which JSON can hold and UTF-8 can't, replaced by ?."""
    return text.encode("utf-8", "replace").decode()


def _untrusted(error: BaseException | None) -> str:
    """Why the server's certificate was not taken, in OpenSSL's words, or ""."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return str(error.verify_message)
        error = error.__cause__ or error.__context__
    return ""


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds, from seconds or a date (RFC 9110, 10.2.3); None when the header says neither."""
    value = headers.get("Retry-After", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            # Against the server's own clock: ours may be another, and may jump.
            until, now = (
                email.utils.parsedate_to_datetime(text) for text in (value, headers.get("Date", ""))
            )
            seconds = (until - now).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds else None
