"""Secret slots: what may be asked, what counts as the value, and who gets to know it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eslbot import ivr
from eslbot.freeswitch import generate
from tests.dialplan_walker import Walker
from tests.provider import Plan, Provider
from tests.secret_bot import CARD, PIN, definition, write
from workers import dialog, secret_slots
from workers.bot import Bot, BotError, load
from workers.jobs import hints
from workers.llm.engine import Request
from workers.llm.intents import IntentsEngine
from workers.llm.openai import OpenAiLlm
from workers.messages import Decision, DialogState
from workers.secret_slots import SECRET, SPEECH, UNFIT


@pytest.fixture(scope="module")
def bot(tmp_path_factory: pytest.TempPathFactory) -> Bot:
    return load(write(tmp_path_factory.mktemp("bot") / "bot.yaml"))


ASKED = DialogState("pay", {}, "pin")


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("slots", "street", "secret"), "true", "slots.street: only a digits slot can be secret"),
        (("slots", "pin", "secret"), "perhaps", "slots.pin.secret"),
        (("intents", "pay", "answer"), "Your PIN is {pin}.", "intents.pay.answer: {pin} is a sec"),
        (("intents", "pay", "confirm"), "Card {card}?", "intents.pay.confirm: {card} is a secret"),
        (("intents", "pay", "lookup"), {"table": "accounts", "key": "pin", "missing": "None."},
         "intents.pay.lookup.key: pin is a secret slot"),
        (("intents", "pay", "lookup"), {"table": "accounts", "key": "account", "missing": "{pin}"},
         "intents.pay.lookup.missing: {pin} is a secret slot"),
    ],
)  # fmt: skip
def test_a_bot_that_would_tell_a_secret_is_refused(
    tmp_path: Path, path: tuple[str, ...], value: Any, named: str
):
    raw = definition()
    raw["intents"]["pay"]["slots"].append("account")
    at = raw
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(BotError) as caught:
        load(write(tmp_path / "bot.yaml", raw))
    assert named in str(caught.value)


def test_the_assistant_asks_to_key_it_in(bot: Bot):
    outcome = dialog.handle(bot, DialogState(), "pay")
    assert outcome.say == ("Please key in your PIN.",)
    assert outcome.decision.state.asked == "pin"
    missed = dialog.not_understood(bot, ASKED)
    assert missed.say == ("I need a number of 8 digits. Please key in your PIN.",)
    assert hints(bot, "pin", "en").expect == "text"  # what is said now is something else


def test_the_placeholder_fills_it_and_the_conversation_goes_on(bot: Bot):
    first = dialog.keyed_in(bot, ASKED, SECRET)
    assert first.say == ("Please key in your card's number.",)
    assert first.decision.state.slots == {"pin": SECRET}
    second = dialog.keyed_in(bot, first.decision.state, SECRET)
    assert second.say == ("Shall I charge your card?",)
    last = dialog.keyed_in(bot, second.decision.state, "1")
    assert last.say[0] == "Your bill is paid."


def test_what_does_not_fit_is_asked_for_again(bot: Bot):
    outcome = dialog.keyed_in(bot, ASKED, UNFIT)
    assert outcome.decision.state.slots == {}
    assert outcome.decision.state.asked == "pin"
    assert outcome.decision.state.misses == 1


@pytest.mark.parametrize("text", [f"my pin is {' '.join(PIN)}", PIN, SECRET, "one two three four "
                                  "five six seven eight"])  # fmt: skip
def test_what_is_said_is_never_its_value(bot: Bot, text: str):
    assert dialog.answer_to(bot, ASKED, text) is None
    assert dialog.slots_in(bot, "pay", text) == {}
    pieces = list(IntentsEngine().reply(Request(bot, ASKED, (), text), 1.0))
    (decision,) = [one for one in pieces if isinstance(one, Decision)]
    assert decision.state.slots == {}


def test_a_model_can_not_fill_it(bot: Bot):
    for value in (PIN, SECRET):
        outcome = dialog.handle(bot, ASKED, "pay", {"pin": value})
        assert outcome.decision.state.slots == {}


def test_an_ordinary_number_is_not_taken_for_it(bot: Bot):
    # Given another question open, digits that would fit the PIN are meant for that question
    state = DialogState("pay", {}, "account")
    assert secret_slots.wanted(bot, state) is None
    assert "pin" not in dialog.keyed_in(bot, state, PIN).decision.state.slots


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (ASKED, "pin"),
        (DialogState("pay", {"pin": SECRET}, "card"), "card"),
        # A model chatted in between: keys are still withheld.
        (DialogState("pay", {}, None), "pin"),
        (DialogState("pay", {"pin": SECRET}, None), "card"),
        (DialogState("pay", {"pin": SECRET, "card": SECRET}, "confirm"), None),
        (DialogState("pay", {"pin": SECRET, "card": SECRET}, None), None),
        (DialogState("balance", {}, None), None),
        (DialogState(None, {}, None), None),
        (DialogState("gone", {}, "gone"), None),
    ],
)
def test_which_secret_keys_are_meant_for(bot: Bot, state: DialogState, expected: str | None):
    assert secret_slots.wanted(bot, state) == expected


def test_a_worker_can_not_say_more_than_that_it_is_there(bot: Bot):
    variables = {"ai_pin": PIN}
    told = {"pin": "11112222", "card": SECRET, "account": "4271", "other": "x"}
    assert secret_slots.known(bot, told, variables) == {"pin": SECRET, "account": "4271"}


def test_what_is_shown_of_variables_and_speech(bot: Bot):
    shown = secret_slots.shown(bot, {"ai_pin": PIN, "ai_card": "", "ai_account": "4271"})
    assert shown == {"ai_pin": SECRET, "ai_card": "", "ai_account": "4271"}
    assert secret_slots.speech(bot, ASKED, "seven three nine") == SPEECH
    assert secret_slots.speech(bot, ASKED, UNFIT) == UNFIT
    assert secret_slots.speech(bot, DialogState("pay", {}, "account"), "four") == "four"


def test_an_entry_is_no_business_of_a_model_and_its_prompt_says_so(bot: Bot):
    with Provider() as server:
        server.plan = Plan(tools=[("handle_intent", json.dumps({"intent": "pay"}))])
        engine = OpenAiLlm(server.url, "m", "", connect_timeout_s=1.0, first_token_s=2.0,
                           token_gap_s=2.0)  # fmt: skip
        keyed = list(engine.reply(Request(bot, ASKED, (), SECRET, keyed=True), 5.0))
        assert keyed[0] == dialog.keyed_in(bot, dialog.begin(ASKED), SECRET).decision
        assert server.seen == []
        said = list(engine.reply(Request(bot, ASKED, (), "pay my bill"), 5.0))
        assert said[1] == "Please key in your PIN. "
        (asked,) = server.seen
    parameters = asked.json["tools"][0]["function"]["parameters"]["properties"]["slots"]
    assert set(parameters["properties"]) == {"account", "street", "postcode"}
    assert "pin (digits; keyed in" in asked.json["messages"][0]["content"]


def test_both_menus_ask_for_it_and_skip_what_is_there(bot: Bot):
    # In the listener's menu the placeholder stands for it,
    menu = ivr.Menu(bot, DialogState("pay", {"pin": SECRET}))
    assert menu.start().prompts == ("Please key in your card's number.",)
    for digit in CARD:
        menu.digit(digit)
    step = menu.digit("#")
    assert step is not None and step.updates == {"ai_card": CARD}
    assert step.done == ivr.Transfer("billing")
    assert ivr.Menu(bot, ASKED).start().prompts == ("Please key in your PIN.",)
    # in FreeSWITCH's the value itself, which is on the channel.
    xml = generate(
        bot, listeners=["127.0.0.1:8084"], sounds_dir="/s", context="eslbot", watchdog_s=3,
        entry_extension="7000", menu_extension="9000",
    )["dialplan/eslbot.xml"]  # fmt: skip
    walk = Walker(xml, "eslbot").walk("9000", f"5{PIN}#{CARD}#", {})
    assert (walk.extension, walk.variables["ai_pin"], walk.variables["ai_card"]) == (
        "2001", PIN, CARD,
    )  # fmt: skip
    known = Walker(xml, "eslbot").walk("9000", f"{CARD}#", {"ai_intent": "pay", "ai_pin": PIN})
    assert known.variables["ai_card"] == CARD
