"""The rules of a conversation, turn by turn, as the intents engine holds it."""

from __future__ import annotations

import pytest

from workers import dialog
from workers.bot import Bot
from workers.llm.engine import Request
from workers.llm.intents import IntentsEngine
from workers.messages import Decision, DialogState

ENGINE = IntentsEngine()


class Talk:
    """A caller's side of a conversation; keeps the state as the listener does."""

    def __init__(self, bot: Bot, state: DialogState | None = None) -> None:
        self.bot = bot
        self.state = state or DialogState()
        self.decision = Decision(self.state)
        self.said = ""

    def hear(self, text: str, keyed: bool = False) -> str:
        request = Request(self.bot, self.state, (), text, keyed)
        parts = list(ENGINE.reply(request, 5.0))
        (self.decision,) = [p for p in parts if isinstance(p, Decision)]
        self.said = "".join(p for p in parts if isinstance(p, str)).strip()
        self.state = self.decision.state
        return self.said


@pytest.fixture
def talk(energy: Bot) -> Talk:
    return Talk(energy)


def test_a_balance_is_asked_for_and_told(talk: Talk):
    assert talk.hear("what is my balance") == "What is your account number?"
    assert talk.state.asked == "account"
    said = talk.hear("four two seven one")
    assert "The balance of account 4 2 7 1 is one hundred and twenty dollars" in said
    assert talk.decision.action == "none"
    assert talk.state.slots == {"account": "4271"}


def test_a_number_that_comes_with_the_wish_is_not_asked_for(talk: Talk):
    assert "4 2 7 1" in talk.hear("the balance of my account four two seven one please")


def test_a_number_once_known_is_not_asked_for_again(talk: Talk):
    talk.hear("what is my balance")
    talk.hear("4271", keyed=True)
    talk.hear("I have a question about my bill")
    assert talk.decision.action == "transfer"
    assert talk.decision.destination == "billing"


def test_what_the_channel_knew_is_not_asked_for(energy: Bot):
    talk = Talk(energy, DialogState(None, {"account": "1234"}))
    assert "zero dollars" in talk.hear("how much do I owe")


def test_an_unknown_account_is_asked_for_again_and_then_the_menu_takes_over(talk: Talk):
    talk.hear("what is my balance")
    said = talk.hear("five five five five")
    assert said.startswith("I can't find an account with the number 5 5 5 5.")
    assert talk.state.asked == "account"
    talk.hear("nothing of it is a number")
    assert talk.decision.action == "menu"


def test_too_few_digits_are_asked_for_again_with_their_number(talk: Talk):
    talk.hear("what is my balance")
    assert "4 to 8 digits" in talk.hear("four two")
    assert talk.state.asked == "account"


def test_two_slots_are_asked_for_in_turn_and_confirmed(talk: Talk):
    assert talk.hear("I have moved to a new house") == "What is your new street and house number?"
    assert talk.hear("five main street") == "And the five digit post code?"
    said = talk.hear("one two three four five")
    assert said == "You are moving to five main street, post code 1 2 3 4 5. Is that right?"
    assert talk.state.asked == dialog.CONFIRM
    assert talk.hear("yes please").startswith("Thank you. I have noted your new address")


def test_a_no_to_the_confirmation_changes_nothing(talk: Talk):
    for said in ("I want to change my address", "five main street", "one two three four five"):
        talk.hear(said)
    assert talk.hear("no that's wrong").startswith("All right, I have changed nothing.")
    assert talk.state.slots == {}


def test_neither_yes_nor_no_is_asked_for_again(talk: Talk):
    for said in ("I want to change my address", "five main street", "one two three four five"):
        talk.hear(said)
    assert talk.hear("well hm") == "Please say yes or no."


def test_a_person_can_be_asked_for_in_the_middle_of_a_question(talk: Talk):
    talk.hear("what is my balance")
    talk.hear("can I speak to somebody")
    assert (talk.decision.action, talk.decision.destination) == ("transfer", "agent")


def test_another_wish_in_place_of_a_street_is_a_wish(talk: Talk):
    talk.hear("I want to change my address")
    assert "We are open" in talk.hear("what are your opening hours")


def test_the_answer_without_slots_comes_at_once(talk: Talk):
    assert talk.hear("when are you open").startswith("We are open from eight")


def test_goodbye_ends_the_call(talk: Talk):
    talk.hear("no thank you that is all")
    assert talk.decision.action == "hangup"


def test_what_is_not_understood_twice_leads_to_the_menu(talk: Talk, energy: Bot):
    assert talk.hear("the weather is fine") == energy.phrases.not_understood
    assert talk.hear("I like red cars") == energy.phrases.to_menu
    assert talk.decision.action == "menu"


def test_something_understood_in_between_starts_the_count_anew(talk: Talk):
    talk.hear("the weather is fine")
    talk.hear("when are you open")
    talk.hear("I like red cars")
    assert talk.decision.action == "none"


def test_keys_with_nothing_asked_are_not_understood(talk: Talk, energy: Bot):
    assert talk.hear("4271", keyed=True) == energy.phrases.not_understood


# -- what a model may come up with


@pytest.mark.parametrize("intent", [None, "", "refund", "balance; drop", "\ud800"])
def test_an_intent_that_the_bot_does_not_have_is_not_understood(energy: Bot, intent):
    outcome = dialog.handle(energy, DialogState(), intent, {})
    assert outcome.say == (energy.phrases.not_understood,)


@pytest.mark.parametrize(
    "slots",
    [
        {"account": 4271},
        {"account": "four"},
        {"account": "4271; drop"},
        {"account": "１２３４"},
        {"account": "1" * 99},
        {"nothing": "4271"},
        {"account": None},
    ],
)
def test_a_value_that_does_not_fit_its_slot_is_dropped(energy: Bot, slots):
    outcome = dialog.handle(energy, DialogState(), "balance", slots)
    assert outcome.decision.state.asked == "account"
    assert outcome.decision.state.slots == {}


@pytest.mark.parametrize("destination", ["+882123", "2000", "billing;", "", "agent\n"])
def test_a_transfer_goes_to_a_named_destination_or_nowhere(energy: Bot, destination):
    outcome = dialog.transfer(energy, DialogState(), destination)
    assert outcome.decision.action == "none"
