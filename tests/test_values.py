"""Values: what callers say and key in, and what is said back. The day is Saturday, 2026-11-21."""

from __future__ import annotations

import itertools

import pytest

from workers.bot import Slot
from workers.values.slot_values import complete, keyed, keys_end, offered, read, said

TODAY = "2026-11-21"
Q = {"ask": "Which?", "variable": "ai_x"}
DATE = Slot(type="date", **Q)
SOON = Slot(type="date", earliest="today", latest="+60d", **Q)
ORDERED = Slot(type="date", earliest="-60d", latest="today", **Q)
BORN = Slot(type="date", earliest="-120y", latest="today", **Q)
TIME = Slot(type="time", **Q)
OFFICE = Slot(type="time", earliest="08:00", latest="18:00", **Q)
AMOUNT = Slot(type="amount", **Q)
DOLLARS = Slot(type="amount", currency="USD", **Q)
LARGE = Slot(type="amount", min_amount="100", max_amount="5000", **Q)
SIZE = Slot(type="choice", options={"small": ["small", "little"], "large": [],
            "extra_large": ["extra large", "huge"]}, **Q)  # fmt: skip
BANK = Slot(type="digits", ask_keypad="Key in.", min_digits=4, max_digits=5, **Q)

EVERYTHING = [
    "i want to speak to a person", "may i speak to somebody", "one second please",
    "no that's wrong", "four two seven one", "i am not sure", "what are your opening hours", "",
    "march on", "sun", "a", "now", "the second one please", "two people", "next time",
]  # fmt: skip


@pytest.mark.parametrize(
    ("slot", "text", "value"),
    [
        (DATE, "tomorrow at five", "2026-11-22"),
        (DATE, "the day after tomorrow", "2026-11-23"),
        (DATE, "the third of may", "2027-05-03"),
        (DATE, "on may the third please", "2027-05-03"),
        (DATE, "may third twenty twenty eight", "2028-05-03"),
        (DATE, "December twenty second", "2026-12-22"),
        (DATE, "the twenty second of december", "2026-12-22"),
        (DATE, "May 3rd, 2028", "2028-05-03"),
        (DATE, "3 May", "2027-05-03"),
        (DATE, "2027-05-03", "2027-05-03"),
        (DATE, "5/3/2027", "2027-05-03"),
        (DATE, "12/24", "2026-12-24"),
        (DATE, "tuesday", "2026-11-24"),
        (DATE, "next tuesday", "2026-11-24"),
        (DATE, "saturday", "2026-11-28"),
        (DATE, "last friday", "2026-11-20"),
        (DATE, "in two weeks", "2026-12-05"),
        (DATE, "in a week", "2026-11-28"),
        (DATE, "a week from monday", "2026-11-30"),
        (DATE, "three days ago", "2026-11-18"),
        (DATE, "the third", "2026-12-03"),
        (DATE, "monday the thirtieth of november", "2026-11-30"),
        (DATE, "tuesday the thirtieth of november", None),
        (DATE, "the thirty first of june", None),
        (DATE, "monday or tuesday", None),
        (DATE, "first of january nineteen eighty four", "1984-01-01"),
        (DATE, "two thousand and six", None),
        (DATE, "the twenty ninth of february", "2028-02-29"),
        (DATE, "twelve fifty", None),
        (DATE, "five thirty", None),
        (SOON, "the third of may", None),
        (SOON, "yesterday", None),
        (SOON, "the third of december", "2026-12-03"),
        (ORDERED, "on friday", "2026-11-20"),
        (ORDERED, "yesterday's order", "2026-11-20"),
        (ORDERED, "the third of november", "2026-11-03"),
        (BORN, "the third of may", None),
        (BORN, "the third of may nineteen eighty four", "1984-05-03"),
        (TIME, "five thirty", "17:30"),
        (TIME, "half past five", "17:30"),
        (TIME, "quarter to six in the morning", "05:45"),
        (TIME, "ten past nine", "09:10"),
        (TIME, "five", "17:00"),
        (TIME, "at eleven", "11:00"),
        (TIME, "tomorrow at five", "17:00"),
        (TIME, "twelve fifty", "12:50"),
        (TIME, "five oh five pm", "17:05"),
        (TIME, "seven o'clock in the evening", "19:00"),
        (TIME, "noon", "12:00"),
        (TIME, "midnight", "00:00"),
        (TIME, "twelve a m", "00:00"),
        (TIME, "12:30 a.m.", "00:30"),
        (TIME, "5:30 PM", "17:30"),
        (TIME, "05:30", "05:30"),
        (TIME, "fourteen thirty", "14:30"),
        (TIME, "four two seven one", None),
        (TIME, "five or six", None),
        (TIME, "twenty seven", None),
        (OFFICE, "eight", "08:00"),
        (OFFICE, "seven", None),
        (OFFICE, "six", "18:00"),
        (AMOUNT, "twelve fifty", "12.50"),
        (AMOUNT, "twelve dollars and fifty cents", "12.50"),
        (AMOUNT, "twelve dollars fifty", "12.50"),
        (AMOUNT, "fifty cents", "0.50"),
        (AMOUNT, "a hundred and twenty five euros", "125.00"),
        (AMOUNT, "one thousand two hundred", "1200.00"),
        (AMOUNT, "$1,250.50", "1250.50"),
        (AMOUNT, "12,50", "12.50"),
        (AMOUNT, "two point five", "2.50"),
        (AMOUNT, "a dollar", "1.00"),
        (AMOUNT, "four two seven one", None),
        (AMOUNT, "ten or twenty", None),
        (LARGE, "twelve fifty", "1250.00"),
        (LARGE, "fifty", None),
        (DOLLARS, "twelve fifty", "12.50 USD"),
        (DOLLARS, "twelve euros", None),
        (SIZE, "the small one please", "small"),
        (SIZE, "little", "small"),
        (SIZE, "extra large", "extra_large"),
        (SIZE, "large", "large"),
        (SIZE, "not the small one the large one", "large"),
        (SIZE, "the second one", "large"),
        (SIZE, "number three", "extra_large"),
        (SIZE, "the last one", "extra_large"),
        (SIZE, "small or large", None),
        (SIZE, "four", None),
    ],
)  # fmt: skip
def test_what_is_said_becomes_a_value(slot: Slot, text: str, value: str | None) -> None:
    assert read(slot, text, "en", TODAY) == value


