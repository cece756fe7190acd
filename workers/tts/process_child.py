"""The inside of a speech process: requests from stdin, speech to stdout (frames.py).

The synthesiser runs on the main thread, one request after another; a thread reads stdin, so
that a cancel is seen while it speaks. The process ends when its stdin does, or when the
worker that started it is gone, whichever is seen first.
"""

from __future__ import annotations

import json
import os
import queue
import select
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from workers.tts.frames import (
    ERROR,
    MAX_REPLY_BYTES,
    PIECE,
    READY,
    FrameError,
    Reply,
    RequestReader,
)

MAX_WAITING: Final = 1024  # requests; the worker itself has a lower bound
PARENT_POLL_S: Final = 1.0  # where the kernel has no pidfd

Put = Callable[[bytes], bool]  # takes L16 at the synthesiser's rate; False: stop speaking


class SynthError(Exception):
    """This request can't be spoken; str() goes to the worker."""


class Synth(Protocol):
    rate_hz: int

    def speak(self, request: dict[str, Any], put: Put) -> None:
        """Put the request's speech, piece by piece, until done or put says False. SynthError."""


class _Inbox:
    """Requests that wait, and which of them have been cancelled."""

    def __init__(self) -> None:
        self.waiting: queue.Queue[dict[str, Any]] = queue.Queue(MAX_WAITING)
        self._open: set[int] = set()
        self._cancelled: set[int] = set()
        self._lock = threading.Lock()

    def take(self, request: dict[str, Any]) -> None:
        with self._lock:
            if not request.get("cancel"):
                self._open.add(request["id"])
            elif request["id"] in self._open:  # else it is over: nothing to remember
                self._cancelled.add(request["id"])
        if not request.get("cancel"):
            self.waiting.put_nowait(request)

    def is_cancelled(self, request_id: int) -> bool:
        return request_id in self._cancelled

    def close(self, request_id: int) -> None:
        with self._lock:
            self._open.discard(request_id)
            self._cancelled.discard(request_id)


def serve(open_synth: Callable[[], Synth], parent_pid: int) -> None:
    """Open the synthesiser, say so, serve until stdin ends. Never returns."""
    # Libraries print; what they print must not land between two frames.
    wire = os.dup(1)
    os.dup2(2, 1)
    threading.Thread(target=_watch_parent, args=(parent_pid,), daemon=True).start()
    try:
        synth = open_synth()
    except Exception as error:
        _send(wire, Reply(ERROR, 0, _reason(error)))
        os._exit(1)
    _send(wire, Reply(READY, 0, json.dumps({"rate_hz": synth.rate_hz}).encode()))
    inbox = _Inbox()
    threading.Thread(target=_read_stdin, args=(inbox,), daemon=True).start()
    while True:
        request = inbox.waiting.get()
        request_id = request["id"]

        def put(pcm: bytes, request_id: int = request_id) -> bool:
            for at in range(0, len(pcm), MAX_REPLY_BYTES):
                if inbox.is_cancelled(request_id):
                    return False
                _send(wire, Reply(PIECE, request_id, pcm[at : at + MAX_REPLY_BYTES]))
            return not inbox.is_cancelled(request_id)

        last = Reply(PIECE, request_id)
        if not inbox.is_cancelled(request_id):
            try:
                synth.speak(request, put)
            except Exception as error:
                last = Reply(ERROR, request_id, _reason(error))
        _send(wire, last)
        inbox.close(request_id)


def _reason(error: Exception) -> bytes:
    # Another exception's text may quote what was to be said, and would end up in a log.
    text = str(error) if isinstance(error, SynthError) else type(error).__name__
    return text.encode("utf-8", "backslashreplace")[:500]


def _send(wire: int, reply: Reply) -> None:
    data = memoryview(reply.encode())
    try:
        while data:
            data = data[os.write(wire, data) :]
    except OSError:  # the worker is gone
        os._exit(0)


def _read_stdin(inbox: _Inbox) -> None:
    reader = RequestReader()
    try:
        while data := os.read(0, 1 << 16):
            for request in reader.feed(data):
                inbox.take(request)
    except (OSError, FrameError, queue.Full):
        os._exit(2)
    os._exit(0)


def _watch_parent(pid: int) -> None:
    """Exit with the worker, even where some other process still holds our stdin open.

    PR_SET_PDEATHSIG would not do: it fires when the *thread* that started us ends, and
    workers start threads and end them (prctl(2), "the parent").
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        os._exit(0)
    except (OSError, AttributeError):
        handle = -1
    # Only now is it certain that pid is our parent, and not a later process of that number.
    while os.getppid() == pid:
        if handle >= 0:
            poller = select.poll()
            poller.register(handle, select.POLLIN)
            poller.poll()
            break
        time.sleep(PARENT_POLL_S)
    os._exit(0)


def parent_from_argv() -> int:
    """The worker's process id: the first argument of every speech process."""
    if len(sys.argv) < 2 or not sys.argv[1].isdigit():
        sys.exit("usage: python -m workers.tts.NAME_process WORKER_PID [...]")
    return int(sys.argv[1])
