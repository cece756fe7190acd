"""What a call leaves behind: nothing."""

from __future__ import annotations

import gc
import socket
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from eslbot import greenlets
from eslbot.call import Call
from eslbot.doors.esl import EslDoor
from eslbot.listener import Listener
from eslbot.session import Session
from tests.house import ROOT, until
from workers.bot import load
from workers.settings import Settings

BOT = load(ROOT / "eslbot/bots/energy.yaml")


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Given that nothing frees what holds itself."""
    gc.disable()
    yield
    gc.enable()


def house() -> Any:
    served = SimpleNamespace(now=SimpleNamespace(first=BOT))
    return SimpleNamespace(served=served, settings=Settings(), link=SimpleNamespace(chaos=None))


def test_a_call_that_is_over_is_freed_without_the_collector(no_collector: None) -> None:
    before = greenlets.alive()
    ours, switch = socket.socketpair()
    session = Session(("test", 1), gevent.socket.socket(fileno=ours.detach()))
    door = EslDoor(session, Settings())
    call = Call(door, house())
    session.on_event = door._on_event
    door._ears = call.events
    call.timer("any", 60.0, call.assistant.listen)
    call.when_said(call.assistant.listen)
    call.events.hung_up()
    parts = [weakref.ref(one) for one in (call, call.assistant, door, session)]
    switch.close()
    assert session.closed.wait(10)
    call.let_go()
    del call, door, session
    until(lambda: not any(one() for one in parts), 10, "all of it is freed")
    until(lambda: greenlets.alive() <= before, 10, "its greenlets are over")


class Follower:
    """Of a call: who serves it, and what it is told."""

    def __init__(self) -> None:
        self.told: list[set[str]] = []
        self.assistant = SimpleNamespace(workers=lambda: ["w"])
        self.events = SimpleNamespace(dead=self.told.append)


def test_a_call_that_ends_while_redis_is_asked_about_workers_is_no_trouble() -> None:
    stays, ends = Follower(), Follower()
    calls = {stays, ends}
    asked: list[list[str]] = []

    def alive(names: list[str]) -> set[str]:
        asked.append(names)
        if len(asked) == 2:  # the worker was missed once before
            calls.discard(ends)
            del ends.events, ends.assistant  # Call.let_go
        return set()

    ours: Any = SimpleNamespace(_calls=calls, _link=SimpleNamespace(alive=alive))
    watching = gevent.spawn(Listener._look_at_workers, ours)
    until(lambda: len(asked) >= 3 or watching.dead, 10, "it goes on to watch")
    assert not watching.dead
    watching.kill()
    assert stays.told
    assert not ends.told


def test_greenlets_are_counted_while_they_live() -> None:
    before = greenlets.alive()
    go = gevent.event.Event()
    waiting = [gevent.spawn(go.wait), gevent.spawn_later(60, go.wait)]
    assert greenlets.alive() == before + 2
    waiting[1].kill()
    go.set()
    # Less, where other tests' come to their end meanwhile.
    until(lambda: greenlets.alive() <= before, 10, "they are over")
