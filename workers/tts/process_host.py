"""Keeps one speech process alive, and speaks through it (frames.py), for many threads at once.

    thread ─▶ speak() ─▶ stdin ─▶ process ─▶ stdout ─▶ reader ─▶ the request's queue ─▶ thread

A GPL synthesiser runs in a process of its own, and one that crashes takes nobody with it. The
reader empties stdout into each request's queue at once, so that a slow consumer delays only
itself. A process that died or went silent is replaced at the next sentence.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from workers.tts.engine import TtsError
from workers.tts.frames import ERROR, READY, FrameError, Reply, ReplyReader, encode_request

log = logging.getLogger(__name__)

MAX_PENDING: Final = 64  # requests in one process, waiting or speaking
MAX_REQUEST_AUDIO_BYTES: Final = 8_000_000  # 3 minutes at 22050 Hz: a synthesiser run wild
MAX_STARTS: Final = (
    10  # within START_WINDOW_S: a process that dies at once isn't restarted for ever
)
START_WINDOW_S: Final = 60.0
_KEPT_ENV: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "OMP_NUM_THREADS")


class ProcessDied(TtsError):
    """The process ended, or was ended because it went silent, before the request was over."""


class _Request:
    """One sentence's way back: pieces, then b"" for the end or an error."""

    def __init__(self) -> None:
        self.replies: queue.SimpleQueue[bytes | TtsError] = queue.SimpleQueue()
        self.received_bytes = 0


