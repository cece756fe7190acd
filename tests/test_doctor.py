"""`eslbot check` as the operator's doctor: a switch, its dialplan, Redis, providers, disk."""

from __future__ import annotations

import json
import os
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest

from eslbot import check
from eslbot.doctor import Finding, dialplan, house, running, switch
from eslbot.freeswitch import DIALPLAN, generate
from tests.conftest import RedisServer, free_port
from tests.inbound_socket import InboundSocket
from tests.provider import Provider
from tests.test_setup import eslbot, good
from workers import engine_check, streams
from workers.bot import Bot
from workers.engines import EngineError, choose
from workers.settings import Settings, SettingsError, load

PASSWORD = "a-password-of-ours"
SECRET = "canary4271-the-newest"
OLDER = "canary4271-an-older-one"


def written(bot: Bot, secret: str = "", **changes: object) -> str:
    """The dialplan's text, of a listener at its default address."""
    given = {
        "listeners": ["127.0.0.1:8084"], "sounds_dir": "/sounds/here", "context": "eslbot",
        "watchdog_s": 3, "entry_extension": "70*0", "menu_extension": "9000", "gap_ms":
        Settings().dtmf_gap_ms, "secret": secret,
    }  # fmt: skip
    return generate(bot, **(given | changes))[DIALPLAN]  # type: ignore[arg-type]


def told(findings: list[Finding]) -> str:
    return "\n".join(one.line for one in findings)


# -- the switch


@pytest.fixture
def inbound(energy: Bot) -> Iterator[InboundSocket]:
    with InboundSocket(written(energy)) as one:
        yield one


def asked(inbound: InboundSocket, **changes: object) -> list[Finding]:
    given = {"switch_esl": inbound.address, "switch_password": PASSWORD} | changes
    return switch.look(Settings(**given))  # type: ignore[arg-type]


def test_a_switch_that_is_right(inbound: InboundSocket):
    assert asked(inbound) == []
    # No more than these: nothing that is asked of a switch in service changes anything there.
    assert inbound.asked[1:] == [
        "api status",
        *(f"api module_exists {name}" for name in switch.MODULES),
        "api xml_locate dialplan context name eslbot",
    ]


def test_no_switch_is_named_and_none_is_asked():
    assert switch.look(Settings()) == []


def test_nobody_listens_there():
    (one,) = switch.look(Settings(switch_esl=f"127.0.0.1:{free_port()}"))
    assert "Connection refused" in one.what
    assert not one.warning


def test_its_acl_has_us_not(inbound: InboundSocket):
    inbound.rude = True
    (one,) = asked(inbound)
    assert "refuses connections" in one.what
    assert "acl" in one.do


def test_a_wrong_password_is_named_and_not_shown(inbound: InboundSocket):
    (one,) = asked(inbound, switch_password="canary4271")
    assert "password is refused" in one.what
    assert "canary4271" not in one.line


def test_a_port_that_says_nothing_is_given_up(inbound: InboundSocket):
    inbound.mute = True
    (one,) = asked(inbound, esl_timeout_ms=100)
    assert "no answer within 0.1 s" in one.what


def test_a_port_that_speaks_something_else(shared_redis: RedisServer):
    at = f"127.0.0.1:{shared_redis.port}"
    (one,) = switch.look(Settings(switch_esl=at, esl_timeout_ms=200))
    assert at in one.what


def test_the_password_of_the_examples_is_worth_a_warning(energy: Bot):
    with InboundSocket(written(energy), switch.KNOWN_PASSWORD) as inbound:
        (one,) = asked(inbound, switch_password=switch.KNOWN_PASSWORD)
    assert one.warning
    assert "everybody knows" in one.what


def test_a_module_that_is_not_loaded(inbound: InboundSocket):
    inbound.modules.remove("mod_sndfile")
    assert "mod_sndfile is not loaded" in told(asked(inbound))


def test_a_switch_that_is_not_ready(inbound: InboundSocket):
    inbound.status = "UP 0 years\nFreeSWITCH (Version 1.11.3) is not ready\n"
    assert "not ready" in told(asked(inbound))


def test_a_dialplan_that_was_not_loaded(inbound: InboundSocket):
    inbound.dialplan = ""
    assert "has no dialplan context eslbot. To do: " in told(asked(inbound))


@pytest.mark.parametrize(
    ("changes", "named", "only_warning"),
    [
        ({"menu_extension": "9001"}, "has no extension 9001", False),
        ({"listen_port": 8099}, "not to 127.0.0.1:8099", True),
        ({"context": "other"}, "no dialplan context other", False),
        ({"call_secret": SECRET}, "do not bring ESLBOT_CALL_SECRET", False),
    ],
)
def test_a_dialplan_of_another_house(inbound: InboundSocket, changes, named, only_warning):
    (one,) = asked(inbound, **changes)
    assert named in one.what
    assert one.warning == only_warning
    assert SECRET not in one.line


