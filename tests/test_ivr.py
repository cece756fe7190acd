"""The DTMF menu, and that FreeSWITCH's own menu does the same."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from eslbot.freeswitch import generate
from eslbot.ivr import MAX_ANSWERS, MAX_KEYS, Menu, Resume, Step, Transfer
from eslbot.prompts import prompt_file
from tests.conftest import ENERGY
from tests.dialplan_walker import SILENCE, Walker
from workers.bot import Bot, load
from workers.messages import DialogState

# Everything that the example bot has not: a star as key, a slot of one digit, several slots, a
# yes or no, a farewell on a key, destinations in other contexts, two attempts.
TRICKY = """
name: tricky
greeting: Hello
phrases: {not_understood: Pardon, no_input: Hello, anything_else: Else, to_menu: Keys, goodbye: Bye}
slots:
  one: {type: digits, max_digits: 1, ask: One, ask_keypad: Key one, variable: ai_one}
  two: {type: digits, min_digits: 2, max_digits: 3, ask: Two, ask_keypad: Key two, variable: ai_two}
  sure: {type: yes_no, ask: Sure, variable: ai_sure}
  words: {type: text, ask: Words, variable: ai_words}
  hour: {type: time, ask: Hour, ask_keypad: Key hour, variable: ai_hour}
  sum: {type: amount, currency: EUR, ask: Sum, ask_keypad: Key sum, variable: ai_sum}
  size: {type: choice, options: {s: [], l: []}, ask: Size, ask_keypad: Key size, variable: ai_size}
  paid: {type: yes_no, ask: Paid, ask_keypad: Key paid, variable: ai_paid}
  day: {type: date, ask: Day, ask_keypad: Key day, variable: ai_day}
intents:
  order: {examples: [order], slots: [size, hour, day, sum, paid], transfer: far, destination: far}
  both: {examples: [both], slots: [one, sure, two], transfer: far, destination: far}
  talk: {examples: [talk], slots: [words], answer: "You said {words}.", destination: near}
  news: {examples: [news], answer: No news., destination: near}
  bye: {examples: [bye], answer: Goodbye., hangup: true, destination: near}
  hidden: {examples: [hidden], slots: [two], answer: "{two}", destination: near}
destinations:
  near: {extension: "2000", context: eslbot, say: To near}
  far: {extension: "*9-far", context: elsewhere, say: To far}
menu:
  intro: Choose
  items:
    - {key: "*", intent: both, prompt: Star for both}
    - {key: "5", intent: news, prompt: Five for news}
    - {key: "6", intent: talk, prompt: Six to talk}
    - {key: "7", intent: order, prompt: Seven to order}
    - {key: "9", intent: bye, prompt: Nine to leave}
  person: near
  person_prompt: Zero for a person
  retry: Again
  attempts: 2
