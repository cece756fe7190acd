"""Wishes told apart by the examples of the bot alone. How well: docs/understanding.md."""

from __future__ import annotations

import threading

import pytest

from workers.bot import Bot
from workers.llm.intents import MAX_MATCHERS, IntentsEngine
from workers.llm.matcher import Matcher


def without(bot: Bot, intent: str, example: str) -> Bot:
    """The bot as if this example had never been given."""
    data = bot.model_dump()
    examples = data["intents"][intent]["examples"]
    assert example in examples
    data["intents"][intent]["examples"] = tuple(e for e in examples if e != example)
    return Bot.model_validate(data)


@pytest.fixture(scope="module")
def matcher(energy: Bot) -> Matcher:
    return Matcher(energy)


def test_a_question_about_a_recent_charge_is_about_billing_though_no_example_says_so(
    energy: Bot,
) -> None:
    bot = without(energy, "billing", "I have a question about my recent charge")
    found = Matcher(bot).match("I have a question about my recent charge")
    assert (found.intent, found.sure) == ("billing", True)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("how much money do I owe you", "balance"),
        ("do I still have to pay something", "balance"),
        ("are you open on sunday", "hours"),
        ("what time do you close tonight", "hours"),
        ("I moved to a different street", "address"),
        ("let me talk to a human", "person"),
        ("can I talk to someone please", "person"),
        ("you charged me twice for the same thing", "billing"),
        ("there is something wrong with my invoice", "billing"),
    ],
)
def test_a_wish_in_other_words_is_understood(matcher: Matcher, said: str, meant: str) -> None:
    found = matcher.match(said)
    assert (found.intent, found.sure) == (meant, True)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("what is my ballots", "balance"),
        ("opening ours", "hours"),
        ("I want to change my a dress", "address"),
        ("my in voice is wrong", "billing"),
    ],
)
def test_a_wish_heard_a_little_wrong_is_understood(matcher: Matcher, said: str, meant: str) -> None:
    found = matcher.match(said)
    assert (found.intent, found.sure) == (meant, True)


@pytest.mark.parametrize("number", ["4271", "four two seven one", "42 71", "forty two seventy one"])
def test_a_number_in_a_wish_does_not_change_it(matcher: Matcher, number: str) -> None:
    plain = matcher.match("the balance of account")
    assert matcher.match(f"the balance of account {number}") == plain


@pytest.mark.parametrize(
    "said",
    [
        "I have a question about the weather",
        "a question about the weather",
        "what is the capital of france",
        "my dog is sick",
        "who won the game last night",
        "four two seven one",
        "hello",
        "uh",
        "",
        "\x00 \ud800 💥",
        "x" * 5000,
    ],
)
def test_what_the_bot_does_not_know_it_does_not_claim_to_know(matcher: Matcher, said: str) -> None:
    assert not matcher.match(said).sure


def test_a_bot_of_one_intent_and_one_example_works(energy: Bot) -> None:
    data = energy.model_dump()
    hours = data["intents"]["hours"] | {"examples": ("when are you open",)}
    data["intents"] = {"hours": hours}
    data["menu"]["items"] = [{"key": "1", "intent": "hours", "prompt": "Press 1."}]
    found = Matcher(Bot.model_validate(data))
    assert found.match("when are you open").sure
    assert not found.match("my dog is sick").sure


def test_examples_in_another_script_do_no_harm(energy: Bot) -> None:
    data = energy.model_dump()
    data["intents"]["hours"]["examples"] = ("何時に開きますか", "💥", "1 2 3")
    found = Matcher(Bot.model_validate(data))
    assert found.match("何時に開きますか").intent == "hours"
    assert found.match("what is my balance").intent == "balance"


def test_a_matcher_is_built_once_for_a_bot_and_only_the_latest_are_kept(energy: Bot) -> None:
    engine = IntentsEngine()
    built: list[Matcher] = []
    threads = [
        threading.Thread(target=lambda: built.append(engine._matcher(energy))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(built) == 8
    assert len({id(one) for one in built}) == 1
    for n in range(MAX_MATCHERS):
        engine._matcher(energy.model_copy(update={"greeting": f"Hello {n}."}))
    assert len(engine._matchers) == MAX_MATCHERS
    assert engine._matcher(energy) is not built[0]
