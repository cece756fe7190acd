"""Users of Redis with no more rights than they need: a whole call, and what each is refused."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from redis.exceptions import NoPermissionError

from eslbot import ai_off
from eslbot.chaos import live
from eslbot.console import health
from eslbot.console.feed import Feed
from eslbot.doctor import house as doctor
from eslbot.link import FORGET_HEARD
from eslbot.redis_acl import CONSOLE, LISTENER, RECORDER, RULES, WATCHER, WORKER
from eslbot.switch.caller import Caller, Keys, Say
from tests.conftest import RedisServer, free_port
from tests.house import RECORDINGS, ROOT, House, recording, until
from workers import streams
from workers.breaker import Breaker
from workers.http_provider import OverRate
from workers.rate_limit import RateLimit
from workers.settings import load
from workers.streams import STAGES

ADMIN = "a-password-of-the-administrator"


def as_user(house: House, user: str, password: str) -> redis.Redis:
    return redis.Redis(port=house.redis.port, username=user, password=password, protocol=2)


@pytest.fixture(scope="module")
def passwords(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of the command's output; the lines lie in a file."""
    run = subprocess.run(
        [sys.executable, "-m", "eslbot", "redis-acl"],
        cwd=ROOT, env={}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    found = dict(re.findall(r"REDIS_URL=rediss://([a-z-]+):([A-Za-z0-9_-]{43})@", run.stderr))
    assert set(found) == set(RULES)
    assert not [word for word in found.values() if word in run.stdout]
    folder = tmp_path_factory.mktemp("acl")
    digest = hashlib.sha256(ADMIN.encode()).hexdigest()
    admin = f"user admin on #{digest} ~* &* +@all\n"
    (folder / "users.acl").write_text(run.stdout + admin)
    return found | {"file": str(folder / "users.acl")}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, passwords: dict[str, str]) -> Iterator[House]:
    """Listener and workers as users of their own, on a Redis with exactly these rules."""
    folder = tmp_path_factory.mktemp("house")
    one = House(folder, folder / "state")
    one.redis = RedisServer(folder, "--aclfile", passwords["file"])
    at = f"127.0.0.1:{one.redis.port}/0"
    one.redis.url = f"redis://admin:{ADMIN}@{at}"
    one.start("redis")
    one.environ["REDIS_URL"] = f"redis://{WORKER}:{passwords[WORKER]}@{at}"
    one.start(*STAGES)
    one.environ["REDIS_URL"] = f"redis://{RECORDER}:{passwords[RECORDER]}@{at}"
    one.start("recorder")
    one.environ["REDIS_URL"] = f"redis://{LISTENER}:{passwords[LISTENER]}@{at}"
    one.start("listener")
    one.wait_ready()
    yield one
    one.stop()


def denied(house: House) -> set[tuple[str, str]]:
    """(user, command or key) of whatever was refused, since it was asked the last time."""
    client = as_user(house, "admin", ADMIN)
    found: Any = client.acl_log()
    client.acl_log_reset()
    # A wrong password is no lack of rights: of another house, which had this port before.
    refused = {(one["username"], one["object"]) for one in found if one["reason"] != "auth"}
    # RQ would like to know its own address, and goes on without.
    return refused - {(WORKER, "client")}


def test_a_whole_call_needs_no_more_than_the_users_have(house: House):
    call = house.dial()
    caller = Caller(call)
    caller.wait_bot()
    caller.do(Say(recording("balance")))
    caller.do(Keys("4271#"))
    assert "one hundred and twenty dollars" in house.said(call)
    caller.do(Say(recording("person")))
    until(lambda: call.where == "extension:2000", 15, "the transfer")
    call.hangup()
    admin = as_user(house, "admin", ADMIN)
    until(lambda: admin.xlen(streams.RECORDS) == 0 and "recording to" in house.log("recorder"), 20,
          "it is recorded")  # fmt: skip
    assert denied(house) == set()


