"""What is generated for FreeSWITCH: current, well-formed, and without a word of anyone in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from eslbot.freeswitch import generate, native_prompts, write_files
from eslbot.ivr import menu_prompts
from eslbot.prompts import prompt_file, write_wav
from tests.conftest import ENERGY
from tests.dialplan_walker import Walker
from workers.bot import Bot, load
from workers.settings import Settings

COMMITTED = Path(__file__).parent.parent / "freeswitch"
DIALPLAN = "dialplan/eslbot.xml"
DESTINATIONS = "dialplan/eslbot/destinations.xml.example"
# All from mod_dptools, except socket: an application that is not loaded hangs the call up.
APPLICATIONS = {
    "answer",
    "play_and_get_digits",
    "playback",
    "sched_transfer",
    "set",
    "socket",
    "transfer",
    "unset",
}
EXPANSIONS = {
    "${sched_del(${uuid})}",
    "${eslbot_answers}",
    "${eslbot_entry}",
}
DEFAULTS: dict[str, Any] = {
    "listeners": ["127.0.0.1:8084"],
    "sounds_dir": "/usr/share/freeswitch/sounds/eslbot",
    "context": "eslbot",
    "watchdog_s": 3,
    "entry_extension": "7000",
    "menu_extension": "9000",
}


@pytest.fixture(scope="module")
def energy() -> Bot:
    return load(ENERGY)


def actions(xml: str) -> list[tuple[str, str]]:
    found = []
    for tag in ("action", "anti-action"):
        found += [
            (one.get("application", ""), one.get("data", ""))
            for one in ElementTree.fromstring(xml).iter(tag)
        ]
    return found


def test_the_committed_files_are_those_of_the_example_bot(energy: Bot) -> None:
    # If this fails: `eslbot freeswitch --out freeswitch`, without any ESLBOT_ setting.
    for name, text in generate(energy, **DEFAULTS).items():
        assert (COMMITTED / name).read_text() == text, name


def test_only_applications_of_stock_modules_are_used(energy: Bot) -> None:
    assert {application for application, _ in actions(generate(energy, **DEFAULTS)[DIALPLAN])} == (
        APPLICATIONS
    )


def test_a_call_that_no_listener_takes_is_rescued_in_this_order(energy: Bot) -> None:
    walker = Walker(generate(energy, **DEFAULTS)[DIALPLAN], "eslbot")
    walk = walker.walk("7000", "0", {})
    assert walk.applications[:7] == [
        # Unicast crashes a FreeSWITCH whose channel has no codec yet, so answer comes first.
        ("answer", ""),
        ("set", "socket_resume=true"),
        ("set", "max_session_transfers=70"),
        # A connect that hangs is over only by the watchdog: it has to be set before.
        ("sched_transfer", "+3 9000 XML eslbot"),
        ("socket", "127.0.0.1:8084 async full"),
        ("transfer", "9000 XML eslbot"),
        ("set", "wd=${sched_del(${uuid})}"),
    ]
    assert walk.applications[7] == ("set", "socket_resume=false")


def test_several_listeners_are_tried_in_turn(energy: Bot) -> None:
    listeners = ["10.0.0.1:8084", "bot-2.example.net:8085", "[::1]:8086"]
    xml = generate(energy, **(DEFAULTS | {"listeners": listeners}))[DIALPLAN]
    assert ("socket", "10.0.0.1:8084|bot-2.example.net:8085|::1:8086 async full") in actions(xml)


HOSTILE = '"/><action application="system" data="id"/> ${system(id)} $${x} {y} <!-- --> \' & ] ]>'


def hostile(energy: Bot) -> Bot:
    """The example bot with every phrase replaced by something that means to escape."""
    raw = energy.model_dump(exclude_none=True)

    def poison(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {k: poison(v, k) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [poison(v, key) for v in value]
        spoken = {"say", "ask", "ask_keypad", "intro", "prompt", "person_prompt", "retry"}
        return f"{HOSTILE} {value}" if key in spoken and value is not None else value

    poisoned = poison(raw)
    # What looks like a placeholder would not be a fixed answer.
    poisoned["intents"]["hours"]["answer"] = HOSTILE.replace("$${x} {y}", "")
    return Bot.model_validate(poisoned)


@pytest.mark.parametrize("kind", ["example", "hostile"])
def test_no_word_of_a_bot_stands_in_the_dialplan(energy: Bot, kind: str) -> None:
    bot = hostile(energy) if kind == "hostile" else energy
    files = generate(bot, **DEFAULTS)
    xml = files[DIALPLAN]
    # Given a bot whose phrases mean harm, I expect the same applications as ever,
    assert {application for application, _ in actions(xml)} == APPLICATIONS
    # nothing expanded but what we wrote,
    for _, data in actions(xml):
        rest = data
        for known in EXPANSIONS:
            rest = rest.replace(known, "")
        assert "${" not in rest and "$$" not in rest
    # and none of what is spoken, not even in a comment.
    assert "system" not in xml and "$$" not in xml
    for text in native_prompts(bot):
        assert text not in xml
        assert prompt_file(text) in xml


def test_every_prompt_of_the_dialplan_is_in_the_list(energy: Bot) -> None:
    files = generate(energy, **DEFAULTS)
    listed = dict(line.split("\t") for line in files["prompts.txt"].splitlines())
    assert set(re.findall(r"prompt_[0-9a-f]{12}\.wav", files[DIALPLAN])) == set(listed)
    assert all(prompt_file(text) == name for name, text in listed.items())
    # What is rendered for the listener's menu is enough for FreeSWITCH's.
    assert set(listed.values()) <= set(energy.fixed_phrases())


def test_the_example_of_the_destinations_takes_them(energy: Bot) -> None:
    xml = generate(energy, **DEFAULTS)[DESTINATIONS]
    expressions = [c.get("expression") for c in ElementTree.fromstring(xml).iter("condition")]
    assert expressions == ["^2000$", "^2001$"]
    # A watchdog that fires in a conversation would tear it apart.
    assert actions(xml)[0] == ("set", "wd=${sched_del(${uuid})}")


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        ({"listeners": []}, "0 listeners"),
        ({"listeners": ["127.0.0.1"]}, "HOST:PORT"),
        ({"listeners": ["127.0.0.1:0"]}, "HOST:PORT"),
        ({"listeners": ["127.0.0.1:8084 async|evil:1"]}, "HOST:PORT"),
        ({"listeners": ["${x}:8084"]}, "HOST:PORT"),
        ({"listeners": ["0.0.0.0:8084"]}, "can connect to"),
        ({"listeners": ["[::]:8084"]}, "can connect to"),
        ({"listeners": ["a:1"] * 51}, "51 listeners"),
        ({"sounds_dir": "sounds"}, "sounds_dir"),
        ({"sounds_dir": "/a b"}, "sounds_dir"),
        ({"sounds_dir": "/a!b"}, "sounds_dir"),
        ({"sounds_dir": "/a/../b"}, "sounds_dir"),
        ({"context": 'a"b'}, "context"),
        ({"entry_extension": "70 00"}, "entry_extension"),
        ({"entry_extension": "9000"}, "both '9000'"),
        ({"menu_extension": "eslbot_go"}, "menu_extension"),
        ({"entry_extension": "2000"}, "destinations.agent"),
        ({"watchdog_s": 0}, "watchdog_s"),
    ],
)
def test_what_can_not_stand_in_a_dialplan_is_refused(
    energy: Bot, wrong: dict[str, Any], cause: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(cause)):
        generate(energy, **(DEFAULTS | wrong))


def test_files_are_written_with_the_prompts_that_are_rendered(
    energy: Bot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(state_dir=str(tmp_path / "state"))
    texts = native_prompts(energy)
    # Given one voice that has spoken all but the last prompt, and another that has spoken little,
    for text in texts[:-1]:
        write_wav(tmp_path / "state" / "prompts" / "voice_b" / prompt_file(text), b"\1\0" * 80)
    for text in texts[:2]:
        write_wav(tmp_path / "state" / "prompts" / "voice_a" / prompt_file(text), b"\2\0" * 80)

    def write() -> int:
        return write_files(
            energy,
            settings,
            tmp_path / "out",
            listeners=["127.0.0.1:8084"],
            sounds_dir="/sounds",
            entry_extension="7000",
        )

    # I expect to be told of the missing one, by name, and the voices not to be mixed.
    assert write() == 1
    assert prompt_file(texts[-1]) in capsys.readouterr().err
    written = sorted((tmp_path / "out" / "sounds").iterdir())
    assert [path.name for path in written] == sorted(prompt_file(text) for text in texts[:-1])
    assert len({path.read_bytes() for path in written}) == 1
    # If it is rendered, all is well.
    write_wav(tmp_path / "state" / "prompts" / "voice_b" / prompt_file(texts[-1]), b"\1\0" * 80)
    assert write() == 0
    assert (tmp_path / "out" / DIALPLAN).is_file()
    assert capsys.readouterr().err == ""


def test_a_wrong_argument_is_one_line_and_nothing_is_written(
    energy: Bot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code = write_files(energy, Settings(), out, listeners=["nowhere"], sounds_dir="/sounds",
                       entry_extension="7000")  # fmt: skip
    assert code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not out.exists()


def test_the_menu_for_asterisk_asks_what_the_example_bots_own_menu_asks():
    """It is written by hand: Asterisk's dialplan is not generated."""
    bot = load(ENERGY)
    text = (COMMITTED.parent / "asterisk/extensions.conf").read_text()
    asked = re.findall(r"prompt_[0-9a-f]{12}", text)
    assert set(asked) == {prompt_file(one).removesuffix(".wav") for one in native_prompts(bot)}
    menu = [one for line in text.splitlines() if "Set(eslbot_menu=" in line
            for one in re.findall(r"prompt_[0-9a-f]{12}", line)]  # fmt: skip
    assert menu == [prompt_file(one).removesuffix(".wav") for one in menu_prompts(bot)]
    keys = re.findall(r'"\$\{eslbot_key\}" = "(.)"', text)
    assert sorted(keys) == sorted([*(item.key for item in bot.menu.items), "0"])
    chosen = re.findall(r"exten => chosen-\w+,1,Set\(ai_intent=(\w+)\)", text)
    wishes = [item.intent for item in bot.menu.items]
    assert chosen == [one for one in wishes if not bot.intents[one].fixed_answer]
