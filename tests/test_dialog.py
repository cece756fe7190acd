"""The rules of a conversation, turn by turn, as the intents engine holds it."""

from __future__ import annotations

import pytest

from workers import dialog
from workers.bot import Bot
from workers.bot.slot import MAX_TEXT
from workers.llm.engine import Request
from workers.llm.intents import IntentsEngine
from workers.messages import Decision, DialogState
from workers.summary import MAX_SUMMARY, with_step

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


def test_a_balance_is_asked_for_and_told(talk: Talk) -> None:
    assert talk.hear("what is my balance") == "What is your account number?"
    assert talk.state.asked == "account"
    said = talk.hear("four two seven one")
    assert "The balance of account 4 2 7 1 is one hundred and twenty dollars" in said
    assert talk.decision.action == "none"
    assert talk.state.slots == {"account": "4271"}


def test_a_number_that_comes_with_the_wish_is_not_asked_for(talk: Talk) -> None:
    assert "4 2 7 1" in talk.hear("the balance of my account four two seven one please")


def test_a_number_once_known_is_not_asked_for_again(talk: Talk) -> None:
    talk.hear("what is my balance")
    talk.hear("4271", keyed=True)
    talk.hear("I have a question about my bill")
    assert talk.decision.action == "transfer"
    assert talk.decision.destination == "billing"


def test_what_the_channel_knew_is_not_asked_for(energy: Bot) -> None:
    talk = Talk(energy, DialogState(None, {"account": "1234"}))
    assert "zero dollars" in talk.hear("how much do I owe")


def test_an_unknown_account_is_asked_for_again_and_then_the_menu_takes_over(talk: Talk) -> None:
    talk.hear("what is my balance")
    said = talk.hear("five five five five")
    assert said.startswith("I can't find an account with the number 5 5 5 5.")
    assert talk.state.asked == "account"
    talk.hear("nothing of it is a number")
    assert talk.decision.action == "menu"


def test_a_second_unknown_account_goes_to_people_who_can_look(talk: Talk) -> None:
    talk.hear("what is my balance")
    talk.hear("five five five five")
    said = talk.hear("six six six six")
    assert said.startswith("I can't find an account with the number 6 6 6 6.")
    assert (talk.decision.action, talk.decision.destination) == ("transfer", "billing")


def test_an_account_of_the_channel_that_is_unknown_is_asked_for(energy: Bot) -> None:
    talk = Talk(energy, DialogState(None, {"account": "5555"}))
    assert talk.hear("how much do I owe").endswith("What is your account number?")
    assert "zero dollars" in talk.hear("1234", keyed=True)


def test_the_wish_said_again_in_place_of_its_number_does_not_go_on_for_ever(talk: Talk) -> None:
    talk.hear("what is my balance")
    assert "4 to 8 digits" in talk.hear("what is my balance")
    talk.hear("what is my balance")
    assert talk.decision.action == "menu"


def test_too_few_digits_are_asked_for_again_with_their_number(talk: Talk) -> None:
    talk.hear("what is my balance")
    assert "4 to 8 digits" in talk.hear("four two")
    assert talk.state.asked == "account"


def test_two_slots_are_asked_for_in_turn_and_confirmed(talk: Talk) -> None:
    assert talk.hear("I have moved to a new house") == "What is your new street and house number?"
    assert talk.hear("five main street") == "And the five digit post code?"
    said = talk.hear("one two three four five")
    assert said == "You are moving to five main street, post code 1 2 3 4 5. Is that right?"
    assert talk.state.asked == dialog.CONFIRM
    assert talk.hear("yes please").startswith("Thank you. I have noted your new address")


def test_a_no_to_the_confirmation_asks_what_is_wrong_and_a_second_one_changes_nothing(
    talk: Talk,
) -> None:
    for said in ("I want to change my address", "five main street", "one two three four five"):
        talk.hear(said)
    assert talk.hear("no that's wrong") == "What should I change?"
    assert talk.hear("no").startswith("All right, I have changed nothing.")
    assert talk.state.slots == {}


def test_a_no_with_another_question_gets_both_answers(talk: Talk) -> None:
    for said in ("I want to change my address", "five main street", "one two three four five"):
        talk.hear(said)
    said = talk.hear("no, what are your opening hours")
    assert said.startswith("All right, I have changed nothing. Next, hours. We are open from eight")
    assert talk.state.slots == {}


def test_a_yes_with_another_question_gets_both_answers(talk: Talk) -> None:
    for said in ("I want to change my address", "five main street", "one two three four five"):
        talk.hear(said)
    said = talk.hear("yes that's right and when are you open")
    assert said.startswith("Thank you. I have noted your new address")
    assert "We are open from eight" in said
    assert said.count("anything else") == 1


def test_no_thank_you_to_the_confirmation_is_a_no_and_not_a_goodbye(talk: Talk) -> None:
    for said in ("I want to change my address", "five main street", "one two three four five"):
        talk.hear(said)
    assert talk.hear("no thank you").startswith("All right, I have changed nothing.")
    assert talk.decision.action == "none"


@pytest.mark.parametrize(("key", "said"), [("1", "Thank you."), ("2", "What should I")])
def test_a_confirmation_can_be_keyed(talk: Talk, key: str, said: str) -> None:
    for words in ("I want to change my address", "five main street", "one two three four five"):
        talk.hear(words)
    assert talk.hear(key, keyed=True).startswith(said)


def test_a_number_can_be_corrected_by_keys_at_the_confirmation(talk: Talk) -> None:
    for said in ("I want to change my address", "five main street", "one two three four five"):
        talk.hear(said)
    assert "post code 5 4 3 2 1. Is that right?" in talk.hear("54321", keyed=True)


