"""Digits and yes or no, as callers say them and recognisers write them."""

from __future__ import annotations

import pytest

from workers.spoken import digits, yes_or_no
from workers.values.say import spoken


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("four two seven one", "4271"),
        ("it's four two seven one please", "4271"),
        ("one two three four five", "12345"),
        ("forty two seventy one", "4271"),
        ("4271", "4271"),
        ("42-71", "4271"),
        ("4 2 7-1", "4271"),
        ("٤٢٧١", "4271"),
        ("four double two one", "4221"),
        ("double seven", "77"),
        ("triple five one", "5551"),
        ("one oh oh seven", "1007"),
        ("one zero uh zero seven", "1007"),
        ("two four too for", "2424"),
        ("nineteen eighty four", "1984"),
        ("nineteen hundred", "1900"),
        ("nineteen hundred and five", "1905"),
        ("nineteen hundred and fifty", "1950"),
        ("two thousand", "2000"),
        ("one thousand two hundred", "1200"),
        ("fifty", "50"),
        ("one moment it is nine eight seven six", "9876"),
        ("four two seven one no wait", "4271"),
    ],
)
def test_a_number_is_read_however_it_is_said(said: str, meant: str) -> None:
    assert digits(said) == meant


@pytest.mark.parametrize(
    "said",
    ["for the balance", "I want to talk to a person", "a hundred thanks", "double", "", "²"],
)
def test_words_without_a_number_give_none(said: str) -> None:
    assert digits(said) == ""


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("yes", "yes"),
        ("yes please", "yes"),
        ("that's right", "yes"),
        ("of course", "yes"),
        ("yeah that is correct", "yes"),
        ("no", "no"),
        ("no that's wrong", "no"),
        ("that's not right", "no"),
        ("not quite right", "no"),
        ("I don't know", None),
        ("I'm not sure", None),
        ("maybe", None),
        ("yes and no", None),
        ("", None),
    ],
)
def test_yes_and_no_are_told_from_what_is_neither(said: str, meant: str | None) -> None:
    assert yes_or_no(said) == meant


def test_digits_said_back_are_understood_as_the_same() -> None:
    assert spoken("digits", "4271", "en") == "4 2 7 1"
    assert digits(spoken("digits", "0042", "en")) == "0042"
