"""The faults of the matrix: how each is begun and ended, and what a caller may hear of it.

A fault acts on a house (processes of its own), on the provider, or on the switch's side of the
calls. Its begin() must not wait longer than a signal takes: the calls are each in their phase.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

import redis

from eslbot.rig.house import ROLES, House
from eslbot.switch.channel import Channel

PROVIDER_MODES = (
    "429",
    "500",
    "503",
    "timeout",
    "trickle",
    "half",
    "garbage",
    "html",
    "refuse",
    "slow",
)


@dataclass(slots=True)
class Scene:
    """What a fault may touch. control(role, mode): sets how the provider behaves."""

    house: House
    calls: list[Channel]
    control: Callable[[str, str], None]
    victims: list[int] = field(default_factory=list)  # process ids to be let go on


@dataclass(frozen=True, slots=True)
class Fault:
    """name; begin and end; seconds between the two.

    rig: which house it needs, see matrix.py. bound_s: the longest silence a caller may hear,
    outside of his own turn.
    """

    name: str
    begin: Callable[[Scene], None]
    end: Callable[[Scene], None]
    seconds: float = 4.0
    rig: str = "providers"
    bound_s: float = 2.0


def nothing(scene: Scene) -> None:
    """The fault is over by itself."""


def _kill_worker(role: str, all_of_them: bool) -> Callable[[Scene], None]:
    def begin(scene: Scene) -> None:
        pids = scene.house.worker_pids(role)
        for pid in pids if all_of_them else pids[:1]:
            os.kill(pid, signal.SIGKILL)

    return begin


def _stop_worker(role: str) -> Callable[[Scene], None]:
    def begin(scene: Scene) -> None:
        scene.victims = scene.house.worker_pids(role)[:1]
        for pid in scene.victims:
            os.kill(pid, signal.SIGSTOP)

    return begin


def _let_go(scene: Scene) -> None:
    for pid in scene.victims:
        os.kill(pid, signal.SIGCONT)


def _poison(scene: Scene) -> None:
    """Jobs that no worker can do, in front of those that it could."""
    client = scene.house.redis.client(2)
    for role in ROLES:
        for n in range(5):
            name = f"poison-{role}-{n}"
            client.hset(f"rq:job:{name}", mapping={"data": b"\x80\x05garbage", "status": "queued"})
            client.expire(f"rq:job:{name}", 60)
            client.lpush(f"rq:queue:{role}", name, f"no-such-job-{n}")
    client.close()


def _signal_listener(number: int) -> Callable[[Scene], None]:
    return lambda scene: scene.house.processes["listener"].send_signal(number)


def _restart_listener(scene: Scene) -> None:
    """What systemd does."""
    scene.house.kill("listener")
    scene.house.start("listener")


def _continue_listener(scene: Scene) -> None:
    _signal_listener(signal.SIGCONT)(scene)


def _after_drain(scene: Scene) -> None:
    """What systemd does when the drained one has ended: here it is not waited for."""
    scene.house.processes["listener draining"] = scene.house.processes.pop("listener")
    scene.house.environ["ESLBOT_METRICS_PORT"] = "0"  # the old one has it until its last call
    scene.house.start("listener")


def _kill_redis(scene: Scene) -> None:
    scene.house.redis.kill()


def _start_redis(scene: Scene) -> None:
    scene.house.redis.start()


def _redis_command(*words: object) -> Callable[[Scene], None]:
    def run(scene: Scene) -> None:
        client = scene.house.redis.client(2)
        try:
            client.execute_command(*words)  # type: ignore[no-untyped-call]
        except redis.RedisError as error:
            raise RuntimeError(f"{words[0]}: {type(error).__name__}") from None
        finally:
            client.close()

    return run


def _signal_redis(number: int) -> Callable[[Scene], None]:
    return lambda scene: scene.house.redis.signal(number)


def _delete_streams(scene: Scene) -> None:
    """Of all turns, while they are read; and the listeners' own."""
    client = scene.house.redis.client(2)
    keys = [*client.scan_iter("eslbot:{*"), *client.scan_iter("eslbot:out:*")]
    if keys:
        client.delete(*keys)
    client.close()


def _provider(role: str, mode: str) -> Callable[[Scene], None]:
    return lambda scene: scene.control(role, mode)


def _well(role: str) -> Callable[[Scene], None]:
    return lambda scene: scene.control(role, "ok")


def _media_stops(scene: Scene) -> None:
    for call in scene.calls:
        call.media_flows = False


def _deaf(scene: Scene) -> None:
    """The switch reads nothing from our socket any more, and sends nothing on it."""
    for call in scene.calls:
        if call.peer is not None:
            call.peer.deaf = True


FAULTS: tuple[Fault, ...] = (
    Fault("no fault", nothing, nothing),
    *(Fault(f"{r} worker killed", _kill_worker(r, False), nothing) for r in ROLES),
    *(Fault(f"all {r} workers killed", _kill_worker(r, True), nothing) for r in ROLES),
    *(Fault(f"{r} worker stopped", _stop_worker(r), _let_go, 8.0) for r in ROLES),
    Fault("poisoned jobs", _poison, nothing),
    Fault("listener killed", _signal_listener(signal.SIGKILL), _restart_listener),
    Fault(
        "listener stopped", _signal_listener(signal.SIGSTOP), _continue_listener, 6.0, bound_s=3.5
    ),
    Fault("listener told to end", _signal_listener(signal.SIGTERM), _after_drain),
    Fault("redis killed", _kill_redis, _start_redis, 3.0),
    Fault("redis killed for long", _kill_redis, _start_redis, 10.0),
    Fault("redis stopped", _signal_redis(signal.SIGSTOP), _signal_redis(signal.SIGCONT)),
    Fault("redis paused", _redis_command("CLIENT", "PAUSE", 3000), nothing),
    Fault(
        "redis full",
        _redis_command("CONFIG", "SET", "maxmemory", "1mb"),
        _redis_command("CONFIG", "SET", "maxmemory", "512mb"),
    ),
    Fault("redis emptied", _redis_command("FLUSHALL"), nothing),
    Fault("streams deleted", _delete_streams, nothing),
    Fault("audio from the switch ends", _media_stops, nothing),
    Fault("the switch does not read", _deaf, nothing, bound_s=4.5),
    *(
        Fault(f"{role} provider {mode}", _provider(role, mode), _well(role), 8.0)
        for role in ("llm", "tts")
        for mode in PROVIDER_MODES
    ),
    *(
        Fault(f"stt provider {mode}", _provider("stt", mode), _well("stt"), 8.0, rig="stt provider")
        for mode in PROVIDER_MODES
    ),
    Fault("all providers refuse", _provider("all", "refuse"), _well("all"), 8.0),
)

# What `make test` has time for.
SMALL = (
    "llm worker killed",
    "redis killed",
    "llm provider timeout",
    "listener killed",
)