def test_a_socket_without_async_full(inbound: InboundSocket):
    inbound.dialplan = inbound.dialplan.replace("async full", "full")
    assert "not 'async full'" in told(asked(inbound))


def test_calls_that_bring_the_secret(energy: Bot):
    with InboundSocket(written(energy, SECRET)) as inbound:
        assert asked(inbound, call_secret=f"{OLDER},{SECRET}") == []


@pytest.mark.parametrize("wrong", ["localhost", "host:port", "a b:80", "[::1]", "h:8021\n"])
def test_an_address_that_is_none(wrong: str):
    with pytest.raises(SettingsError, match="ESLBOT_SWITCH_ESL"):
        load({"ESLBOT_SWITCH_ESL": wrong})


# -- the dialplan's file


def compared(tmp_path: Path, text: str, bot: Bot, **changes: object) -> list[Finding]:
    path = tmp_path / "eslbot.xml"
    path.write_text(text)
    return dialplan.compare(path, bot, Settings(**changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "listeners", [["127.0.0.1:8084"], ["10.0.0.1:8084", "[fd00::1]:8085", "127.0.0.1:8084"]]
)
def test_the_file_is_right(tmp_path: Path, energy: Bot, listeners: list[str]):
    assert compared(tmp_path, written(energy, listeners=listeners), energy) == []


def test_the_file_is_of_another_version(tmp_path: Path, energy: Bot):
    text = written(energy).replace(energy.sha, "0123456789abcdef")
    (one,) = compared(tmp_path, text, energy)
    assert f"is of version 0123456789abcdef, the bot is {energy.sha}" in one.what
    assert "eslbot freeswitch" in one.do


def test_the_file_names_another_listener(tmp_path: Path, energy: Bot):
    (one,) = compared(tmp_path, written(energy, listeners=["10.0.0.9:8084"]), energy)
    assert one.warning
    assert "10.0.0.9:8084, and not to 127.0.0.1:8084" in one.what


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("sched_transfer", "sched_hangup"), ("+3 9000", "+9 9000"), ("9000", "9001")],
)
def test_the_file_was_changed(tmp_path: Path, energy: Bot, right: str, wrong: str):
    text = written(energy)
    assert right in text
    (one,) = compared(tmp_path, text.replace(right, wrong), energy)
    assert "is not what would be generated now" in one.what


def test_the_file_brings_an_older_secret(tmp_path: Path, energy: Bot):
    (one,) = compared(tmp_path, written(energy, OLDER), energy, call_secret=f"{SECRET},{OLDER}")
    assert one.warning
    assert "canary" not in one.line
    (one,) = compared(tmp_path, written(energy, OLDER), energy, call_secret=SECRET)
    assert not one.warning
    assert "canary" not in one.line


@pytest.mark.parametrize("text", ["", "<a>", "<include/>", "\x00\xff", "<a b='" + "c" * 5_000_000])
def test_a_file_that_is_no_dialplan_of_ours(tmp_path: Path, energy: Bot, text: str):
    (one,) = compared(tmp_path, text, energy)
    assert not one.warning


def test_there_is_no_such_file(tmp_path: Path, energy: Bot):
    (one,) = dialplan.compare(tmp_path / "none.xml", energy, Settings())
    assert "No such file" in one.what


# -- the house


def test_a_redis_that_throws_away_what_it_is_given(redis_process: RedisServer):
    client = redis_process.client()
    settings = Settings(redis_url=redis_process.url)
    client.config_set("maxmemory", "100mb")
    client.config_set("maxmemory-policy", "allkeys-lru")
    found = [one for one in house.other_redis(settings) if "policy" in one.what]
    assert [one.warning for one in found] == [True]
    assert "noeviction" in found[0].do
    client.config_set("maxmemory-policy", "noeviction")
    assert "policy" not in told(house.other_redis(settings))


