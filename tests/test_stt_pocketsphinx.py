"""pocketsphinx on recorded speech off a telephone line: people, and voices made from people."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.recordings import human_digits, spoken, utterance, word_errors
from workers.bot import Bot
from workers.jobs import hints
from workers.spoken import digits, yes_or_no
from workers.stt.engine import Expect, Hints, SttError, Transcript
from workers.stt.pocketsphinx import PocketsphinxEngine

ASKED: dict[Expect, str | None] = {"text": None, "digits": "account", "yes_no": "confirm"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PocketsphinxEngine]:
    yield PocketsphinxEngine(tmp_path_factory.mktemp("stt"), max_open=2)


def listen(engine: PocketsphinxEngine, bot: Bot, pcm: bytes, expect: Expect) -> Transcript:
    """In the chunks in which it comes from the listener."""
    one = engine.open(hints(bot, ASKED[expect], "en"))
    try:
        for start in range(0, len(pcm), 1536):
            one.feed(pcm[start : start + 1536])
        return one.finish(10.0)
    finally:
        one.close()


@pytest.mark.parametrize(
    ("voice", "words", "wrong"),
    [
        ("rms", "what is my account balance", 1),
        ("rms", "i have a question about my recent charge", 1),
        ("rms", "what are your opening hours", 1),
        ("rms", "i want to change my address", 1),
        ("rms", "i want to talk to an agent", 1),
        ("slt", "what is my balance", 1),
    ],
)
def test_a_wish_is_heard_word_for_word_or_nearly(engine, energy, voice, words, wrong):
    heard = listen(engine, energy, utterance(spoken(voice, words)), "text")
    assert word_errors(words, heard.text) <= wrong, heard.text
    assert 0.0 <= heard.confidence <= 1.0


@pytest.mark.parametrize("number", ["4271", "1234", "9876", "50367"])
def test_a_persons_digits_are_heard_when_digits_are_asked_for(engine, energy, number):
    heard = listen(engine, energy, utterance(human_digits(number)), "digits")
    assert digits(heard.text) == number


def test_who_is_asked_for_digits_may_say_something_else(engine, energy):
    words = "i want to speak to a person"
    heard = listen(engine, energy, utterance(spoken("rms", words)), "digits")
    assert digits(heard.text) == ""
    assert word_errors(words, heard.text) <= 2, heard.text


@pytest.mark.parametrize(
    ("voice", "words", "meant"),
    [
        ("rms", "yes", "yes"),
        ("slt", "yes please", "yes"),
        ("rms", "thats right", "yes"),
        ("rms", "no", "no"),
        ("slt", "no thats wrong", "no"),
    ],
)
def test_yes_and_no_are_heard_when_they_are_asked_for(engine, energy, voice, words, meant):
    heard = listen(engine, energy, utterance(spoken(voice, words)), "yes_no")
    assert yes_or_no(heard.text) == meant, heard.text


def test_partials_come_before_the_end(engine, energy):
    pcm = utterance(spoken("rms", "what is my account balance"))
    one = engine.open(hints(energy, None, "en"))
    partials = [one.feed(pcm[at : at + 1600]) for at in range(0, len(pcm), 1600)]
    one.close()
    assert len({p for p in partials if p}) >= 2


def test_nothing_said_is_nothing_heard_and_no_audio_too(engine, energy):
    assert listen(engine, energy, b"", "text").text == ""
    assert not listen(engine, energy, b"\0\0" * 16000, "text").text.strip()


def test_no_more_utterances_than_decoders(engine, energy):
    opened = [engine.open(hints(energy, None, "en")) for _ in range(2)]
    with pytest.raises(SttError, match="open"):
        engine.open(hints(energy, None, "en"))
    for one in opened:
        one.close()
    engine.open(hints(energy, None, "en")).close()


def test_another_language_is_refused_by_name(engine):
    with pytest.raises(SttError, match="English"):
        engine.open(Hints(language="de"))
