"""Switch, listener and Redis on three hosts, and what happens when the network between them goes.

this process: the stand-in switch   10.77.0.1 ─┐
namespace …a: the listener          10.77.0.2 ─┼─ bridge
namespace …b: Redis and workers     10.77.0.3 ─┘
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from eslbot.switch.caller import Caller, NotAnswered, Say
from eslbot.switch.channel import Channel, Dialplan
from tests.house import House, RedisProcess, recording, until

NAME = f"eb{os.getpid() % 100_000}"
SWITCH, LISTENER, REST = "10.77.0.1", "10.77.0.2", "10.77.0.3"


def ip(*words: str) -> bool:
    return not subprocess.run(
        ["ip", *words], capture_output=True, timeout=20, check=False
    ).returncode


def permitted() -> bool:
    try:
        return ip("netns", "add", f"{NAME}t") and ip("netns", "del", f"{NAME}t")
    except FileNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not permitted(), reason="no network namespaces here")


@pytest.fixture(scope="module")
def network() -> Iterator[None]:
    bridge = f"{NAME}br"
    try:
        assert ip("link", "add", bridge, "type", "bridge")
        assert ip("addr", "add", f"{SWITCH}/24", "dev", bridge)
        assert ip("link", "set", bridge, "up")
        for letter, address in (("a", LISTENER), ("b", REST)):
            inside = f"{NAME}{letter}"
            assert ip("netns", "add", inside)
            assert ip("link", "add", f"{inside}o", "type", "veth", "peer", "name", f"{inside}i")
            assert ip("link", "set", f"{inside}o", "master", bridge, "up")
            assert ip("link", "set", f"{inside}i", "netns", inside)
            for words in (
                ("addr", "add", f"{address}/24", "dev", f"{inside}i"),
                ("link", "set", f"{inside}i", "up"),
                ("link", "set", "lo", "up"),
            ):
                assert ip("-n", inside, *words)
        yield
    finally:
        for letter in "ab":
            ip("netns", "del", f"{NAME}{letter}")
        ip("link", "del", bridge)


@pytest.fixture
def house(network: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    one = House(
        folder,
        tmp_path_factory.mktemp("state"),
        ESLBOT_LISTEN_HOST=LISTENER,
        ESLBOT_MEDIA_HOST=LISTENER,
        ESLBOT_ALLOWED_NETWORKS="10.77.0.0/24",
        ESLBOT_METRICS_PORT="0",
    )
    there = ["ip", "netns", "exec", f"{NAME}b"]
    one.redis = RedisProcess(
        folder, "--bind", "0.0.0.0", "--protected-mode", "no", host=REST, before=there
    )
    one.environ["REDIS_URL"] = one.redis.url
    one.before = dict.fromkeys(("stt", "llm", "tts"), there)
    one.before["listener"] = ["ip", "netns", "exec", f"{NAME}a"]
    one.start_all()
    yield one
    one.stop()


def dial(house: House) -> Channel:
    call = Channel(Dialplan([f"{LISTENER}:{house.port}"]))
    call.headers["FreeSWITCH-IPv4"] = SWITCH
    call.dial()
    return call


def test_a_call_over_three_hosts_outlives_the_network_between_two(house: House):
    call = dial(house)
    caller = Caller(call)
    caller.wait_bot()
    caller.do(Say(recording("hours")))
    assert "We are open" in house.said(call)

    # Nothing is closed and nothing refused: packets to Redis are just gone.
    assert ip("link", "set", f"{NAME}bo", "down")
    since = call.recording.ticks
    call.say(recording("hours"))
    until(lambda: call.recording.first_heard("bot", since) is not None, 30, "the menu is heard")
    call.keys("0")
    until(lambda: call.where == "extension:2000", 30, "a person")
    assert call.crashed is None
    call.hangup()

    assert ip("link", "set", f"{NAME}bo", "up")
    until(lambda: house.ready("stt") >= 1, 60, "the workers are there again")

    def answered() -> bool:
        again = dial(house)
        later = Caller(again)
        try:
            later.wait_bot()
            later.do(Say(recording("hours")))
        except NotAnswered:
            return False  # it is the menu, which goes on and on
        finally:
            again.hangup()
        return "We are open" in house.said(again)

    until(answered, 90, "calls are answered again, and nothing was started anew")


def test_a_listener_that_is_cut_off_leaves_its_caller_to_the_switch_s_own_menu(house: House):
    call = dial(house)
    Caller(call).wait_bot()
    assert ip("link", "set", f"{NAME}ao", "down")
    until(lambda: call.where == "native:9000", 30, "the watchdog of the switch")
    assert ip("link", "set", f"{NAME}ao", "up")
    call.hangup()
