"""Who gets what workers say."""

from __future__ import annotations

from pathlib import Path

import redis

from eslbot.link import Link
from workers.bot import load
from workers.messages import Final, Message

BOT = load(Path(__file__).parent.parent / "eslbot/bots/energy.yaml")


def test_a_call_that_ends_late_does_not_cut_off_the_one_that_came_back_under_its_uuid():
    link = Link(redis.Redis(), "here", BOT, 60, lambda *_: None)
    got: list[Message] = []

    def before(epoch: int, attempt: int, message: Message) -> None:
        raise AssertionError("the call before is over")

    def again(epoch: int, attempt: int, message: Message) -> None:
        got.append(message)

    link.register("a", before)
    link.register("a", again)
    link.forget("a", before)
    link._handlers["a"](1, 0, Final("hello"))
    assert got == [Final("hello")]
    link.forget("a", again)
    assert not link._handlers