class _Child:
    """One process, from start to death. Threads may share it."""

    def __init__(self, name: str, argv: Sequence[str]) -> None:
        self.name = name
        self.rate_hz = 0
        self.heard_at = time.monotonic()
        self.ready = threading.Event()  # set at death too
        self.dead = ""  # why, once it is
        self._lock = threading.Lock()
        self._pending: dict[int, _Request] = {}
        self._last_id = 0
        self._asked_to_end = False
        root = Path(__file__).parents[2]
        env = {key: os.environ[key] for key in _KEPT_ENV if key in os.environ}
        env |= {"PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}
        self._process = subprocess.Popen(  # noqa: S603  (our own module; no text of a caller's)
            [sys.executable, "-m", *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=env,
            process_group=0,  # an interrupt at the terminal is for the worker to handle
        )
        assert self._process.stdin and self._process.stdout
        self._stdin = self._process.stdin.fileno()
        self._stdout = self._process.stdout.fileno()
        os.set_blocking(self._stdin, False)
        self.pid = self._process.pid
        threading.Thread(target=self._read, name=f"{name}-reader", daemon=True).start()

    def _read(self) -> None:
        reader = ReplyReader()
        why = ""
        try:
            while data := os.read(self._stdout, 1 << 16):
                self.heard_at = time.monotonic()
                for reply in reader.feed(data):
                    why = self._take(reply) or why
        except (OSError, FrameError, ValueError, KeyError) as error:
            why = f"{self.name} broke the protocol: {error}"
        self._process.kill()
        code = self._process.wait()
        with self._lock:
            self.dead = self.dead or why or f"{self.name} ended with status {code}"
            orphans, self._pending = list(self._pending.values()), {}
        for request in orphans:
            request.replies.put(ProcessDied(self.dead))
        self.ready.set()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        level = logging.INFO if self._asked_to_end else logging.WARNING
        log.log(level, "%s: process %d ended: %s", self.name, self.pid, self.dead)

    def _take(self, reply: Reply) -> str:
        """Hand one reply to its request. Returns why the process can't start, if it says so."""
        if reply.kind == READY:
            self.rate_hz = int(json.loads(reply.body)["rate_hz"])
            self.ready.set()
            return ""
        text = reply.body.decode("utf-8", "replace") if reply.kind == ERROR else ""
        if reply.kind == ERROR and reply.id == 0:
            return f"{self.name} can't start: {text}"
        with self._lock:
            request = self._pending.get(reply.id)
            if request and (text or not reply.body):
                del self._pending[reply.id]
        if request is None:  # cancelled: nobody waits for it
            return ""
        if reply.kind == ERROR:
            request.replies.put(TtsError(f"{self.name}: {text}"))
            return ""
        request.received_bytes += len(reply.body)
        if request.received_bytes > MAX_REQUEST_AUDIO_BYTES:
            self.cancel(reply.id)
            request.replies.put(TtsError(f"{self.name}: more audio than any sentence has"))
        else:
            request.replies.put(reply.body)
        return ""

    def ask(self, request: dict[str, Any]) -> tuple[int, _Request]:
        """Send one request. Raises ProcessDied, or TtsError when too many wait."""
        answer = _Request()
        with self._lock:
            if self.dead:
                raise ProcessDied(self.dead)
            if len(self._pending) >= MAX_PENDING:
                raise TtsError(f"{self.name}: {MAX_PENDING} sentences are waiting")
            self._last_id = self._last_id % 0xFFFFFFFF + 1
            request_id = self._last_id
            self._pending[request_id] = answer
            self._write(encode_request({**request, "id": request_id}))
        return request_id, answer

    def cancel(self, request_id: int) -> None:
        with self._lock:
            if self._pending.pop(request_id, None) and not self.dead:
                self._write(encode_request({"id": request_id, "cancel": True}))

    def _write(self, data: bytes) -> None:
        """All of it at once or the process is given up: it has stopped reading its requests."""
        try:
            while data:
                data = data[os.write(self._stdin, data) :]
        except (BlockingIOError, BrokenPipeError):
            self._process.kill()  # the reader sees the end, and tells everyone who waits

    def kill(self, why: str, wanted: bool = False) -> None:
        with self._lock:
            self.dead = self.dead or why
            self._asked_to_end = wanted
        self._process.kill()

    def forget(self) -> None:
        """In a fork of the worker: the process is not ours; let go of its pipes."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]


class ProcessHost:
    """Speech through `python -m MODULE PID ARGS`, started at need and restarted when it dies.

    speak() may be called by several threads; the process serves them one after another.
    """

    def __init__(
        self, name: str, module: str, args: Sequence[str] = (), start_timeout_s: float = 10.0
    ) -> None:
        self.name = name
        self.start_timeout_s = start_timeout_s
        self._module = module
        self._args = tuple(args)
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._owner = os.getpid()
        self._starts: deque[float] = deque(maxlen=MAX_STARTS)

    @property
    def pid(self) -> int | None:
        """The process's id, for who watches it; None before the first sentence."""
        return self._child.pid if self._child else None

    def start(self, timeout_s: float) -> int:
        """Start the process if it does not run; its sampling rate in Hz. Raises TtsError."""
        return self._ready(timeout_s).rate_hz

    def speak(self, request: dict[str, Any], timeout_s: float) -> Iterator[tuple[int, bytes]]:
        """(rate in Hz, L16 piece) as they are made. Raises TtsError; waits timeout_s for each.

        A process that dies before the first piece is replaced and asked again, once: nothing
        has been heard yet. A consumer that stops early cancels the request.
        """
        deadline = time.monotonic() + timeout_s
        for last_try in (False, True):
            begun = False
            try:
                child = self._ready(deadline - time.monotonic())
                for piece in self._say(child, request, deadline, timeout_s):
                    begun = True
                    yield child.rate_hz, piece
                return
            except ProcessDied:
                if begun or last_try or time.monotonic() >= deadline:
                    raise

    def _say(
        self, child: _Child, request: dict[str, Any], deadline: float, timeout_s: float
    ) -> Iterator[bytes]:
        asked_at = time.monotonic()
        request_id, answer = child.ask(request)
        try:
            while True:
                try:
                    reply = answer.replies.get(timeout=max(0.0, deadline - time.monotonic()))
                except queue.Empty:
                    if child.heard_at < asked_at:
                        child.kill(f"{self.name} said nothing for {timeout_s:g} s")
                    raise TtsError(f"{self.name}: nothing within {timeout_s:g} s") from None
                if isinstance(reply, TtsError):
                    raise reply
                if not reply:
                    return
                yield reply
                deadline = time.monotonic() + timeout_s
        finally:
            child.cancel(request_id)

    def _ready(self, timeout_s: float) -> _Child:
        deadline = time.monotonic() + min(timeout_s, self.start_timeout_s)
        with self._lock:
            child = self._child
            if child and self._owner != os.getpid():
                child.forget()
                child = None
            if child is None or child.dead:
                child = self._child = self._start()
        if not child.ready.wait(max(0.0, deadline - time.monotonic())):
            # A start that is slow but within its own bound goes on, for the next sentence.
            if time.monotonic() - child.heard_at > self.start_timeout_s:
                child.kill(f"{self.name} did not start within {self.start_timeout_s:g} s")
            raise TtsError(f"{self.name}: not started within {timeout_s:g} s")
        if child.dead:
            raise ProcessDied(child.dead)
        return child

    def _start(self) -> _Child:
        now = time.monotonic()
        if len(self._starts) == MAX_STARTS and now - self._starts[0] < START_WINDOW_S:
            raise TtsError(f"{self.name}: died {MAX_STARTS} times in {START_WINDOW_S:g} s")
        self._starts.append(now)
        self._owner = os.getpid()
        try:
            return _Child(self.name, (self._module, str(self._owner), *self._args))
        except OSError as error:
            raise TtsError(f"{self.name}: {error.strerror}") from error

    def close(self) -> None:
        """End the process; sentences under way fail. The next one starts a new process."""
        with self._lock:
            if self._child and self._owner == os.getpid():
                self._child.kill(f"{self.name} was closed", wanted=True)
            self._child = None
