"""`eslbot calls --live`: on a terminal, in a pipe, as JSON."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from eslbot import live_calls
from eslbot.console.feed import Feed
from eslbot.console.story import Summary
from tests.conftest import RedisServer
from tests.house import ROOT
from tests.test_console_feed import ENDED, STORY, tell
from tests.test_setup import eslbot
from workers import streams

WITHIN_S = 60.0


class Run:
    """The command as a process; seen is what it has written so far."""

    def __init__(self, url: str, folder: Path, *more: str, terminal: bool = False) -> None:
        self._ours, theirs = pty.openpty() if terminal else os.pipe()
        environ = {"PATH": os.environ["PATH"], "REDIS_URL": url, "ESLBOT_STATE_DIR": str(folder)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "eslbot", "calls", "--live", *more],
            cwd=ROOT, env=environ, stdout=theirs, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        os.close(theirs)
        self.seen = ""

    def until(self, text: str) -> None:
        deadline = time.monotonic() + WITHIN_S
        while text not in self.seen:
            ready, _, _ = select.select([self._ours], [], [], deadline - time.monotonic())
            assert ready, f"{text!r} is not in {self.seen!r}"
            data = os.read(self._ours, 65536)
            assert data, self.process.communicate(timeout=10)
            self.seen += data.decode()

    def end(self) -> int:
        """As Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=WITHIN_S)
        return self.process.returncode

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        os.close(self._ours)


@contextmanager
def running(server: RedisServer, folder: Path, *more: str, terminal: bool = False) -> Iterator[Run]:
    one = Run(server.url, folder, *more, terminal=terminal)
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
def house(client: redis.Redis) -> redis.Redis:
    """One call that goes on, and one that was over before."""
    streams.introduce(client, "here", {"calls": 1})
    client.persist(streams.listener_key("here"))  # it goes on announcing itself
    tell(client, "past-call", [*STORY, *ENDED])
    tell(client, "call-one", STORY)
    return client


def test_in_a_pipe_each_change_is_a_line(house, shared_redis: RedisServer, tmp_path: Path):
    with running(shared_redis, tmp_path) as run:
        run.until("What is your account number?")
        tell(house, "call-two", [("call", STORY[0][1]), ("heard", {"text": "good morning"})])
        run.until("caller: good morning")
        tell(house, "call-one", ENDED)
        run.until("caller gone")
        assert run.end() == 0
    assert "past-cal" not in run.seen
    assert "\x1b" not in run.seen
    line = run.seen.splitlines()[0]
    for shown in ("call-one", "hearing", "910 ms", "answered", "bot: What is your"):
        assert shown in line


def test_as_json_each_change_is_a_line_too(house, shared_redis: RedisServer, tmp_path: Path):
    with running(shared_redis, tmp_path, "--json") as run:
        run.until("account number?")
        tell(house, "call-one", ENDED)
        run.until("caller gone")
        assert run.end() == 0
    first, *_, last = [json.loads(line) for line in run.seen.splitlines()]
    assert (first["uuid"], first["wait_ms"], first["turn_outcome"]) == ("call-one", 910, "answered")
    assert last["outcome"] == "caller gone"


def test_on_a_terminal_it_is_drawn_anew(house, shared_redis: RedisServer, tmp_path: Path):
    with running(shared_redis, tmp_path, terminal=True) as run:
        run.until("Calls now: 1.")
        run.until("bot: What is your")
        tell(house, "call-two", [("call", STORY[0][1]), ("state", {"state": "speaking"})])
        run.until("Calls now: 2.")
        tell(house, "call-one", ENDED)
        run.until("caller gone")
        assert run.end() == 0
        run.until(live_calls.SHOW_CURSOR)


def test_of_one_bot_alone(house, shared_redis: RedisServer, tmp_path: Path):
    with running(shared_redis, tmp_path, "--bot", "other") as run:
        tell(house, "call-two", [("call", {**STORY[0][1], "bot": "other"})])
        run.until("call-two")
        assert run.end() == 0
    assert "call-one" not in run.seen


def test_redis_goes_and_comes_back(redis_process: RedisServer, tmp_path: Path):
    with running(redis_process, tmp_path, terminal=True) as run:
        run.until("Calls now: 0.")
        redis_process.kill()
        run.until("Redis is away")
        redis_process.start()
        client = redis_process.client()
        streams.introduce(client, "here", {"calls": 1})
        client.persist(streams.listener_key("here"))
        tell(client, "call-two", STORY)
        run.until("call-two")
        assert run.end() == 0


def test_without_redis_it_says_so(tmp_path: Path):
    run = eslbot("calls", "--live", REDIS_URL="redis://127.0.0.1:9/0",
                 ESLBOT_STATE_DIR=str(tmp_path))  # fmt: skip
    assert run.returncode == 2
    assert "REDIS_URL: ConnectionError" in run.stderr


def test_what_asks_for_calls_that_are_over(tmp_path: Path):
    run = eslbot("calls", "--live", "--since", "1h", ESLBOT_STATE_DIR=str(tmp_path))
    assert run.returncode == 2
    assert "--since: asks for calls that are over" in run.stderr


def test_words_move_no_cursor():
    one = Summary("a-call", words="hi\x1b[2J\r\nthere\u202e", who="caller", state="hearing")
    text = live_calls.line(one)
    assert text.isprintable()
    assert "there" in text


def test_no_more_lines_than_the_terminal_has(client: redis.Redis, capsys):
    feed = Feed(client)
    for n in range(100):
        feed.calls[f"call-{n}"] = Summary(f"call-{n}", words="w" * 200, who="bot")
    with feed.page() as page:
        drawn = live_calls.View(feed, page, None, sys.stdout).screen(80, 24)
    lines = drawn.split("\n")
    assert len(lines) == 23
    for line in lines:
        plain = line
        for code in (live_calls.HOME, live_calls.TO_END_OF_LINE, live_calls.TO_END):
            plain = plain.replace(code, "")
        assert len(plain) <= 80
