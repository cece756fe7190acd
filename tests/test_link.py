"""Who gets what workers say."""

from __future__ import annotations

import json
from pathlib import Path

import gevent
import pytest
import redis

from eslbot.chaos import live as chaos
from eslbot.link import Link
from tests.test_session import until
from workers import streams
from workers.bot import load
from workers.messages import Final, Message, Turn

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


def test_a_message_that_its_call_fails_over_is_nobody_elses_trouble(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
):
    link = Link(client, "here", lambda: [BOT], 60, lambda healthy: None)
    got: list[Message] = []

    def broken(epoch: int, attempt: int, message: Message) -> None:
        raise OSError(28, "No space left on device")

    link.register("a", broken)
    link.register("b", lambda epoch, attempt, message: got.append(message))
    for call in ("a", "b"):
        pipe = client.pipeline(transaction=False)
        streams.publish(pipe, Turn(call, 1, link.out, BOT.sha, 1.0, 1.0, "en"), Final("my words"))
        pipe.execute()
    for _, fields in client.xrange(link.out):
        link._hand_out(fields)
    assert [one.text for one in got if isinstance(one, Final)] == ["my words"]
    assert "could not be handed out" in caplog.text
    assert "my words" not in caplog.text


@pytest.mark.parametrize(
    "order",
    [{"fault": ["llm mute"]}, {"share_percent": "5"}, {"share_percent": None}, {"x": 1}],
)
def test_a_fault_that_nobody_could_have_ordered_is_none(
    client: redis.Redis, order: dict[str, object]
):
    whole = {"fault": "llm mute", "share_percent": 5, "until": 1.0, "by": "x"} | order
    client.set(chaos.KEY, json.dumps(whole))
    assert chaos.look(client) is None
    client.set(chaos.KEY, "[" * 5000)
    assert chaos.look(client) is None


def test_what_others_wrote_does_not_end_the_look_at_redis(client: redis.Redis):
    """A listener that looks no more would never know of a worker, nor that Redis is back."""
    link = Link(client, "here", lambda: [BOT], 60, lambda healthy: None)
    strange = "eslbot:worker:stt:strange"
    client.set(strange, "{")
    looking = gevent.spawn(link._keep)
    try:
        until(lambda: client.exists(f"eslbot:bot:{BOT.sha}"))
        client.delete(strange)
        until(lambda: link.healthy)
    finally:
        looking.kill()
