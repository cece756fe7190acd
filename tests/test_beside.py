"""Another wish while a question is open: it waits, and is served; and "never mind" to a question.

The same by the rules, and by a model that calls for both over OpenAI's protocol.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.house import ROOT
from tests.provider import Provider
from tests.test_dialog import Talk
from tests.test_openai_llm import MOVING, model, turn
from tests.test_understanding import BOOKED, PARCELS, START, say
from workers.bot import Bot, load
from workers.messages import DialogState, Step


@pytest.fixture(scope="module")
def parcels() -> Bot:
    return load(PARCELS)


@pytest.fixture
def talk(parcels: Bot) -> Talk:
    return Talk(parcels, START)


@pytest.mark.parametrize(
    "words",
    [
        "four two seven one and what are your opening hours",
        "what are your opening hours, and the number is four two seven one",
        "four two seven one what are your opening hours",
        "what are your opening hours it's four two seven one",
    ],
)
def test_an_answer_and_another_wish_are_both_served(talk: Talk, words: str) -> None:
    talk.hear("where is my order")
    said = talk.hear(words)
    assert said.startswith("Order 4 2 7 1 is on its way. Next, our opening hours. We are open")


def test_the_wish_beside_an_answer_waits_till_all_is_confirmed(talk: Talk) -> None:
    say(talk, "I want to send a parcel", "the large one")
    said = talk.hear("on friday and then what are your opening hours")
    assert said == "Then our opening hours. At what time?"
    assert [step.intent for step in talk.state.pending] == ["hours"]
    assert talk.hear("half past nine").endswith("Is that right?")
    said = talk.hear("yes")
    assert said.startswith("The pickup is booked. Next, our opening hours. We are open")
    assert talk.state.pending == ()


def test_a_wish_beside_the_yes_keeps_what_came_along_with_it(talk: Talk) -> None:
    say(talk, *BOOKED)
    said = talk.hear("yes please and where is my order four two seven one")
    assert said == (
        "The pickup is booked. Next, your order. Order 4 2 7 1 is on its way. Anything else?"
    )


def test_wishes_beside_a_free_text_are_not_part_of_it(talk: Talk) -> None:
    say(talk, "change my shipping address", "yesterday")
    assert talk.state.asked == "street"
    talk.hear("five main street and what are your opening hours")
    assert talk.state.slots["street"] == "five main street"
    assert [step.intent for step in talk.state.pending] == ["hours"]


@pytest.mark.parametrize(
    "words",
    ["five main and market street", "church and state street", "number five, and that's it"],
)
def test_a_free_text_with_an_and_stays_whole(talk: Talk, words: str) -> None:
    say(talk, "change my shipping address", "yesterday")
    talk.hear(words)
    assert talk.state.slots["street"] == words
    assert talk.state.pending == ()


def test_a_sum_with_an_and_stays_whole(talk: Talk) -> None:
    say(talk, "I want to make a payment")
    talk.hear("twelve dollars and fifty cents")
    assert talk.state.slots["sum"] == "12.50 USD"
    assert talk.state.pending == ()


def test_what_leads_to_a_person_waits_for_the_wish_beside_it() -> None:
    talk = Talk(load(ROOT / "eslbot" / "bots" / "support.yaml"), START)
    talk.hear("I have a question about my recent charge")
    said = talk.hear("seven zero zero one one and what are your opening hours")
    assert said.startswith("First, hours. We are here from eight")
    assert (talk.decision.action, talk.decision.destination) == ("transfer", "billing")
    assert talk.state.slots["order"] == "70011"


def test_the_wishes_that_wait_are_bounded(talk: Talk, parcels: Bot) -> None:
    waiting = (Step("hours"), Step("pay"), Step("pickup"))
    talk.state = DialogState("order_status", {}, "order", pending=waiting, today="2026-11-21")
    talk.hear("four two seven one and I want to change my shipping address")
    assert len(talk.state.pending) <= 3


@pytest.mark.parametrize("words", ["never mind", "oh no, forget it please", "cancel that, thanks"])
def test_never_mind_to_a_question_drops_what_is_open(talk: Talk, words: str) -> None:
    talk.hear("where is my order")
    assert talk.hear(words) == "All right, I have changed nothing. Anything else?"
    assert (talk.state.intent, talk.state.asked, talk.state.misses) == (None, None, 0)


def test_never_mind_is_no_street(talk: Talk) -> None:
    say(talk, "change my shipping address", "yesterday")
    assert talk.hear("never mind").startswith("All right, I have changed nothing.")
    assert "street" not in talk.state.slots


def test_a_street_that_only_sounds_like_it_is_one(talk: Talk) -> None:
    say(talk, "change my shipping address", "yesterday")
    talk.hear("five stop lane")
    assert talk.state.slots["street"] == "five stop lane"


# -- a model


@pytest.fixture
def server() -> Iterator[Provider]:
    with Provider() as one:
        yield one


def test_a_yes_and_another_wish_of_a_model_are_both_done(server: Provider, energy: Bot) -> None:
    server.plan.tools = [
        ("handle_intent", '{"intent": "address", "confirmed": true}'),
        ("handle_intent", '{"intent": "hours"}'),
    ]
    said, decision = turn(model(server), energy, state=MOVING)
    assert said.startswith("Thank you. I have noted your new address")
    assert "Next, hours. We are open from eight" in said
    assert decision.state.intent is None


def test_a_value_and_another_wish_of_a_model(server: Provider, energy: Bot) -> None:
    server.plan.tools = [
        ("handle_intent", '{"intent": "hours"}'),
        ("handle_intent", '{"intent": "address", "slots": {"street": "1 High Street"}}'),
    ]
    said, decision = turn(model(server), energy, state=DialogState("address", {}, "street"))
    assert said.startswith("Then hours. ")
    assert decision.state.slots == {"street": "1 High Street"}
    assert [step.intent for step in decision.state.pending] == ["hours"]


def test_a_model_cancels_what_is_open_and_serves_what_else_is_wanted(
    server: Provider, energy: Bot
) -> None:
    server.plan.tools = [("cancel_wish", "{}")]
    said, decision = turn(model(server), energy, state=MOVING)
    assert said.startswith("All right, I have changed nothing.")
    assert (decision.state.intent, decision.state.asked) == (None, None)
    server.plan.tools = [("cancel_wish", "{}"), ("handle_intent", '{"intent": "hours"}')]
    said, _ = turn(model(server), energy, state=MOVING)
    assert said.startswith("All right, I have changed nothing. Next, hours. We are open")


def test_a_model_that_cancels_nothing_does_no_harm(server: Provider, energy: Bot) -> None:
    server.plan.tools = [("cancel_wish", "{}")]
    said, decision = turn(model(server), energy)
    assert (said.strip(), decision.action) == (energy.phrases.anything_else, "none")


def test_a_model_says_what_shall_stay(server: Provider, energy: Bot) -> None:
    server.plan.tools = [("handle_intent", '{"intent": "hours", "unchanged": true}')]
    said, _ = turn(model(server), energy)
    assert said.startswith("Everything else stays as it is. We are open")
