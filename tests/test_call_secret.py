"""The per-call secret: who brings it is served, who does not is closed, and it goes no further."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import gevent
import pytest

from eslbot.call_secret import admits
from eslbot.freeswitch import write_files
from eslbot.switch.channel import Channel
from tests.dialplan_walker import Walker
from tests.house import ROOT, House, until
from tests.test_admission import conserved, metrics
from workers.bot import Bot
from workers.settings import Settings, SettingsError, load

NEW, OLD = "canary-secret-of-today", "canary-secret-of-yesterday"
BOTH = {"ESLBOT_CALL_SECRET": f"{NEW}, {OLD}"}
REFUSED = 'eslbot_calls_refused_total{why="secret"}'


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A listener without workers: whom it admits it leads to the native menu at once."""
    folder = tmp_path_factory.mktemp("house")
    one = House(folder, folder / "state", ESLBOT_LOG_LEVEL="debug", **BOTH)
    one.start("redis", "listener")
    until(lambda: "Redis answers" in one.log("listener"), 30, "the listener is there")
    yield one
    one.stop()


def dial(house: House, secret: str | None) -> Channel:
    call = house.dial(variables={} if secret is None else {"eslbot_secret": secret})
    until(lambda: call.where.startswith("native"), 10, "the native menu")
    return call


def transferred(call: Channel) -> bool:
    """By the listener, not because it had gone."""
    steps = [what for _, what in call.history]
    return any(step.startswith("execute transfer 9000") for step in steps)


@pytest.mark.parametrize("secret", [NEW, OLD])
def test_a_call_with_one_of_the_secrets_is_served_and_relieved_of_it(house: House, secret: str):
    before = metrics(house)
    call = dial(house, secret)
    assert transferred(call)
    assert call.variables["eslbot_secret"] == ""
    found = metrics(house)
    assert found["eslbot_calls_accepted_total"] == before["eslbot_calls_accepted_total"] + 1
    assert found[REFUSED] == before[REFUSED]
    assert conserved(found)
    call.hangup()


@pytest.mark.parametrize("secret", [None, "", "wrong", NEW[:-1], f"{NEW}, {OLD}", NEW + "é"])
def test_a_call_without_is_closed_at_once_and_goes_on_in_the_native_menu(
    house: House, secret: str | None
):
    before = metrics(house)
    lines = len(house.log("listener").splitlines())
    call = dial(house, secret)
    assert not transferred(call)
    assert "listener closed" in [what for _, what in call.history]
    found = metrics(house)
    assert found[REFUSED] == before[REFUSED] + 1
    assert found["eslbot_calls_accepted_total"] == before["eslbot_calls_accepted_total"]
    assert conserved(found)
    told = [one for one in house.log("listener").splitlines()[lines:] if "refused" in one]
    assert told == [f"W eslbot.call: {call.uuid}: refused: without the call secret"]
    assert house.told(call) == []
    call.hangup()


def test_who_connects_and_says_nothing_gets_no_place_for_long(house: House):
    with gevent.socket.create_connection(("127.0.0.1", house.port)) as mute:
        mute.settimeout(20)
        assert mute.recv(100) == b"connect\n\n"
        assert mute.recv(100) == b""
    until(lambda: metrics(house)["eslbot_calls_in_flight"] == 0, 5)
    assert conserved(metrics(house))


def test_the_call_command_brings_the_secret(house: House, tmp_path: Path):
    before = metrics(house)
    subprocess.run(
        [sys.executable, "-m", "eslbot", "call", "--keys", "0", "--out", str(tmp_path / "c.wav")],
        cwd=ROOT, env=house.environ, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    found = metrics(house)
    assert found["eslbot_calls_accepted_total"] == before["eslbot_calls_accepted_total"] + 1
    assert found[REFUSED] == before[REFUSED]


def test_no_log_line_holds_a_secret_even_at_level_debug(house: House):
    call = dial(house, NEW)
    assert call.uuid in house.log("listener")
    assert "canary" not in house.log("listener")
    call.hangup()


def test_without_a_setting_no_call_needs_one():
    assert admits({}, ())
    assert admits({"variable_eslbot_secret": "anything"}, ())
    assert load({}).call_secrets == ()


@pytest.mark.parametrize(
    ("text", "which"),
    [
        ("canary-too-short"[:15], "secret 1 of 1, 15 characters"),
        (f"{NEW},canary", "secret 2 of 2, 6 characters"),
        (f"{NEW},", "secret 2 of 2, 0 characters"),
        (f"{NEW}${{system(id)}}", "secret 1 of 1"),
        (f"{NEW} with blanks", "secret 1 of 1"),
        ("x" * 201, "201 characters"),
    ],
)
def test_a_secret_that_is_too_weak_or_can_not_stand_in_a_dialplan_stops_the_start(text, which):
    with pytest.raises(SettingsError) as caught:
        load({"ESLBOT_CALL_SECRET": text})
    assert str(caught.value).startswith("ESLBOT_CALL_SECRET: ")
    assert which in str(caught.value)
    assert "canary" not in str(caught.value)
    run = subprocess.run(
        [sys.executable, "-m", "eslbot", "serve"],
        cwd=ROOT, env={"ESLBOT_CALL_SECRET": text}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert run.returncode == 2
    assert "ESLBOT_CALL_SECRET" in run.stderr
    assert "canary" not in run.stdout + run.stderr


def test_settings_that_are_printed_tell_no_secret():
    settings = load(BOTH | {"REDIS_URL": "redis://:canary@h", "ESLBOT_LLM_API_KEY": "canary"})
    assert "canary" not in repr(settings)


def test_the_generated_dialplan_sets_the_newest_before_the_socket_and_the_menu_unsets_it(
    energy: Bot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    def generated(settings: Settings) -> Path:
        write_files(energy, settings, tmp_path, listeners=["127.0.0.1:8084"],
                    sounds_dir="/sounds", entry_extension="7000")  # fmt: skip
        return tmp_path / "dialplan" / "eslbot.xml"

    path = generated(load(BOTH))
    assert "canary" not in capsys.readouterr().out
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    walk = Walker(path.read_text(), "eslbot").walk("7000", "0", {})
    steps = [f"{application} {data}" for application, data in walk.applications]
    given = steps.index(f"set eslbot_secret={NEW}")
    assert given < steps.index("socket 127.0.0.1:8084 async full")
    assert steps.index("unset eslbot_secret") > given
    assert "eslbot_secret" not in walk.variables
    assert OLD not in path.read_text()
    # Without the setting there is nothing of it.
    actions = ElementTree.fromstring(generated(Settings()).read_text()).iter("action")
    assert not [one for one in actions if "eslbot_secret" in one.get("data", "")]
