"""The console as a process, and the way from a page's phone to a listener's door."""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from eslbot.console.door import start_frame
from tests.conftest import RedisServer, free_port, wait_until
from tests.house import ROOT
from tests.tls import Authority

TOKEN = "a-token-of-enough-length"
DOOR_TOKEN = "the-token-of-the-door"
KEY = base64.b64encode(b"0123456789abcdef").decode()


class Listener:
    """Takes one WebSocket, says yes with what came, and echoes bytes."""

    def __init__(self, answer: bytes = b"HTTP/1.1 101 Switching Protocols\r\nX: y\r\n\r\n") -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.head = b""
        self.first = b""
        self._answer = answer
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            while True:
                one, _ = self.socket.accept()
                with one:
                    one.settimeout(20)
                    self.head = b""
                    while b"\r\n\r\n" not in self.head:
                        self.head += one.recv(4096)
                    one.sendall(self._answer)
                    self.first = one.recv(4096)
                    while piece := one.recv(4096):
                        one.sendall(piece)
        except OSError:
            return


class Consoles:
    """Console processes of one test."""

    def __init__(self, redis_url: str, folder: Path) -> None:
        self._environ = {"PATH": os.environ["PATH"], "REDIS_URL": redis_url,
                         "ESLBOT_STATE_DIR": str(folder)}  # fmt: skip
        self.processes: list[subprocess.Popen[str]] = []

    def run(self, **environ: str) -> subprocess.CompletedProcess[str]:
        """One that is expected to end by itself."""
        return subprocess.run(
            [sys.executable, "-m", "eslbot", "console"], cwd=ROOT, env=self._environ | environ,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def start(self, **environ: str) -> int:
        """Its port."""
        port = free_port()
        one = subprocess.Popen(
            [sys.executable, "-m", "eslbot", "console"], cwd=ROOT, text=True,
            env=self._environ | {"ESLBOT_CONSOLE_PORT": str(port), **environ},
            stdout=subprocess.PIPE,
        )  # fmt: skip
        self.processes.append(one)
        assert one.stdout is not None
        assert f"//127.0.0.1:{port}/" in one.stdout.readline()
        return port


@pytest.fixture
def consoles(shared_redis: RedisServer, tmp_path: Path) -> Iterator[Consoles]:
    one = Consoles(shared_redis.url, tmp_path)
    yield one
    for process in one.processes:
        process.terminate()
        assert process.wait(10) == 0
        assert process.stdout is not None
        process.stdout.close()


def knock(port: int, origin: str | None, cookie: str = "", path: str = "/door?rate=16000",
          key: str = KEY) -> socket.socket:  # fmt: skip
    """A page's request for its phone."""
    one = socket.create_connection(("127.0.0.1", port), 20)
    ask(one, port, origin, cookie, path, key)
    return one


def ask(one: socket.socket, port: int, origin: str | None, cookie: str,
        path: str = "/door?rate=16000", key: str = KEY) -> None:  # fmt: skip
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket",
             "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13",
             f"Cookie: {cookie}"]  # fmt: skip
    lines += [f"Origin: {origin}"] if origin else []
    one.sendall("\r\n".join([*lines, "", ""]).encode())


def cookie_of(port: int) -> str:
    answer = httpx.get(f"http://127.0.0.1:{port}/", timeout=20)
    assert answer.status_code == 200
    return "; ".join(f"{name}={value}" for name, value in answer.cookies.items())


def test_it_does_not_start_on_other_addresses_without_a_token(consoles: Consoles):
    run = consoles.run(ESLBOT_CONSOLE_HOST="0.0.0.0")
    assert run.returncode == 2
    assert run.stderr == (
        "eslbot console: ESLBOT_CONSOLE_TOKEN: is wanted, since ESLBOT_CONSOLE_HOST=0.0.0.0\n"
    )


