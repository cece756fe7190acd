"""Redis commands over a kept connection: on a real Redis, as redis-py itself sees what they did."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from tests.conftest import RedisServer, wait_until
from workers.wire import Pipe, Wire


def test_a_pipe_does_what_redis_py_does(client: redis.Redis):
    with Wire(client) as wire:
        pipe = Pipe(wire)
        pipe.xadd("s", {"a": b"\x00\xff\r\n", "b": 7}, maxlen=10)
        pipe.xadd("s", {"a": "\u00fc"}, maxlen=1, approximate=False)
        pipe.hset("h", mapping={"x": "1", "y": b"2"})
        pipe.sadd("set", "m")
        pipe.rpush("l", "second")
        pipe.lpush("l", "first", "zero")
        pipe.ltrim("l", 1, -1)
        pipe.expire("h", 60)
        pipe.delete("set")
        assert len(pipe) == 9
        assert pipe.execute()[2:] == [2, 1, 1, 3, b"OK", 1, 1]
        assert len(pipe) == 0
        assert pipe.execute() == []
    assert [fields for _, fields in client.xrange("s")] == [{b"a": "\u00fc".encode()}]
    assert client.hgetall("h") == {b"x": b"1", b"y": b"2"}
    assert client.lrange("l", 0, -1) == [b"first", b"second"]
    assert 0 < client.ttl("h") <= 60  # type: ignore[operator]
    assert not client.exists("set")


def test_a_refused_command_stands_in_its_place_and_the_others_are_done(client: redis.Redis):
    client.set("k", "no list")
    with Wire(client) as wire:
        pipe = Pipe(wire)
        pipe.rpush("k", "x")
        pipe.command("SET", "after", 1)
        wrong, right = pipe.execute(raise_on_error=False)
        assert isinstance(wrong, redis.ResponseError)
        assert right == b"OK"
        pipe.rpush("k", "x")
        pipe.command("GET", "after")
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            pipe.execute()
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            wire.ask("LLEN", "k")
        assert wire.ask("GET", "after") == b"1"  # nothing is left over from the one before


def test_an_answer_that_does_not_come_is_never_taken_for_the_next_one(client: redis.Redis):
    with Wire(client) as wire:
        with pytest.raises(redis.TimeoutError):
            wire.ask("BLPOP", "nobody", 30, within_s=0.05)
        assert wire.ask("ECHO", "again") == b"again"


def test_it_connects_again_when_redis_is_back(tmp_path: Path):
    server = RedisServer(tmp_path)
    server.start()
    client = server.client()
    try:
        with Wire(client) as wire:
            assert wire.ask("PING") == b"PONG"
            server.kill()
            with pytest.raises(redis.ConnectionError):
                wire.ask("PING")
            server.start()

            def answers() -> bool:
                try:
                    return bool(wire.ask("PING") == b"PONG")
                except redis.ConnectionError:
                    return False

            wait_until(answers)
    finally:
        client.close()
        server.kill()


def test_a_connection_goes_back_to_the_pool(client: redis.Redis):
    pool = client.connection_pool
    with Wire(client) as wire:
        number = wire.ask("CLIENT", "ID")
    assert pool is client.connection_pool
    with Wire(client) as wire:
        assert wire.ask("CLIENT", "ID") == number