def test_a_redis_that_is_far(shared_redis: RedisServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(house, "SLOW_MS", 0.0)
    (one,) = house.other_redis(Settings(redis_url=shared_redis.url))
    assert one.warning
    assert "a ping takes" in one.what


def test_a_redis_whose_user_may_not_ask_for_memory(redis_process: RedisServer):
    redis_process.client().execute_command(
        "ACL", "SETUSER", "few", "on", ">words", "~*", "+ping", "+info|server", "+client", "+select"
    )
    url = redis_process.url.replace("redis://", "redis://few:words@")
    assert "words" not in told(house.other_redis(Settings(redis_url=url)))
    assert not [one for one in house.other_redis(Settings(redis_url=url)) if not one.warning]


@pytest.mark.parametrize(("free_mb", "wrong"), [(2000, None), (500, False), (10, True)])
def test_the_disk_fills(tmp_path: Path, monkeypatch, free_mb: int, wrong: bool | None):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, free_mb * 10**6))
    found = house.state_dir(Settings(state_dir=str(tmp_path)))
    assert [not one.warning for one in found] == ([] if wrong is None else [wrong])


# -- providers


def provider_settings(provider: Provider, **changes: object) -> Settings:
    given = {"llm_url": f"http://127.0.0.1:{provider.server_port}/v1", "llm_api_key": "key"}
    return Settings(**(given | changes))  # type: ignore[arg-type]


def test_a_provider_answers():
    with Provider() as provider:
        settings = provider_settings(provider)
        assert engine_check.look("llm", settings, choose("llm", settings)) == []
        assert [one.path for one in provider.seen] == ["/v1/chat/completions"]


def test_a_provider_refuses_the_key():
    with Provider() as provider:
        provider.plan.statuses = [401]
        settings = provider_settings(provider)
        with pytest.raises(EngineError, match="does not take its key"):
            engine_check.look("llm", settings, choose("llm", settings))


def test_a_provider_fails():
    with Provider() as provider:
        provider.plan.statuses = [500, 500, 500]
        settings = provider_settings(provider)
        (line,) = engine_check.look("llm", settings, choose("llm", settings))
    assert "a small request fails" in line


def test_a_model_that_is_set_and_not_there(tmp_path: Path):
    settings = Settings(piper_voice=str(tmp_path / "none.onnx"), state_dir=str(tmp_path))
    (line,) = engine_check.look("tts", settings, choose("tts", settings))
    assert "ESLBOT_PIPER_VOICE" in line


# -- a house that is up


def test_nothing_is_up(shared_redis: RedisServer):
    shared_redis.client().flushall()
    settings = Settings(redis_url=shared_redis.url, metrics_port=free_port(),
                        console_port=free_port())  # fmt: skip
    lines = told(running.look(settings))
    assert "the listener: no answer" in lines
    assert "warning: the console: no answer" in lines
    for stage in streams.STAGES:
        assert f"No {stage} worker is there" in lines


def test_another_one_answers():
    with Provider() as provider:
        port = provider.server_port
        settings = Settings(metrics_port=port, console_port=port, redis_port=free_port())
        lines = told(running.look(settings))
    assert "not a listener of ours" in lines
    assert "not our console" in lines


# -- the command


def test_a_warning_goes_on_and_something_wrong_does_not(tmp_path: Path, energy: Bot):
    with InboundSocket(written(energy), switch.KNOWN_PASSWORD) as inbound:
        port = free_port()
        environ = good(tmp_path, ESLBOT_SWITCH_ESL=inbound.address, ESLBOT_LISTEN_PORT=str(port),
                       ESLBOT_SWITCH_PASSWORD=switch.KNOWN_PASSWORD)  # fmt: skip
        run = eslbot("check", "--json", **environ)
        found = json.loads(run.stdout)
        assert (run.returncode, found["exit"], run.stderr) == (1, 1, "")
        assert [one["wrong"] for one in found["findings"]] == [False, False]
        assert {"bot", "ports", "switch", "engines"} <= set(found["looked_at"])
        inbound.modules.clear()
        run = eslbot("check", **environ)
        assert run.returncode == 2
        assert len(run.stderr.splitlines()) == 2 + len(switch.MODULES)


@pytest.mark.parametrize(("code", "starts"), [(0, True), (1, True), (2, False)])
def test_make_run_stops_only_at_what_is_wrong(tmp_path: Path, code: int, starts: bool):
    """The Makefile's own line, with a python that ends as the check would."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not there")
    makefile = (check.Path(__file__).parent.parent / "Makefile").read_text()
    (tmp_path / "Makefile").write_text(makefile)
    (tmp_path / "requirements.txt").touch()
    (tmp_path / "setup.cfg").touch()
    bin_dir = tmp_path / ".venv" / "bin"
    bin_dir.mkdir(parents=True)
    honcho = bin_dir / "honcho"
    honcho.write_text(f'#!/bin/sh\n[ "$1" = start ] && echo started && exit 0\nexit {code}\n')
    honcho.chmod(0o755)
    (tmp_path / ".venv" / "ready").touch()
    run = os.popen(f"{make} -C {tmp_path} run 2>&1").read()
    assert ("started" in run) == starts