def test_keys_that_fit_another_slot_of_the_wish_fill_it(talk: Talk) -> None:
    talk.hear("I want to change my address")
    assert talk.hear("12345", keyed=True) == "What is your new street and house number?"
    assert talk.state.slots == {"postcode": "12345"}


def test_neither_yes_nor_no_is_asked_for_again(talk: Talk) -> None:
    for said in ("I want to change my address", "five main street", "one two three four five"):
        talk.hear(said)
    assert talk.hear("well hm") == "Please say yes or no."


def test_a_person_can_be_asked_for_in_the_middle_of_a_question(talk: Talk) -> None:
    talk.hear("what is my balance")
    talk.hear("can I speak to somebody")
    assert (talk.decision.action, talk.decision.destination) == ("transfer", "agent")


def test_another_wish_in_place_of_a_street_is_a_wish(talk: Talk) -> None:
    talk.hear("I want to change my address")
    assert "We are open" in talk.hear("what are your opening hours")


def test_the_wish_said_again_is_not_taken_for_a_street(talk: Talk) -> None:
    talk.hear("I want to change my address")
    assert talk.hear("I want to change my address") == "What is your new street and house number?"
    assert talk.state.slots == {}


def test_a_street_said_with_words_of_the_wish_is_taken(talk: Talk) -> None:
    talk.hear("I want to change my address")
    talk.hear("my new address is seven market square")
    assert "seven market square" in talk.state.slots["street"]


def test_words_that_only_sound_like_goodbye_end_no_call(talk: Talk) -> None:
    talk.hear("what is my balance")
    talk.hear("nothing of it is a number")
    assert talk.decision.action == "none"


def test_the_answer_without_slots_comes_at_once(talk: Talk) -> None:
    assert talk.hear("when are you open").startswith("We are open from eight")


def test_goodbye_ends_the_call(talk: Talk) -> None:
    talk.hear("no thank you that is all")
    assert talk.decision.action == "hangup"


def test_what_is_not_understood_twice_leads_to_the_menu(talk: Talk, energy: Bot) -> None:
    assert talk.hear("the weather is fine") == energy.phrases.not_understood
    assert talk.hear("I like red cars") == energy.phrases.to_menu
    assert talk.decision.action == "menu"


def test_something_understood_in_between_starts_the_count_anew(talk: Talk) -> None:
    talk.hear("the weather is fine")
    talk.hear("when are you open")
    talk.hear("I like red cars")
    assert talk.decision.action == "none"


def test_keys_with_nothing_asked_are_not_understood(talk: Talk, energy: Bot) -> None:
    assert talk.hear("4271", keyed=True) == energy.phrases.not_understood


# -- what a model may come up with


@pytest.mark.parametrize(
    "intent", [None, "", "refund", "balance; drop", "\ud800", 7, ["balance"], {}]
)
def test_an_intent_that_the_bot_does_not_have_is_not_understood(
    energy: Bot, intent: object
) -> None:
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
        {"account": ["4271"]},
        {"account": None},
        {"nothing": "4271"},
        {"postcode": "12345"},
        {7: "4271"},
        None,
        "account",
        ["account"],
    ],
)
def test_a_value_that_does_not_fit_its_slot_is_dropped(energy: Bot, slots: object) -> None:
    outcome = dialog.handle(energy, DialogState(), "balance", slots)
    assert outcome.decision.state.asked == "account"
    assert outcome.decision.state.slots == {}


def test_digits_written_in_groups_are_digits(energy: Bot) -> None:
    outcome = dialog.handle(energy, DialogState(), "balance", {"account": "42-71"})
    assert outcome.decision.state.slots == {"account": "4271"}


def test_text_from_a_model_is_one_bounded_line(energy: Bot) -> None:
    street = "five\r\nmain\x00 street \ud800" + "x" * 5000
    outcome = dialog.handle(energy, DialogState(), "address", {"street": street})
    value = outcome.decision.state.slots["street"]
    assert value.startswith("five main street x")
    assert len(value) <= MAX_TEXT


def test_a_model_can_not_confirm_in_the_callers_place(energy: Bot) -> None:
    slots = {"street": "five main street", "postcode": "12345"}
    first = dialog.handle(energy, DialogState(), "address", slots)
    again = dialog.handle(energy, first.decision.state, "address", slots)
    assert first.decision.state.asked == again.decision.state.asked == dialog.CONFIRM


def test_a_confirmation_whose_slots_are_gone_asks_for_them(energy: Bot) -> None:
    state = DialogState("address", {"street": "five main street"}, dialog.CONFIRM)
    outcome = dialog.confirm(energy, state, yes=True)
    assert outcome.decision.state.asked == "postcode"


def test_slots_of_another_bot_in_the_state_do_no_harm(energy: Bot) -> None:
    state = DialogState("refund", {"order": "7"}, "order")
    assert dialog.handle(energy, state, "balance", {}).decision.state.slots == {}
    assert dialog.not_understood(energy, state).say == (energy.phrases.not_understood,)


@pytest.mark.parametrize("destination", ["+882123", "2000", "billing;", "", "agent\n"])
def test_a_transfer_goes_to_a_named_destination_or_nowhere(energy: Bot, destination: str) -> None:
    outcome = dialog.transfer(energy, DialogState(), destination)
    assert outcome.decision.action == "none"


def test_of_a_long_call_the_summary_has_what_was_done_last(energy: Bot) -> None:
    told = ""
    for number in range(100):
        told = with_step(energy, told, "balance", {"account": f"{number:08}"})
        assert len(told) <= MAX_SUMMARY
    assert told.endswith("balance (account: 00000099)")
    assert told.startswith("balance (account: ")  # a whole step
