"""Conversations with slots of every type, corrections, several wishes, and in two languages.

The day is Saturday, 2026-11-21.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_dialog import Talk
from workers.bot import Bot, load
from workers.messages import DialogState, Step

PARCELS = Path(__file__).parent / "data" / "bots" / "parcels.yaml"
START = DialogState(today="2026-11-21")


@pytest.fixture(scope="module")
def parcels() -> Bot:
    return load(PARCELS)


@pytest.fixture
def talk(parcels: Bot) -> Talk:
    return Talk(parcels, START)


def say(talk: Talk, *texts: str) -> str:
    for text in texts:
        talk.hear(text)
    return talk.said


BOOKED = ("I want to send a parcel", "the large one", "on friday", "half past nine")


# -- slots


def test_slots_of_each_type_are_asked_for_and_confirmed(talk: Talk) -> None:
    assert talk.hear("I want to send a parcel") == "A small or a large parcel?"
    assert talk.hear("the large one") == "On which day?"
    assert talk.hear("on friday") == "At what time?"
    assert talk.hear("half past nine") == (
        "We pick up a large parcel on Friday, the twenty seventh of November, "
        "at 9 30 in the morning. Is that right?"
    )
    assert talk.state.slots == {"size": "large", "day": "2026-11-27", "hour": "09:30"}
    assert talk.hear("yes").startswith("The pickup is booked.")


def test_values_that_come_with_the_wish_are_not_asked_for(talk: Talk) -> None:
    said = talk.hear("pick up a large parcel tomorrow at five please")
    assert said.startswith("We pick up a large parcel on Sunday, the twenty second of November,")
    assert talk.state.slots == {"size": "large", "day": "2026-11-22", "hour": "17:00"}


def test_an_answer_that_says_more_fills_more(talk: Talk) -> None:
    say(talk, "I want to send a parcel", "small")
    talk.hear("tomorrow at five")
    assert talk.state.asked == "confirm"
    assert talk.state.slots == {"size": "small", "day": "2026-11-22", "hour": "17:00"}


def test_a_day_out_of_bounds_is_asked_for_again_with_what_is_expected(talk: Talk) -> None:
    said = say(talk, "I want to send a parcel", "small", "on the third of may")
    assert said == "Please say a day within the next two months, like next Tuesday."


@pytest.mark.parametrize(
    ("keys", "value"),
    [(("2", "1127", "0930"), {"size": "large", "day": "2026-11-27", "hour": "09:30"})],
)
def test_slots_of_each_type_can_be_keyed(
    talk: Talk, keys: tuple[str, ...], value: dict[str, str]
) -> None:
    talk.hear("I want to send a parcel")
    for one in keys:
        talk.hear(one, keyed=True)
    assert talk.state.slots == value
    assert talk.state.asked == "confirm"


def test_an_amount_is_keyed_with_a_star_and_said_with_its_currency(talk: Talk) -> None:
    talk.hear("I want to make a payment")
    assert talk.hear("12*50", keyed=True) == "You pay 12 dollars and 50 cents. Is that right?"
    assert talk.state.slots == {"sum": "12.50 USD"}


# -- corrections


@pytest.mark.parametrize(
    ("words", "slot", "value"),
    [
        ("no, the other one", "size", "small"),
        ("no the small one", "size", "small"),
        ("no on thursday", "day", "2026-11-26"),
        ("no, I meant the third of december", "day", "2026-12-03"),
        ("no at ten thirty", "hour", "10:30"),
        ("no, the hour is eleven", "hour", "11:00"),
        ("yes but on monday", "day", "2026-11-23"),
    ],
)
def test_a_no_with_a_value_corrects_the_slot_that_it_fits(
    talk: Talk, words: str, slot: str, value: str
) -> None:
    say(talk, *BOOKED)
    before = dict(talk.state.slots)
    assert talk.hear(words).endswith("Is that right?")
    assert talk.state.slots == before | {slot: value}


def test_a_no_can_correct_two_slots_at_once(talk: Talk) -> None:
    say(talk, *BOOKED)
    talk.hear("no on thursday at ten thirty")
    assert talk.state.slots == {"size": "large", "day": "2026-11-26", "hour": "10:30"}


def test_a_mere_no_asks_what_is_wrong_and_takes_a_name_for_it(talk: Talk) -> None:
    say(talk, *BOOKED)
    assert talk.hear("no") == "What should I change?"
    assert talk.hear("the day") == "On which day?"
    assert "Thursday" in talk.hear("thursday")
    assert talk.state.slots == {"size": "large", "day": "2026-11-26", "hour": "09:30"}


def test_what_is_wrong_can_be_told_by_its_new_value(talk: Talk) -> None:
    say(talk, *BOOKED, "no")
    talk.hear("thursday")
    assert talk.state.slots["day"] == "2026-11-26"


def test_what_is_wrong_can_be_keyed_by_its_place(talk: Talk) -> None:
    say(talk, *BOOKED)
    assert talk.hear("2", keyed=True) == "What should I change?"
    assert talk.hear("2", keyed=True) == "On which day?"


def test_the_only_slot_is_asked_for_again(talk: Talk) -> None:
    say(talk, "change the day of my delivery", "on friday")
    assert talk.hear("no") == "On which day?"


def test_never_mind_cancels(talk: Talk) -> None:
    say(talk, *BOOKED)
    assert talk.hear("never mind").startswith("All right, I have changed nothing.")
    assert talk.state.slots == {}


def test_everything_wrong_begins_anew(talk: Talk) -> None:
    say(talk, *BOOKED, "no")
    assert talk.hear("everything") == "A small or a large parcel?"


def test_an_earlier_answer_is_corrected_while_the_next_question_is_open(talk: Talk) -> None:
    say(talk, "I want to send a parcel", "the large one", "on friday")
    assert talk.hear("no I said thursday") == "At what time?"
    assert talk.state.slots == {"size": "large", "day": "2026-11-26"}


def test_a_number_is_corrected_after_its_answer(talk: Talk) -> None:
    say(talk, "where is my order", "four two seven one")
    assert talk.hear("no, four two seven two").startswith("Order 4 2 7 2 is packed.")


def test_a_street_is_corrected_by_its_name(talk: Talk) -> None:
    say(talk, "change my shipping address", "yesterday", "five main street")
    said = talk.hear("no, the street is seven market square")
    assert "goes to seven market square" in said


# -- several wishes


def test_two_wishes_are_answered_in_order(talk: Talk) -> None:
    said = talk.hear("what are your opening hours and where is my order")
    assert said == (
        "First, our opening hours. We are open from eight to six. Next, your order. "
        "What is the order number?"
    )
    assert talk.hear("four two seven one") == "Order 4 2 7 1 is on its way. Anything else?"


def test_each_of_several_wishes_is_confirmed_before_the_next(talk: Talk) -> None:
    said = talk.hear("change my shipping address and then I want to make a payment")
    assert said == "First, your shipping address. When did you order?"
    assert [step.intent for step in talk.state.pending] == ["pay"]
    say(talk, "yesterday", "five main street")
    assert talk.state.asked == "confirm"
    said = talk.hear("yes")
    assert said == (
        "The shipping address is changed. Next, your payment. How much would you like to pay?"
    )
    assert (
        say(talk, "twelve fifty", "yes")
        == "Thank you, 12 dollars and 50 cents are paid. Anything else?"
    )


def test_a_cancelled_wish_leads_to_the_next(talk: Talk) -> None:
    say(talk, "book a pickup and tell me your opening hours", *BOOKED[1:])
    said = talk.hear("never mind")
    assert said.startswith("All right, I have changed nothing. Next, our opening hours.")


def test_the_wish_that_ends_the_bots_part_comes_last(talk: Talk) -> None:
    said = talk.hear("I want to talk to a person and what are your opening hours")
    assert said.startswith("First, our opening hours. We are open")
    assert (talk.decision.action, talk.decision.destination) == ("transfer", "desk")


def test_what_shall_stay_is_no_wish(talk: Talk) -> None:
    said = talk.hear("change my shipping address for yesterday's order, but keep billing the same")
    assert said == "Everything else stays as it is. Which street and house number?"
    assert talk.state.intent == "shipping_address"
    assert talk.state.slots == {"ordered": "2026-11-20"}
    assert talk.state.pending == ()
    say(talk, "five main street")
    said = talk.hear("yes")
    assert said == "The shipping address is changed. Anything else?"


@pytest.mark.parametrize(
    "words",
    [
        "change my shipping address but don't change my billing address",
        "change my shipping address and leave the billing address as it is",
        "change my shipping address without touching billing, please, but don't change the rest",
        "change my shipping address but keep billing the same",
    ],
)
def test_what_shall_stay_is_no_wish_however_it_is_said(talk: Talk, words: str) -> None:
    talk.hear(words)
    assert (talk.state.intent, talk.state.pending) == ("shipping_address", ())


@pytest.mark.parametrize(
    "words", ["my street and my house number", "yes and no", "and then", "and and and"]
)
def test_an_and_alone_makes_no_wishes(talk: Talk, words: str) -> None:
    assert talk.hear(words) == "Pardon?"
    assert talk.state.pending == ()


def test_wishes_are_bounded(talk: Talk) -> None:
    talk.hear(
        "where is my order and what are your opening hours and book a pickup and make a payment "
        "and change my shipping address and change the day of my delivery"
    )
    assert len(talk.state.pending) <= 3


def test_a_pending_wish_of_another_bot_is_left_out(parcels: Bot) -> None:
    talk = Talk(parcels, DialogState(today="2026-11-21", pending=(Step("refund"), Step("hours"))))
    said = say(talk, "where is my order", "four two seven one")
    assert said.startswith("Order 4 2 7 1 is on its way. Next, our opening hours. We are open")


# -- context


def test_it_is_the_order_that_was_looked_up(talk: Talk) -> None:
    say(talk, "where is my order", "four two seven one")
    assert talk.hear("and when will it arrive") == "Order 4 2 7 1 arrives tomorrow. Anything else?"


def test_it_is_asked_for_when_nothing_was_named(talk: Talk) -> None:
    assert talk.hear("when will it arrive") == "What is the order number?"


def test_a_day_for_one_wish_is_not_the_day_of_another(talk: Talk) -> None:
    say(talk, *BOOKED, "yes")
    assert talk.hear("change the day of my delivery") == "On which day?"


def test_what_was_done_is_summed_up_within_bounds(talk: Talk) -> None:
    say(talk, "where is my order", "four two seven one", *BOOKED, "yes")
    assert talk.state.summary == (
        "order_status (order: 4271); pickup (size: large, day: 2026-11-27, hour: 09:30)"
    )
    for _ in range(40):
        say(talk, "when are you open", "where is my order")
    assert len(talk.state.summary) <= 600


# -- languages


def test_the_language_is_changed_in_mid_call(talk: Talk) -> None:
    talk.hear("where is my order")
    talk.hear("four two seven one")
    assert talk.hear("German please") == "Gerne auf Deutsch. Was kann ich für Sie tun?"
    assert talk.state.language == "de"
    talk.bot = talk.bot.speaking("de")
    assert talk.hear("wann kommt sie an").startswith("Bestellung 4 2 7 1 kommt morgen.")
    said = say(talk, "ich möchte ein Paket verschicken", "ein kleines", "am Freitag um zehn Uhr")
    assert said == (
        "Wir holen ein Paket ab, Größe klein, Freitag, der siebenundzwanzigste November, 10 Uhr. "
        "Ist das richtig?"
    )
    assert "Größe groß" in talk.hear("nein, das große")
    assert talk.hear("ja").startswith("Die Abholung ist gebucht.")
    assert talk.hear("English please") == "Let's speak English. How can I help?"
    assert talk.state.language == "en"


def test_a_bot_is_found_in_the_language_of_the_caller(parcels: Bot) -> None:
    assert parcels.speaking("de-AT").greeting.startswith("Paketdienst")
    assert parcels.speaking("fr") is parcels
    assert parcels.speaking("de").speaking("en").greeting == parcels.greeting
    again = Bot.model_validate_json(parcels.model_dump_json())
    assert again.sha == parcels.sha
    assert again.speaking("de").speaking("en").name == "parcels"


# -- a word that no example has


def test_a_question_about_a_recent_charge_reaches_billing_without_the_word(talk: Talk) -> None:
    talk.hear("I have a question about my recent charge")
    assert (talk.decision.action, talk.decision.destination) == ("transfer", "billing")