@pytest.mark.parametrize(
    ("slot", "text", "value"),
    [
        (DATE, "morgen um fünf", "2026-11-22"),
        (DATE, "am dritten mai", "2027-05-03"),
        (DATE, "der dritte Mai zweitausendachtundzwanzig", "2028-05-03"),
        (DATE, "nächsten dienstag", "2026-11-24"),
        (DATE, "übermorgen", "2026-11-23"),
        (DATE, "am dritten fünften", "2027-05-03"),
        (DATE, "3.5.2027", "2027-05-03"),
        (DATE, "in drei tagen", "2026-11-24"),
        (DATE, "vor zwei wochen", "2026-11-07"),
        (BORN, "der erste april neunzehnhundertvierundachtzig", "1984-04-01"),
        (TIME, "halb sechs", "17:30"),
        (TIME, "siebzehn uhr dreißig", "17:30"),
        (TIME, "viertel nach neun", "09:15"),
        (TIME, "um acht uhr abends", "20:00"),
        (TIME, "17.30 Uhr", "17:30"),
        (AMOUNT, "zwölf euro fünfzig", "12.50"),
        (AMOUNT, "einhundertzwanzig", "120.00"),
        (AMOUNT, "12,50 €", "12.50"),
        (BANK, "vier zwei sieben eins", "4271"),
        (BANK, "zweiundvierzig einundsiebzig", "4271"),
        (SIZE, "das zweite", "large"),
    ],
)
def test_what_is_said_in_german_becomes_a_value(slot: Slot, text: str, value: str) -> None:
    assert read(slot, text, "de", TODAY) == value


@pytest.mark.parametrize("slot", [DATE, TIME, AMOUNT, DOLLARS, SIZE], ids=lambda s: s.type)
@pytest.mark.parametrize("text", EVERYTHING)
def test_what_was_not_asked_for_is_not_found_in_other_words(slot: Slot, text: str) -> None:
    assert read(slot, text, "en", TODAY, strict=True) is None


@pytest.mark.parametrize("text", EVERYTHING)
def test_a_date_is_not_found_in_other_words_even_when_it_was_asked_for(text: str) -> None:
    assert read(DATE, text, "en", TODAY) is None


@pytest.mark.parametrize(
    ("slot", "language", "keys", "value"),
    [
        (DATE, "en", "0503", "2027-05-03"),
        (DATE, "en-GB", "0305", "2027-05-03"),
        (DATE, "de", "0305", "2027-05-03"),
        (DATE, "de", "03052028", "2028-05-03"),
        (DATE, "de", "3102", None),
        (DATE, "de", "305", None),
        (SOON, "de", "0305", None),
        (TIME, "en", "1730", "17:30"),
        (TIME, "en", "0930", "09:30"),
        (TIME, "en", "930", "09:30"),
        (TIME, "en", "2561", None),
        (AMOUNT, "en", "12*50", "12.50"),
        (AMOUNT, "en", "12*5", "12.50"),
        (AMOUNT, "en", "12", "12.00"),
        (AMOUNT, "en", "12*505", None),
        (DOLLARS, "en", "12*50", "12.50 USD"),
        (LARGE, "en", "12", None),
        (SIZE, "en", "2", "large"),
        (SIZE, "en", "4", None),
        (BANK, "en", "4271", "4271"),
        (BANK, "en", "42", None),
    ],
)
def test_what_is_keyed_in_becomes_a_value(
    slot: Slot, language: str, keys: str, value: str | None
) -> None:
    assert keyed(slot, keys, language, TODAY) == value


