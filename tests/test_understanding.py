"""What is understood without a model: spoken digits, yes and no, intents, sentences."""

from __future__ import annotations

import pytest

from workers.bot import Bot
from workers.llm.matcher import Matcher
from workers.sentences import MAX_SENTENCE, SentenceSplitter
from workers.spoken import digits, yes_or_no


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("four two seven one", "4271"),
        ("it's four two seven one please", "4271"),
        ("forty two seventy one", "4271"),
        ("4271", "4271"),
        ("42-71", "4271"),
        ("four double two one", "4221"),
        ("triple five one", "5551"),
        ("one oh oh seven", "1007"),
        ("one zero uh zero seven", "1007"),
        ("two four too for", "2424"),
        ("nineteen eighty four", "1984"),
        ("fifty", "50"),
        ("one moment it is nine eight seven six", "9876"),
        ("for the balance", ""),
        ("I want to talk to a person", ""),
        ("", ""),
    ],
)
def test_spoken_digits(said, meant):
    assert digits(said) == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("yes", "yes"),
        ("yes please", "yes"),
        ("that's right", "yes"),
        ("no", "no"),
        ("no that's wrong", "no"),
        ("not right", None),
        ("maybe", None),
        ("yes and no", None),
        ("", None),
    ],
)
def test_yes_or_no(said, meant):
    assert yes_or_no(said) == meant


def without(bot: Bot, intent: str, example: str) -> Bot:
    """The bot as if this example had never been given."""
    data = bot.model_dump()
    examples = data["intents"][intent]["examples"]
    assert example in examples
    data["intents"][intent]["examples"] = tuple(e for e in examples if e != example)
    return Bot.model_validate(data)


def test_a_question_about_a_recent_charge_is_about_billing_though_no_example_says_so(energy):
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
        ("what is my ballots", "balance"),
        ("what is my balance", "balance"),
    ],
)
def test_a_wish_in_other_words_or_heard_a_little_wrong_is_understood(energy, said, meant):
    found = Matcher(energy).match(said)
    assert (found.intent, found.sure) == (meant, True)


@pytest.mark.parametrize(
    "said",
    [
        "I have a question about the weather",
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
def test_what_the_bot_does_not_know_it_does_not_claim_to_know(energy, said):
    assert not Matcher(energy).match(said).sure


# -- sentences


def split(*pieces: str) -> list[str]:
    splitter = SentenceSplitter()
    return [s for piece in pieces for s in splitter.feed(piece)] + splitter.flush()


def test_a_sentence_is_there_as_soon_as_the_next_one_begins():
    splitter = SentenceSplitter()
    assert splitter.feed("Hello. How") == ["Hello."]
    assert splitter.feed(" are you? ") == ["How are you?"]
    assert splitter.flush() == []


def test_it_does_not_matter_how_the_text_is_cut():
    text = "It costs $4.50, Dr. Smith said. Is that all? Yes! Good"
    whole = split(text)
    assert whole == ["It costs $4.50, Dr. Smith said.", "Is that all?", "Yes!", "Good"]
    assert split(*text) == whole


def test_a_sentence_without_end_is_cut_at_a_comma_or_a_space_and_nothing_is_lost():
    text = ("word " * 30 + ", ") * 20
    parts = split(text)
    assert all(len(p) <= MAX_SENTENCE for p in parts)
    assert "".join(parts).replace(" ", "") == text.replace(" ", "")
    assert sum(len(p) for p in split("x" * 5000)) == 5000


def test_markup_emoji_and_control_characters_are_not_read_aloud():
    said = split("**Sure!** 😀 See [our page](http://x.y/z).\n- one\n- two\n`code`\x07")
    assert said == ["Sure!", "See our page.", "one", "two", "code"]