"""


@pytest.fixture(scope="module")
def energy() -> Bot:
    return load(ENERGY)


@pytest.fixture(scope="module")
def tricky(tmp_path_factory: pytest.TempPathFactory) -> Bot:
    path = tmp_path_factory.mktemp("bot") / "tricky.yaml"
    path.write_text(TRICKY)
    return load(path)


@dataclass
class Visit:
    """What came of one visit to a menu; files: what was played, by file name."""

    destination: tuple[str, str]
    variables: dict[str, str]
    files: list[str] = field(default_factory=list)


def in_the_listener(bot: Bot, keys: str, variables: dict[str, str]) -> Visit:
    slots = {name: variables.get(slot.variable, "") for name, slot in bot.slots.items()}
    menu = Menu(bot, DialogState(variables.get("ai_intent"), slots))
    visit = Visit(("", ""), dict(variables))
    waiting = iter(keys)
    step: Step | None = menu.start()
    while step is not None:
        visit.files += [prompt_file(text) for text in step.prompts]
        visit.variables |= step.updates
        if step.done:
            assert isinstance(step.done, Transfer)
            target = bot.destinations[step.done.destination]
            visit.destination = (target.extension, target.context)
            visit.files.append(prompt_file(target.say))
            return visit
        assert step.wait_ms > 0
        key = next(waiting, SILENCE)
        step = menu.timeout() if key == SILENCE else menu.digit(key)
    raise AssertionError("the menu fell silent")


def in_freeswitch(bot: Bot, keys: str, variables: dict[str, str]) -> Visit:
    files = generate(
        bot,
        listeners=["127.0.0.1:8084"],
        sounds_dir="/sounds/eslbot",
        context="eslbot",
        watchdog_s=6,
        entry_extension="7000",
        menu_extension="9000",
    )
    walk = Walker(files["dialplan/eslbot.xml"], "eslbot").walk("7000", keys, variables)
    mine = {name: value for name, value in walk.variables.items() if name.startswith("ai_")}
    return Visit((walk.extension, walk.context), mine, walk.played)


AGENT, BILLING = ("2000", "eslbot"), ("2001", "eslbot")
BALANCE = {"ai_intent": "balance"}

STORIES: list[tuple[str, str, dict[str, str], tuple[str, str], dict[str, str]]] = [
    ("balance", "14271#", {}, BILLING, {**BALANCE, "ai_account": "4271"}),
    ("no hash", "14271.", {}, BILLING, {**BALANCE, "ai_account": "4271"}),
    ("a leading zero", "10042#", {}, BILLING, {**BALANCE, "ai_account": "0042"}),
    ("zero", "0", {}, AGENT, {}),
    ("silence", "...", {}, AGENT, {}),
    ("the line goes dead", "", {}, AGENT, {}),
    ("wrong keys", "789", {}, AGENT, {}),
    ("hash alone", "###", {}, AGENT, {}),
    ("second attempt", "8.14271#", {}, BILLING, {**BALANCE, "ai_account": "4271"}),
    ("intent known", "4271#", BALANCE, BILLING, {**BALANCE, "ai_account": "4271"}),
    ("all known", "", {**BALANCE, "ai_account": "4271"}, BILLING, {}),
    ("slot known", "1", {"ai_account": "4271"}, BILLING, {**BALANCE, "ai_account": "4271"}),
    ("slot known but invalid", "14271#", {"ai_account": "12"}, BILLING,
     {**BALANCE, "ai_account": "4271"}),
    ("slot holds words", "14271#", {"ai_account": "${x}"}, BILLING,
     {**BALANCE, "ai_account": "4271"}),
    ("unknown intent", "0", {"ai_intent": "nonsense"}, AGENT, {"ai_intent": "nonsense"}),
    ("too short, then right", "112#4271#", {}, BILLING, {**BALANCE, "ai_account": "4271"}),
    ("too long, then right", "1123456789#4271#", {}, BILLING, {**BALANCE, "ai_account": "4271"}),
    ("star in an entry", "142*71#4271#", {}, BILLING, {**BALANCE, "ai_account": "4271"}),
    ("zero in a slot", "10#", {}, AGENT, BALANCE),
    ("zero in a slot, no hash", "10.", {}, AGENT, BALANCE),
    ("silence in a slot", "1...", {}, AGENT, BALANCE),
    ("hours, then a person", "30", {}, AGENT, {}),
    ("hours for ever", "3" * MAX_ANSWERS, {}, AGENT, {}),
    ("hours known", "0", {"ai_intent": "hours"}, AGENT, {"ai_intent": "hours"}),
    ("farewell known", "14271#", {"ai_intent": "goodbye"}, BILLING,
     {**BALANCE, "ai_account": "4271"}),
    ("person known", "", {"ai_intent": "person"}, AGENT, {"ai_intent": "person"}),
    ("address: the street is left to the agent", "412345#", {}, AGENT,
     {"ai_intent": "address", "ai_postcode": "12345"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "keys", "known", "destination", "variables"), STORIES,
                         ids=[story[0] for story in STORIES])  # fmt: skip
def test_a_caller_comes_out_at_the_same_place_with_or_without_us(
    energy: Bot,
    name: str,
    keys: str,
    known: dict[str, str],
    destination: tuple[str, str],
    variables: dict[str, str],
) -> None:
    # Given a caller who presses these keys, with this much known,
    # I expect the listener's menu to send them there, with this on the channel,
    ours = in_the_listener(energy, keys, known)
    assert ours.destination == destination
    assert ours.variables == {**known, **variables}
    # and FreeSWITCH's own menu to do the same, with the same words.
    assert in_freeswitch(energy, keys, known) == ours


@pytest.mark.parametrize("which", ["energy", "tricky"])
def test_whatever_is_pressed_both_menus_agree(which: str, request: pytest.FixtureRequest) -> None:
    bot: Bot = request.getfixturevalue(which)
    dice = random.Random(2000)  # the same walks each time
    intents = [*bot.intents, "", "nonsense"]
    entries = ["1", "12", "123", "4271", "12345", "1730", "930", "12*50", "2", "0*05", "9999"]
    values = ["", "1", "12", "4271", "123456789", "no", "a b", "17:30", "12.50 EUR", "s", "25:00"]
    ends = set()
    for _ in range(300):
        keys = "".join(dice.choices("0123456789*#A.", k=dice.randrange(40)))
        if dice.random() < 0.7:
            # Most callers mean something: keys of the menu, entries with a hash.
            items = [item.key for item in bot.menu.items]
            keys = dice.choice(items) + "".join(
                dice.choice([dice.choice(items), dice.choice(entries) + "#", "."])
                for _ in range(dice.randrange(6))
            )
        known = {slot.variable: dice.choice(values) for slot in bot.slots.values()}
        known["ai_intent"] = dice.choice(intents)
        known = {name: value for name, value in known.items() if value and dice.random() < 0.5}
        ours = in_the_listener(bot, keys, known)
        assert in_freeswitch(bot, keys, known) == ours, (keys, known)
        ends.add(ours.destination)
    assert ends == {(d.extension, d.context) for d in bot.destinations.values()}


def test_a_key_that_is_a_star_chooses_and_does_not_resume(tricky: Bot) -> None:
    menu = Menu(tricky, DialogState(), may_resume=True)
    menu.start()
    step = menu.digit("*")
    assert step and step.updates == {"ai_intent": "both"} and step.prompts == ("Key one",)
    # Within an entry it is no item's key, and leads back.
    assert menu.digit("*") == Step(done=Resume())


def test_star_leads_back_to_the_assistant_only_where_that_is_allowed(energy: Bot) -> None:
    menu = Menu(energy, DialogState(), may_resume=True)
    menu.start()
    assert menu.digit("*") == Step(done=Resume())
    # Given no assistant to go back to, I expect star to be a wrong key.
    menu = Menu(energy, DialogState())
    menu.start()
    step = menu.digit("*")
    assert step and step.done is None and step.prompts[0] == energy.menu.retry


def test_a_digit_of_an_entry_stops_the_prompt_and_waits_for_the_next(energy: Bot) -> None:
    menu = Menu(energy, DialogState("balance"), gap_ms=1234)
    assert menu.start().wait_ms == energy.menu.digit_timeout_ms
    assert menu.digit("4") == Step(wait_ms=1234)


def test_an_endless_entry_ends_by_itself(energy: Bot) -> None:
    menu = Menu(energy, DialogState("balance"))
    menu.start()
    steps = [menu.digit("7") for _ in range(MAX_KEYS)]
    assert all(step and not step.prompts for step in steps[:-1])
    assert steps[-1] and steps[-1].prompts[0] == energy.menu.retry


def test_keys_after_the_end_do_nothing(energy: Bot) -> None:
    menu = Menu(energy, DialogState())
    menu.start()
    last = menu.digit("0")
    assert last and last.done == Transfer("agent")
    assert menu.digit("1") is None
    assert menu.timeout() == Step(done=Transfer("agent"))


def test_the_tricky_bot_is_what_it_says(tricky: Bot, tmp_path: Path) -> None:
    ours = in_the_listener(tricky, "*7#42#", {})
    assert ours.destination == ("*9-far", "elsewhere")
    assert ours.variables == {"ai_intent": "both", "ai_one": "7", "ai_two": "42"}
    # A slot of one digit takes a 0 as its value, not as the wish for a person.
    assert in_the_listener(tricky, "*0#42#", {}).variables["ai_one"] == "0"


def test_slots_of_each_type_are_keyed_in_both_menus_alike(tricky: Bot) -> None:
    keys = "72#1730#12*50#1#"
    ours = in_the_listener(tricky, keys, {})
    assert in_freeswitch(tricky, keys, {}) == ours
    assert ours.destination == ("*9-far", "elsewhere")
    told = {name: ours.variables[name] for name in ("ai_size", "ai_hour", "ai_sum", "ai_paid")}
    assert told == {"ai_size": "l", "ai_hour": "17:30", "ai_sum": "12.50 EUR", "ai_paid": "yes"}
    assert "ai_day" not in ours.variables  # a person asks for it