def test_a_worker_that_ends_retires_and_one_that_comes_is_found(house: House, passwords):
    at = f"127.0.0.1:{house.redis.port}/0"
    worker = house.processes["llm"]
    worker.terminate()
    until(lambda: worker.poll() is not None, 15, "the worker ends")
    until(lambda: house.ready("llm") == 0, 10, "it is not counted any more")
    house.environ["REDIS_URL"] = f"redis://{WORKER}:{passwords[WORKER]}@{at}"
    house.start("llm")
    until(lambda: house.ready("llm") == 1, 60, "the next one")
    ready = f"http://127.0.0.1:{house.metrics_port}/ready"
    until(lambda: httpx.get(ready, timeout=5).status_code == 200, 10, "the listener knows it")
    assert denied(house) == set()


def test_a_job_that_is_none_is_put_aside(house: House, passwords: dict[str, str]):
    listener = as_user(house, LISTENER, passwords[LISTENER])
    queue = streams.queues(listener)["llm"]
    job = queue.create_job("os.system", args=["true"])
    job.origin = queue.name
    job.save()
    queue.push_job_id(job.id)
    admin = as_user(house, "admin", ADMIN)
    until(lambda: admin.zscore("rq:failed:llm", job.id) is not None, 15, "it has failed")
    assert denied(house) == set()


@pytest.mark.parametrize("user", [LISTENER, WORKER])
def test_breakers_scripts_run(house: House, passwords: dict[str, str], user: str):
    breaker = Breaker(as_user(house, user, passwords[user]), f"test:{user}", 1, 60.0)
    assert breaker.closed()
    breaker.failed()
    assert not breaker.closed()
    assert not breaker.may_probe()
    breaker.succeeded(probe=True)
    assert breaker.closed()
    assert denied(house) == set()


def test_the_rate_limits_script_runs(house: House, passwords: dict[str, str]):
    limit = RateLimit(as_user(house, WORKER, passwords[WORKER]), "llm:test@host:443", 1, 3600.0)
    assert limit.spare()
    limit.take()
    with pytest.raises(OverRate):
        limit.take()
    assert denied(house) == set()


def test_the_listener_may_order_faults_and_workers_may_look(house: House, passwords):
    listener = as_user(house, LISTENER, passwords[LISTENER])
    live.give(listener, "llm mute", 1, 0.01, "test")
    assert as_user(house, WORKER, passwords[WORKER]).get(live.KEY) is not None
    live.write_down(listener, "llm mute", "hung up", "caller", {"answered": 1})
    assert live.report(listener)
    assert live.stop(listener)
    assert denied(house) == set()


def test_the_listener_takes_words_out_of_a_calls_log(house: House, passwords):
    listener = as_user(house, LISTENER, passwords[LISTENER])
    for at, what in ((1.5, "heard"), (2.5, "heard"), (2.5, "partial"), (2.5, "said")):
        listener.xadd("eslbot:log:test", {"at": str(at), "what": what, "fields": "{}"})
    listener.eval(FORGET_HEARD, 1, "eslbot:log:test", "2.000")
    left = as_user(house, "admin", ADMIN).xrange("eslbot:log:test")
    assert [fields[b"what"] for _, fields in left] == [b"heard", b"said"]
    assert denied(house) == set()


