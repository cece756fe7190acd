"""What a request to a provider costs its worker: by our own HTTP/1.1, and by httpcore.

The rig's provider answers in a process of its own, without delay: an answer of a model word by
word (a millisecond between two, so that each is read alone), and a sentence's speech. The floor is
a bare socket that sends the same request and reads until the same end. CPU time of this process.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial

import httpx

from eslbot.bench.measure import Effort, Part, beside
from eslbot.rig.house import ROOT
from workers.http_provider import Deadline, Provider

WAIT_S = 10.0
MAX_BYTES = 4_000_000
ASKED = {
    "chat/completions": {"model": "m", "messages": [{"role": "user", "content": "hello"}]},
    "audio/speech": {"model": "m", "voice": "v", "input": "Your account is in good standing."},
}
NAMES = {"chat/completions": "a model's answer, word by word", "audio/speech": "speech"}


@contextlib.contextmanager
def _provider() -> Iterator[httpx.URL]:
    """Its URL."""
    delays = ["--stt-ms", "0", "--llm-ms", "0", "--llm-gap-ms", "1", "--tts-ms", "0"]
    command = [sys.executable, "-m", "eslbot.rig.provider", "--port", "0", *delays]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            yield httpx.URL(process.stdout.readline().strip())
        finally:
            process.kill()


def _through(provider: Provider, path: str) -> Callable[[], None]:
    def ask() -> None:
        with provider.post(path, deadline=Deadline(WAIT_S), json=ASKED[path]) as answer:
            if not sum(map(len, answer.pieces(MAX_BYTES))):
                raise AssertionError("an answer of nothing")

    return ask


def _bare(sock: socket.socket, path: str) -> Callable[[], None]:
    body = json.dumps(ASKED[path]).encode()
    head = f"POST /v1/{path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
    request = head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body

    def ask() -> None:
        sock.sendall(request)
        last = b""
        while not last.endswith(b"\r\n0\r\n\r\n"):
            data = sock.recv(65536)
            if not data:
                raise AssertionError("closed")
            last = last[-7:] + data

    return ask


def requests(effort: Effort) -> list[Part]:
    count = 2 * effort.scale
    found = []
    with _provider() as url, socket.create_connection((url.host, url.port), WAIT_S) as sock:
        ours, httpcores = (
            Provider(str(url), "key", connect_timeout_s=WAIT_S, http2=http2)
            for http2 in (False, True)  # HTTP/1.1 either way: there is no TLS
        )
        with contextlib.closing(ours), contextlib.closing(httpcores):
            for path, name in NAMES.items():
                for which, provider in (("", ours), (", by httpcore", httpcores)):
                    ask, bare = _through(provider, path), _bare(sock, path)
                    cost, floor = beside(
                        partial(_repeat, ask, count), partial(_repeat, bare, count),
                        count, count, effort,
                    )  # fmt: skip
                    found.append(Part(f"{name}{which}", "request", cost, "a bare socket", floor))
    return found


def _repeat(action: Callable[[], None], times: int) -> None:
    for _ in range(times):
        action()
