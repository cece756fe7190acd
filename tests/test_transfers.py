"""To a destination: caps, what who takes over is told, and the generated dialplan's ways out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
import yaml

from eslbot import transfers
from eslbot.esl import LocalProtocolError, set_variables
from eslbot.freeswitch import DIALPLAN, generate, native_prompts
from eslbot.prompts import prompt_file
from eslbot.transfer_caps import TransferCaps
from eslbot.transfers import Whisper
from tests.conftest import ENERGY
from tests.dialplan_walker import Walker
from workers.bot import Bot, load
from workers.bot.routing import Route
from workers.messages import DialogState, Speech, SpeechEnd
from workers.settings import Settings

UUID = "0d6d7004-76a0-4da9-ab6d-54351d5d15bc"


@pytest.fixture
def bot(tmp_path: Path) -> Bot:
    found: dict[str, Any] = yaml.safe_load(ENERGY.read_text())
    found["slots"]["pin"] = {
        "type": "digits", "secret": "true", "ask": "p?", "ask_keypad": "p!", "variable": "ai_pin",
    }  # fmt: skip
    found["destinations"]["agent"] = {
        "transfer": "attended",
        "dial": "user/2000",
        "say": "I'll connect you to a colleague.",
        "whisper": "A caller about {summary}.",
        "no_answer": "Nobody is free.",
        "ring_s": "20",
    }
    found["destinations"]["billing"] = {
        "transfer": "refer",
        "refer_to": "sip:billing@example.com",
        "say": "I'll send you to billing.",
        "no_answer": "Billing does not answer.",
        "on_no_answer": "agent",
        "hours": "office",
        "closed": {"say": "Billing is closed."},
    }
    week = {day: ["08:00-18:00"] for day in ("mon", "tue", "wed", "thu", "fri")}
    found["hours"] = {
        "office": {
            "zone": "America/Chicago", "weekly": week, "holidays": {"2026-12-24": ["08:00-12:00"]},
        }
    }  # fmt: skip
    path = tmp_path / "bot.yaml"
    path.write_text(yaml.safe_dump(found, sort_keys=False))
    return load(path)


# -- what who takes over is told


def call(bot: Bot, slots: dict[str, str], exports: str = "") -> Any:
    door = SimpleNamespace(variable={"export_vars": exports}.__getitem__)
    return SimpleNamespace(bot=bot, uuid=UUID, dialog=DialogState("balance", slots), door=door)


def test_who_takes_over_is_told_what_is_known_but_no_secret(bot: Bot):
    values = transfers.handed(call(bot, {"account": "4271", "pin": "9911"}, "mine,theirs"))
    assert values["ai_summary"] == "balance, account 4271"
    assert values["sip_h_X-Eslbot-Slot-Account"] == "4271"
    assert values["sip_h_X-Eslbot-Call"] == UUID
    assert "9911" not in str(values)
    exported = values["export_vars"].split(",")
    assert exported[:2] == ["mine", "theirs"]
    assert set(exported[2:]) == {name for name in values if name.startswith("sip_h_")}
    set_variables(UUID, values)


def test_nothing_of_a_caller_is_more_than_text(bot: Bot):
    bad = "a\r\nX-Evil: 1\n${system(rm)}';|=\"\\\0 {b}"
    values = transfers.handed(call(bot, {"street": bad, "account": "4271"}, "a=${x}"))
    for name, value in values.items():
        assert not set(value) & set("\r\n\0${}|='\"\\;"), name
        assert len(value) <= 200 or name == "export_vars"
    assert "x" not in values["export_vars"].split(",")
    set_variables(UUID, values)


def test_there_are_only_so_many_headers(bot: Bot):
    many = dict.fromkeys(bot.slots, "1")
    grown = bot.model_copy(
        update={"slots": {f"s{n}": bot.slots["account"] for n in range(40)} | bot.slots}
    )
    known = {f"s{n}": "1234" for n in range(40)} | many
    values = transfers.handed(call(grown, known))
    names = [name for name in values if name.startswith("sip_h_")]
    assert len(names) == transfers.MAX_HEADERS


@pytest.mark.parametrize(
    "name",
    ["sip_h_X-Other", "sip_h_X-Eslbot-", "sip_h_X-Eslbot-a:b", "sip_h_Route", "api_hangup_hook"],
)
def test_no_other_header_is_ours_to_set(name: str):
    with pytest.raises(LocalProtocolError):
        set_variables(UUID, {name: "x"})


# -- caps


def test_a_cap_counts_all_listeners(client: redis.Redis):
    one, other = TransferCaps(client), TransferCaps(client)
    assert [one.take("billing", 3), other.take("billing", 3), one.take("billing", 3)] == [True] * 3
    assert not other.take("billing", 3)
    assert other.take("agent", 3)
    assert 0 < client.pttl("eslbot:transfers:billing") <= 3_600_000


def test_an_hour_later_there_is_room_again(client: redis.Redis):
    caps = TransferCaps(client)
    seconds, micros = client.time()
    long_ago = seconds * 1000 + micros // 1000 - 3_600_001
    client.zadd("eslbot:transfers:billing", {"a": long_ago, "b": long_ago})
    assert caps.take("billing", 1)
    assert not caps.take("billing", 1)


def test_without_redis_a_listener_goes_by_its_own_count():
    caps = TransferCaps(redis.Redis(port=1, socket_connect_timeout=0.2))
    assert [caps.take("billing", 2) for _ in range(3)] == [True, True, False]


def capped(folder: Path, room: set[str]) -> Callable[[str], Route]:
    """Where callers come to; room: destinations that may have one more."""
    found: dict[str, Any] = yaml.safe_load(ENERGY.read_text())
    for name in ("agent", "billing"):
        found["destinations"][name] |= {"max_transfers_per_hour": "3", "busy": f"{name} is busy."}
    (folder / "capped.yaml").write_text(yaml.safe_dump(found, sort_keys=False))
    bot = load(folder / "capped.yaml")
    told: list[tuple[str, dict[str, Any]]] = []
    link = SimpleNamespace(may_transfer=lambda name, limit: limit == 3 and name in room)
    one: Any = SimpleNamespace(
        bot=bot, dialog=DialogState(), house=SimpleNamespace(link=link),
        record=lambda what, **fields: told.append((what, fields)),
    )  # fmt: skip
    return lambda name: transfers.route(one, name)


def test_a_destination_that_is_full_sends_callers_on(tmp_path: Path):
    bot = load(ENERGY)
    agent, billing = (bot.destinations[name].say for name in ("agent", "billing"))
    assert bot.menu.person == "agent"
    there = capped(tmp_path, {"agent", "billing"})
    assert there("billing") == Route("billing", (billing,))
    full = capped(tmp_path, {"agent"})
    assert full("billing") == Route("agent", ("billing is busy.", agent))
    assert full("agent") == Route("agent", (agent,))
    # Were nobody to be had at all, the caller would stay with the bot.
    assert capped(tmp_path, set())("agent") == Route(None, ("agent is busy.",))


# -- the dialplan


def walker(bot: Bot) -> Walker:
    files = generate(
        bot,
        listeners=["127.0.0.1:8084"],
        sounds_dir="/sounds",
        context="eslbot",
        watchdog_s=3,
        entry_extension="7000",
        menu_extension="9000",
    )
    return Walker(files[DIALPLAN], "eslbot")


def spoken(bot: Bot, names: list[str]) -> list[str]:
    known = {prompt_file(text): text for text in native_prompts(bot)}
    return [known[name] for name in names]


def test_whom_nobody_answers_comes_in_again_and_is_not_led_there_at_once(bot: Bot):
    walk = walker(bot).walk(
        "eslbot_reach_agent",
        "",
        {"ai_intent": "person", "eslbot_whisper": "/w/whisper-1.wav"},
        stop_at="7000",
    )
    (bridge,) = [data for name, data in walk.applications if name == "bridge"]
    assert bridge == (
        "{group_confirm_key=exec,group_confirm_file=playback ${eslbot_whisper}}user/2000"
    )
    assert walk.variables["eslbot_back"] == "agent"
    assert "ai_intent" not in walk.variables
    assert "eslbot_whisper" not in walk.variables
    assert walk.variables["call_timeout"] == "20"


@pytest.mark.parametrize("path", ["", "/w/a.wav,foo", "/w/${x}.wav", "/w/a.wav}user/666", "a.wav"])
def test_a_whisper_that_is_no_path_is_left_out(bot: Bot, path: str):
    walk = walker(bot).walk("eslbot_reach_agent", "", {"eslbot_whisper": path}, stop_at="7000")
    assert [data for name, data in walk.applications if name == "bridge"] == ["user/2000"]


@pytest.mark.parametrize(
    ("told", "ends"),
    [
        ({"sip_refer_status_code": "202", "sip_refer_target_status_code": "200"}, "hangup"),
        ({"sip_refer_status_code": "603"}, "eslbot_to_agent"),
        (
            {"sip_refer_status_code": "202", "sip_refer_target_status_code": "486"},
            "eslbot_to_agent",
        ),
        ({"sip_refer_status_code": "202"}, "eslbot_to_agent"),
        ({}, "eslbot_to_agent"),
    ],
)
def test_a_refer_is_over_when_the_other_side_says_so(bot: Bot, told: dict[str, str], ends: str):
    walk = walker(bot).walk(
        "eslbot_reach_billing", "", {}, deflected=told, stop_at="eslbot_to_agent"
    )
    assert [data for name, data in walk.applications if name == "deflect"] == [
        "sip:billing@example.com"
    ]
    assert (walk.extension == ends) if ends != "hangup" else walk.applications[-1][0] == "hangup"
    waited = len([1 for name, _ in walk.applications if name == "sleep"])
    assert waited == (
        25 if told.get("sip_refer_status_code", "202") == "202" and len(told) < 2 else 0
    )


@pytest.mark.parametrize(
    ("at", "opened"),
    [
        ("2026-11-23 08:00:00", True), ("2026-11-23 17:59:59", True),
        ("2026-11-23 18:00:00", False), ("2026-11-23 07:59:59", False),
        ("2026-11-21 10:00:00", False), ("2026-12-24 11:00:00", True),
        ("2026-12-24 13:00:00", False),
    ],
)  # fmt: skip
def test_the_native_menu_knows_the_hours(bot: Bot, at: str, opened: bool):
    # "there": what the clock of the time zone on the channel shows
    stop = "eslbot_reach_billing" if opened else "9000"
    variables = {"ai_intent": "billing", "ai_account": "4271"}
    walk = walker(bot).walk("eslbot_to_billing", "", variables, there=at, stop_at=stop)
    assert walk.extension == stop
    assert walk.variables["timezone"] == "America/Chicago"
    said = "I'll send you to billing." if opened else "Billing is closed."
    assert spoken(bot, walk.played) == [said]
    assert ("ai_intent" in walk.variables) is opened


def test_a_summary_is_short_and_plain(bot: Bot):
    told = transfers.summary(bot, "address", {"street": "x" * 500, "pin": "9911"})
    assert len(told) <= 200
    assert told.startswith("address, street xxx")


def test_a_whisper_is_for_freeswitchs_group_to_read_and_old_ones_go(bot: Bot, tmp_path: Path):
    """Also by a listener whose umask is 0077, as its unit has it."""
    old = tmp_path / "whisper-old.wav"
    old.touch()
    os.utime(old, (0, 0))
    (tmp_path / "other.wav").touch()
    links: dict[str, Any] = {}
    nothing = lambda *_, **__: None  # noqa: E731
    link = SimpleNamespace(
        out_for=lambda call: "out",
        able=lambda stage: True,
        register=links.__setitem__,
        forget=nothing,
        dispatch=nothing,
        feed=nothing,
    )
    one = call(bot, {})
    one.settings = Settings(whisper_dir=str(tmp_path))
    one.house = SimpleNamespace(link=link)
    one.leave = SimpleNamespace()
    one.timer = one.no_timer = nothing
    one.post = lambda handle, *args: handle(*args)
    paths: list[str] = []
    name = next(n for n, d in bot.destinations.items() if d.whisper)
    before = os.umask(0o077)
    try:
        Whisper(one, name, paths.append)
        (tell,) = links.values()
        tell(1, 0, Speech(0, 0, bytes(320)))
        tell(1, 0, SpeechEnd(0, True))
    finally:
        os.umask(before)
    assert Path(paths[0]).stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in tmp_path.glob("*.wav")) == ["other.wav", Path(paths[0]).name]