def test_a_busy_port_and_a_missing_certificate_are_named(consoles: Consoles, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        run = consoles.run(ESLBOT_CONSOLE_PORT=port)
    assert run.returncode == 2
    assert "ESLBOT_CONSOLE_PORT: 127.0.0.1:" in run.stderr
    run = consoles.run(ESLBOT_CONSOLE_CERT_FILE=str(tmp_path / "none.pem"))
    assert run.returncode == 2
    assert "ESLBOT_CONSOLE_CERT_FILE" in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_a_phone_reaches_the_door_and_the_doors_token_stays_here(consoles: Consoles):
    listener = Listener()
    port = consoles.start(
        ESLBOT_WEBSOCKET_PORT=str(listener.port), ESLBOT_WEBSOCKET_TOKEN=DOOR_TOKEN
    )
    with knock(port, f"http://127.0.0.1:{port}", cookie_of(port)) as page:
        head = b""
        while b"\r\n\r\n" not in head:
            head += page.recv(4096)
        assert head.startswith(b"HTTP/1.1 101 ")
        assert DOOR_TOKEN.encode() not in head
        page.sendall(b"any bytes")
        assert page.recv(4096) == b"any bytes"
    assert f"Sec-WebSocket-Key: {KEY}\r\n".encode() in listener.head
    assert b"Cookie" not in listener.head
    assert b"Origin" not in listener.head
    assert unmasked(listener.first) == {
        "type": "start", "rate": 16000, "from": "browser", "token": DOOR_TOKEN,
    }  # fmt: skip


def unmasked(frame: bytes) -> dict[str, object]:
    assert frame[0] == 0x81
    size, at = frame[1] & 0x7F, 2
    if size == 126:
        (size,), at = struct.unpack("!H", frame[2:4]), 4
    mask, payload = frame[at : at + 4], frame[at + 4 : at + 4 + size]
    found: dict[str, object] = json.loads(bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))
    return found


@pytest.mark.parametrize("size", [16, 60, 200])
def test_the_first_message_is_a_frame_whatever_its_length(size: int):
    assert unmasked(start_frame("8000", "x" * size, "me"))["token"] == "x" * size


def test_what_is_no_page_of_ours_gets_no_phone(consoles: Consoles):
    listener = Listener()
    port = consoles.start(ESLBOT_WEBSOCKET_PORT=str(listener.port))
    cookie, ours = cookie_of(port), f"http://127.0.0.1:{port}"
    tries = [
        knock(port, None, cookie),
        knock(port, "http://evil.example", cookie),
        knock(port, "null", cookie),
        knock(port, ours, ""),
        knock(port, ours, "eslbot=guessed"),
        knock(port, ours, cookie, "/door?rate=44100"),
        knock(port, ours, cookie, "/door?rate=8000%0d%0aX:y"),
        knock(port, ours, cookie, key="short"),
    ]
    for number, one in enumerate(tries):
        with one:
            assert one.recv(4096).startswith(b"HTTP/1.1 403 "), number
    assert listener.first == b""


def test_a_door_that_is_closed_or_away_is_named(consoles: Consoles):
    port = consoles.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as page:
        page.get("/")
        assert "ESLBOT_WEBSOCKET_PORT is 0" in page.get("/api/session").json()["phone"]
    port = consoles.start(ESLBOT_WEBSOCKET_PORT=str(free_port()))
    with knock(port, f"http://127.0.0.1:{port}", cookie_of(port)) as page:
        assert b"no listener's door at 127.0.0.1" in page.recv(4096)
    full = Listener(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
    port = consoles.start(ESLBOT_WEBSOCKET_PORT=str(full.port))
    with knock(port, f"http://127.0.0.1:{port}", cookie_of(port)) as page:
        assert b"the listener takes no call now" in page.recv(4096)


def test_the_live_stream_begins_with_what_there_is(consoles: Consoles):
    port = consoles.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as page:
        page.get("/")
        with page.stream("GET", "/api/live") as stream:
            assert stream.headers["Content-Type"].startswith("text/event-stream")
            lines = stream.iter_lines()
            assert next(lines) == "event: live"
            assert next(lines) == "data: []"
        health = page.get("/api/health").json()
        assert health["redis"]["ok"]
        wait_until(lambda: page.get("/api/health").json()["console"]["lag_ms"] < 1000, 20)


def test_over_tls_the_phone_works_too(consoles: Consoles, tmp_path: Path):
    authority = Authority(tmp_path / "ca")
    certificate, private = authority.issue("console")
    listener = Listener()
    port = consoles.start(
        ESLBOT_CONSOLE_CERT_FILE=str(certificate), ESLBOT_CONSOLE_KEY_FILE=str(private),
        ESLBOT_CONSOLE_TOKEN=TOKEN, ESLBOT_WEBSOCKET_PORT=str(listener.port),
    )  # fmt: skip
    ours = f"https://127.0.0.1:{port}"
    trust = ssl.create_default_context(cafile=str(authority.cert))
    with httpx.Client(base_url=ours, verify=trust, timeout=20) as page:
        answer = page.post("/login", json={"token": TOKEN}, headers={"Origin": ours})
        assert answer.status_code == 204
        assert "Secure" in answer.headers["Set-Cookie"]
        cookie = "; ".join(f"{name}={value}" for name, value in page.cookies.items())
    plain = socket.create_connection(("127.0.0.1", port), 20)
    with trust.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
        ask(secure, port, ours, cookie)
        assert secure.recv(4096).startswith(b"HTTP/1.1 101 ")
        secure.sendall(b"any bytes")
        assert secure.recv(4096) == b"any bytes"