def test_who_watches_a_call_needs_the_watchers_rights_alone(
    house: House, passwords: dict[str, str], tmp_path: Path
):
    url = f"redis://{WATCHER}:{passwords[WATCHER]}@127.0.0.1:{house.redis.port}/0"
    run = subprocess.run(
        [sys.executable, "-m", "eslbot", "call", "--wav", str(RECORDINGS / "hours.wav"),
         "--out", str(tmp_path / "call.wav")],
        cwd=ROOT, env=house.environ | {"REDIS_URL": url}, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert "heard    'when are you open'" in run.stdout
    assert denied(house) == set()


def test_the_check_before_a_start_needs_no_more(house: House, passwords: dict[str, str]):
    for user in (LISTENER, WORKER):
        url = f"redis://{user}:{passwords[user]}@127.0.0.1:{house.redis.port}/0"
        found = doctor.other_redis(load({"REDIS_URL": url}))
        assert not [one.line for one in found if not one.warning]


Attempt = Callable[[redis.Redis], Any]
NOBODY_MAY: dict[str, Attempt] = {
    "FLUSHALL": lambda c: c.flushall(),
    "CONFIG GET": lambda c: c.config_get("requirepass"),
    "CONFIG SET": lambda c: c.config_set("maxmemory", 1),
    "KEYS": lambda c: c.keys("*"),
    "ACL": lambda c: c.acl_list(),
    "MONITOR": lambda c: c.execute_command("MONITOR"),
    "SAVE": lambda c: c.save(),
    "SHUTDOWN": lambda c: c.execute_command("SHUTDOWN"),
    "REPLICAOF": lambda c: c.execute_command("REPLICAOF", "127.0.0.1", "1"),
    "DEBUG": lambda c: c.execute_command("DEBUG", "SLEEP", "0"),
    "CLIENT LIST": lambda c: c.client_list(),
    "CLIENT KILL": lambda c: c.execute_command("CLIENT", "KILL", "TYPE", "normal"),
    "MODULE": lambda c: c.execute_command("MODULE", "LIST"),
    "MIGRATE": lambda c: c.execute_command("MIGRATE", "127.0.0.1", "1", "eslbot:bot:x", "0", "9"),
    "SCRIPT FLUSH": lambda c: c.script_flush(),
    "SORT": lambda c: c.sort("rq:queue:stt", by="nosort", get="secret:*"),
    "PUBLISH": lambda c: c.publish("rq:pubsub:x", '{"command": "shutdown"}'),
    "another's key": lambda c: c.get("secret:of-others"),
    "a key like ours": lambda c: c.set("eslbot-of-others", "x"),
    "EVAL of another's key": lambda c: c.eval("return redis.call('GET', KEYS[1])", 1, "secret:x"),
    "EVAL of a key that is not declared":
        lambda c: c.eval("return redis.call('GET', 'secret:x')", 0),
    "EVAL of FLUSHALL": lambda c: c.eval("return redis.call('FLUSHALL')", 0),
    "SUBSCRIBE": lambda c: c.execute_command("SUBSCRIBE", "others"),
}  # fmt: skip
ONE_MAY_NOT: list[tuple[str, str, Attempt]] = [
    (LISTENER, "RQ's workers", lambda c: c.smembers("rq:workers")),
    (LISTENER, "other queues", lambda c: c.rpush("rq:queue:others", "x")),
    (LISTENER, "taking jobs", lambda c: c.blmove("rq:queue:stt", "rq:queue:llm", 1)),
    (LISTENER, "probes", lambda c: c.set("eslbot:probed:x", "1")),
    (WORKER, "a call's log", lambda c: c.xadd("eslbot:log:x", {"a": "b"})),
    (WORKER, "reading a call's log", lambda c: c.xread({"eslbot:log:x": "0"})),
    (WORKER, "a listener's lease", lambda c: c.set("eslbot:listener:x", "{}")),
    (WORKER, "records", lambda c: c.xread({streams.RECORDS: "0"})),
    (LISTENER, "what other listeners told", lambda c: c.xreadgroup("g", "c", {"x": ">"})),
    (RECORDER, "a call's log", lambda c: c.xdel("eslbot:log:x", "1-1")),
    (RECORDER, "a turn", lambda c: c.get("eslbot:{x}:1:audio")),
    (RECORDER, "writing records", lambda c: c.xadd(streams.RECORDS, {"a": "b"})),
    (RECORDER, "the queues", lambda c: c.rpush("rq:queue:stt", "x")),
    (RECORDER, "names of keys", lambda c: c.scan()),
    (WATCHER, "records", lambda c: c.xread({streams.RECORDS: "0"})),
    (WATCHER, "writing the log", lambda c: c.xadd("eslbot:log:x", {"a": "b"})),
    (WATCHER, "deleting the log", lambda c: c.delete("eslbot:log:x")),
    (WATCHER, "a turn", lambda c: c.xread({"eslbot:{x}:1:audio": "0"})),
    (WATCHER, "answers", lambda c: c.xrange("eslbot:out:x")),
    (WATCHER, "the queues", lambda c: c.rpush("rq:queue:stt", "x")),
    (WATCHER, "names of keys", lambda c: c.scan()),
    (WATCHER, "scripts", lambda c: c.eval("return 1", 0)),
]


@pytest.mark.parametrize("user", RULES)
@pytest.mark.parametrize("what", NOBODY_MAY)
def test_what_nobody_needs_is_refused(house: House, passwords, user: str, what: str):
    client = as_user(house, user, passwords[user])
    # A refusal within a script is the script's error.
    with pytest.raises(redis.ResponseError, match=r"(?i)no permission|NOPERM|can't (access|run)"):
        NOBODY_MAY[what](client)
    denied(house)


@pytest.mark.parametrize(
    ("user", "attempt"), [(u, a) for u, _, a in ONE_MAY_NOT],
    ids=[f"{u}: {what}" for u, what, _ in ONE_MAY_NOT],
)  # fmt: skip
def test_what_one_of_them_does_not_need_is_refused(house: House, passwords, user: str, attempt):
    with pytest.raises(NoPermissionError):
        attempt(as_user(house, user, passwords[user]))
    denied(house)


@pytest.mark.parametrize("login", [(None, None), ("default", ""), (LISTENER, "wrong"),
                                   (WORKER, ""), ("eslbot", "x")])  # fmt: skip
def test_who_does_not_log_in_is_nobody(house: House, login: tuple[str, str]):
    with pytest.raises((redis.AuthenticationError, NoPermissionError)):
        as_user(house, *login).ping()
    denied(house)


def test_a_start_with_a_wrong_password_ends_with_one_line_that_does_not_hold_it(house: House):
    url = f"redis://{LISTENER}:canary-of-a-password@127.0.0.1:{house.redis.port}/0"
    for module in (["eslbot", "serve"], ["workers", "llm"]):
        run = subprocess.run(
            [sys.executable, "-m", *module],
            cwd=ROOT, env={"REDIS_URL": url, "ESLBOT_METRICS_PORT": "0",
                 "ESLBOT_LISTEN_PORT": str(free_port())},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert run.returncode == 2
        assert "REDIS_URL: AuthenticationError" in run.stderr
        assert "canary" not in run.stdout + run.stderr


def test_every_key_of_the_layout_is_somebodys():
    layout = (ROOT / "workers" / "streams.py").read_text().split('"""')[1]
    named = re.findall(r"^    ((?:eslbot|rq):\S+)", layout, re.M)
    assert len(named) > 10
    given = " ".join(" ".join(rules) for rules in RULES.values()).split()
    patterns = [rule[1:] for rule in given if rule.startswith("~")]
    for key in named:
        key = key.split("|")[0].replace("CALL", "x")
        assert any(re.fullmatch(re.escape(p).replace(r"\*", ".*"), key) for p in patterns), key


def test_the_console_reads_and_orders_and_does_no_more(house: House, passwords: dict[str, str]):
    denied(house)  # of tests before
    client = as_user(house, CONSOLE, passwords[CONSOLE])
    call = house.dial()
    Caller(call).wait_bot()
    feed = Feed(client)
    until(lambda: (feed.step(), feed.live())[1], 20, "it sees the call")
    found = health.look(client, 0.0)
    assert found["redis"]["ok"]
    assert {one["role"] for one in found["workers"]} == set(STAGES)
    key = ai_off.give(client, ai_off.Order(number="nobody"), "a test")
    assert [one for one, _ in ai_off.look(client)] == [key]
    assert ai_off.take_back(client, key, "a test")
    assert ai_off.audit(client)[0]["what"] == "taken back"
    call.hangup()
    assert denied(house) == set()
    for forbidden in (
        lambda: client.flushall(),
        lambda: client.delete("eslbot:calls"),
        lambda: client.set("eslbot:chaos", "{}"),
        lambda: client.xrange("eslbot:{x}:1:audio"),
        lambda: client.get("eslbot:bot:x"),
        lambda: client.config_get("*"),
    ):
        with pytest.raises(NoPermissionError):
            forbidden()
    denied(house)