@pytest.mark.parametrize(
    ("slot", "value", "taken"),
    [
        (DATE, "2027-05-03", "2027-05-03"),
        (DATE, "3 May", None),
        (DATE, "2027-02-30", None),
        (SOON, "2027-05-03", None),
        (TIME, "17:30", "17:30"),
        (TIME, "5pm", None),
        (AMOUNT, "12.5", "12.50"),
        (DOLLARS, "12.50 USD", "12.50 USD"),
        (DOLLARS, "12.50 EUR", None),
        (LARGE, "12.50", None),
        (SIZE, "Large", "large"),
        (SIZE, "gigantic", None),
        (DATE, 20270503, None),
    ],
)
def test_a_model_offers_values_in_their_own_form(
    slot: Slot, value: object, taken: str | None
) -> None:
    assert offered(slot, value, "en", TODAY) == taken


@pytest.mark.parametrize(
    ("slot", "value", "language", "words"),
    [
        (DATE, "2027-05-03", "en", "Monday, the third of May 2027"),
        (DATE, "2026-12-22", "en", "Tuesday, the twenty second of December"),
        (DATE, "2026-12-22", "de", "Dienstag, der zweiundzwanzigste Dezember"),
        (TIME, "17:30", "en", "5 30 in the evening"),
        (TIME, "09:05", "en", "9 oh 5 in the morning"),
        (TIME, "12:00", "en", "noon"),
        (TIME, "17:30", "de", "17 Uhr 30"),
        (DOLLARS, "12.50 USD", "en", "12 dollars and 50 cents"),
        (DOLLARS, "1.00 USD", "en", "1 dollar"),
        (DOLLARS, "0.01 USD", "en", "1 cent"),
        (AMOUNT, "12.50", "en", "12.50"),
        (SIZE, "extra_large", "en", "extra large"),
        (BANK, "4271", "en", "4 2 7 1"),
    ],
)
def test_a_value_is_said_back(slot: Slot, value: str, language: str, words: str) -> None:
    assert said(slot, value, language, TODAY) == words


@pytest.mark.parametrize("slot", [DATE, TIME, DOLLARS, SIZE, BANK], ids=lambda s: s.type)
@pytest.mark.parametrize("language", ["en", "de"])
def test_what_is_said_back_is_understood_again(slot: Slot, language: str) -> None:
    values = {
        "date": [f"2027-{m:02}-{d:02}" for m in range(1, 13) for d in (1, 3, 17, 21, 28)],
        "time": [f"{h:02}:{m:02}" for h in range(24) for m in (0, 5, 30, 59)],
        "amount": ["0.01 USD", "12.50 USD", "1.00 USD", "1200.00 USD"],
        "choice": ["small", "large", "extra_large"],
        "digits": ["4271", "00421"],
    }[slot.type]
    for value in values:
        if language == "de" and value in ("0.01 USD",):
            continue
        assert read(slot, said(slot, value, language, TODAY), language, TODAY) == value


def test_nothing_anybody_may_say_is_an_error() -> None:
    words = ["may", "the", "third", "of", "in", "a", "week", "from", "twelve", "fifty", "$",
             "12.50", "5/3", "half", "past", "to", "99:99", "next", "hundred", "thousand", "point",
             "not", "zero", "and", "pm", "9999-99-99", "2027", "number", "31st"]  # fmt: skip
    for slot in (DATE, BORN, TIME, AMOUNT, LARGE, SIZE, BANK):
        for language in ("en", "de", "fr"):
            for three in itertools.permutations(words, 3):
                value = read(slot, " ".join(three), language, TODAY)
                assert value is None or slot.accepts(value)


@pytest.mark.parametrize(
    ("slot", "partial", "whole"),
    [
        (BANK, "four two seven", False),
        (BANK, "four two seven one", False),
        (BANK, "four two seven one nine", True),
        (DATE, "the third", False),
        (DATE, "the third of may", True),
        (AMOUNT, "twelve", False),
        (AMOUNT, "twelve dollars and fifty cents", True),
        (TIME, "five", False),
        (SIZE, "the large", True),
    ],
)
def test_a_partial_tells_whether_the_value_is_complete(
    slot: Slot, partial: str, whole: bool
) -> None:
    assert complete(slot, partial, "en", TODAY) == whole


@pytest.mark.parametrize(
    ("slot", "keys", "end"),
    [
        (BANK, "4271", False),
        (BANK, "42719", True),
        (DATE, "0503", False),
        (SOON, "0503", True),
        (TIME, "1730", True),
        (AMOUNT, "12*5", False),
        (AMOUNT, "12*50", True),
        (SIZE, "2", True),
    ],
)
def test_keys_end_when_nothing_can_follow(slot: Slot, keys: str, end: bool) -> None:
    assert keys_end(slot, keys, TODAY) == end
