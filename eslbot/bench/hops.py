"""What crosses processes and sockets: a stream entry, a job, a command to the switch.

The floor is an echo over a bare TCP socket on loopback: to another process, or for the command
to another greenlet. What crosses processes is a wait,
measured by the wall clock; the command by the CPU time of both of its ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.socket

from eslbot.bench.measure import Effort, Part, beside
from eslbot.rig.house import ROOT, House, until
from eslbot.session import Session
from workers import streams
from workers.bot import load
from workers.messages import Cancel, Started, Turn, decode
from workers.wire import Pipe, Wire

SIZE = 200  # bytes, as most messages have
THERE, BACK = "eslbot:bench:there", "eslbot:bench:back"
WAIT_S = 10
SPAWN = multiprocessing.get_context("spawn")
STATUS = b"Content-Type: api/response\nContent-Length: 3\n\n+OK"


def _echo_socket(port: Any) -> None:
    """In a process of its own: everything back, on one connection."""
    server = socket.create_server(("127.0.0.1", 0))
    port.send(server.getsockname()[1])
    sock, _ = server.accept()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := sock.recv(65536):
        sock.sendall(data)


def _echo_stream(url: str, ready: Any) -> None:
    """In a process of its own: each entry of one stream onto the other, until an empty one."""
    client = streams.connect(url, 2.0, 2)
    last: Any = "0"
    ready.send(True)
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        found: Any = client.xread({THERE: last}, block=500)
        for entry_id, fields in found[0][1] if found else ():
            last = entry_id
            if not fields[b"data"]:
                return
            client.xadd(BACK, fields, maxlen=100)


@contextlib.contextmanager
def _process(target: Callable[..., None], *arguments: Any) -> Iterator[Any]:
    """The other process; yields the first thing that it says."""
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=target, args=(*arguments, there), daemon=True)
    process.start()
    try:
        if not here.poll(60):
            raise TimeoutError(f"{target.__name__} did not start")
        yield here.recv()
    finally:
        process.terminate()
        process.join(5)


@contextlib.contextmanager
def _bare() -> Iterator[Callable[[], None]]:
    """One round trip over a bare socket to another process."""
    with _process(_echo_socket) as port, socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b"x" * SIZE

        def trip() -> None:
            sock.sendall(data)
            got = 0
            while got < SIZE:
                got += len(sock.recv(SIZE))

        yield trip


def between_processes(effort: Effort) -> list[Part]:
    """A hop by Redis, and the dispatch of a job to a worker that is there."""
    with tempfile.TemporaryDirectory(prefix="eslbot-bench-") as name:
        house = House(Path(name), Path(name) / "state", ESLBOT_LOG_LEVEL="warning")
        try:
            house.start("redis", "llm")
            with _bare() as bare, _redis(house) as there_and_back:
                return [
                    _hop(there_and_back, bare, effort),
                    _dispatch(house, there_and_back, effort),
                ]
        finally:
            house.stop()


@contextlib.contextmanager
def _redis(house: House) -> Iterator[Callable[[], None]]:
    """One round trip by two streams to another process."""
    client = house.redis.client(2)
    last: Any = "0"

    def trip() -> None:
        nonlocal last
        client.xadd(THERE, {"data": b"x" * SIZE}, maxlen=100)
        last = _next(client, BACK, last)[0]

    with _process(_echo_stream, house.redis.url):
        yield trip


def _hop(trip: Callable[[], None], bare: Callable[[], None], effort: Effort) -> Part:
    trips = 10 * effort.scale
    cost, floor = beside(
        lambda: _repeat(trip, trips), lambda: _repeat(bare, trips),
        2 * trips, 2 * trips, effort, time.perf_counter,
    )  # fmt: skip
    return Part("XADD to XREAD, another process", "hop", cost, "bare TCP on loopback", floor)


def _dispatch(house: House, hop: Callable[[], None], effort: Effort) -> Part:
    """Until the worker's body says Started on the listener's stream: that is a hop, too."""
    jobs = 2 * effort.scale
    client = house.redis.client(4)
    bot = load(ROOT / "eslbot" / "bots" / "energy.yaml")
    streams.put_bot(client, bot)
    until(lambda: house.ready("llm"), 60, "the worker is ready")
    out, epoch = streams.out_key("bench"), 0
    pipe = Pipe(Wire(client))
    last: Any = "0"

    def dispatch() -> None:
        nonlocal epoch, last
        epoch += 1
        turn = Turn("bench", epoch, out, bot.sha, 20.0, 10.0)
        streams.enqueue(pipe, turn, "llm")
        pipe.execute()
        last, fields = _next(client, out, last)
        if not isinstance(decode(fields), Started):
            raise AssertionError("a job that did not start")
        streams.feed(pipe, turn, "llm", Cancel(), 60)
        pipe.execute()

    cost, floor = beside(
        lambda: _repeat(dispatch, jobs), lambda: _repeat(hop, jobs),
        jobs, 2 * jobs, effort, time.perf_counter,
    )  # fmt: skip
    return Part("dispatch, until the worker's body runs", "job", cost, "XADD to XREAD", floor)


def _next(client: Any, key: str, last: Any) -> Any:
    """(id, fields) of the next entry. Raises TimeoutError."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        # Shorter than the client's own time-out.
        found: Any = client.xread({key: last}, block=500)
        if found:
            return found[0][1][-1]
    raise TimeoutError(f"nothing on {key} in {WAIT_S} s")


def _repeat(action: Callable[[], None], times: int) -> None:
    for _ in range(times):
        action()


def command(effort: Effort) -> Part:
    """A command of a session and its reply, over a socket to another greenlet."""
    trips = 20 * effort.scale
    request = b"api status\n\n"
    # gevent's own class: its create_server makes one of the standard library, which would block.
    server = gevent.socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()

    def answer() -> None:
        sock, _ = server.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        rest = b""
        while data := sock.recv(4096):
            rest += data
            while request in rest:
                rest = rest.partition(request)[2]
                sock.sendall(STATUS)

    def connect() -> Any:
        gevent.spawn(answer)
        sock = gevent.socket.create_connection(server.getsockname()[:2])
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    session, bare = Session(("127.0.0.1", 0), connect()), connect()

    def command_trip() -> None:
        session.api("status", timeout_s=WAIT_S)

    def bare_trip() -> None:
        bare.sendall(request)
        got = 0
        while got < len(STATUS):
            got += len(bare.recv(4096))

    try:
        cost, floor = beside(
            lambda: _repeat(command_trip, trips), lambda: _repeat(bare_trip, trips),
            trips, trips, effort,
        )  # fmt: skip
    finally:
        session.close()
        bare.close()
        server.close()
    return Part("a session's command and reply", "command", cost, "bare gevent sockets", floor)
