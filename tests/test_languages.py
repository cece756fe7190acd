"""What crosses the streams in a bot of two languages: each sentence says which one it is in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.test_understanding import PARCELS, START
from workers import jobs, streams
from workers.bot import Bot, load
from workers.engines import Level
from workers.llm.intents import IntentsEngine
from workers.messages import Decision, Final, Message, Sentence, SentencesEnd, Turn, decode
from workers.stt.engine import Hints
from workers.tts.cache import SpeechCache
from workers.tts.shared_sentences import sentences_of, shared_sentences

OUT = "eslbot:out:test"


@pytest.fixture(scope="module")
def parcels() -> Bot:
    return load(PARCELS)


def answered(client: redis.Redis, bot: Bot, text: str, language: str) -> list[Message]:
    """What a worker for the language model tells of one turn."""
    streams.put_bot(client, bot)
    context = jobs.Context(
        client, "llm", [Level(IntentsEngine(), "")], "w", SpeechCache(0, 60, None, None)
    )
    turn = Turn("call", 1, OUT, bot.sha, 5.0, 5.0, language, START)
    streams.feed(client, turn, "llm", Final(text), 60)
    jobs.run(context, turn)
    entries: list[tuple[bytes, dict[bytes, bytes]]] = client.xrange(OUT)
    return [decode(fields) for _, fields in entries]


def sentences(told: list[Message]) -> list[tuple[str, str]]:
    return [(one.text, one.language) for one in told if isinstance(one, Sentence)]


def test_from_the_change_on_each_sentence_is_in_the_other_language(
    client: redis.Redis, parcels: Bot
):
    told = answered(client, parcels, "German please", "en")
    assert sentences(told) == [
        ("Gerne auf Deutsch.", "de"),
        ("Was kann ich für Sie tun?", "de"),
    ]
    (decision,) = [one for one in told if isinstance(one, Decision)]
    assert (decision.state.language, decision.intent) == ("de", "german")


def test_a_turn_in_another_language_is_answered_by_its_file(client: redis.Redis, parcels: Bot):
    told = answered(client, parcels, "wann haben Sie geöffnet", "de-AT")
    assert sentences(told)[0] == ("Wir sind von acht bis achtzehn Uhr da.", "")


@pytest.mark.parametrize(("own", "spoken"), [("de", "de"), ("", "en")])
def test_a_sentence_is_spoken_in_its_own_language(
    client: redis.Redis, parcels: Bot, own: str, spoken: str
):
    asked: list[str] = []

    class Voice:
        name = voice = "voice"

        def speak(self, text: str, language: str, timeout_s: float) -> Iterator[bytes]:
            asked.append(language)
            yield bytes(16_000)

    streams.put_bot(client, parcels)
    context = jobs.Context(client, "tts", [Level(Voice(), "")], "w", SpeechCache(0, 60, None, None))
    turn = Turn("call", 1, OUT, parcels.sha, 5.0, 5.0, "en")
    for message in (Sentence(0, "Wie bitte?", own), SentencesEnd(1)):
        streams.feed(client, turn, "tts", message, 60)
    jobs.run(context, turn)
    assert asked == [spoken]


def test_speech_to_text_is_told_what_to_expect_in_its_language(parcels: Bot):
    hints = jobs.hints(parcels.speaking("de"), "size", "de")
    assert isinstance(hints, Hints)
    assert (hints.expect, hints.language) == ("choice", "de")
    assert "großes" in hints.options
    assert "wo ist meine Bestellung" in hints.phrases
    assert jobs.hints(parcels, "day", "en").expect == "date"


def test_what_is_the_same_for_all_callers_is_kept_in_each_language(parcels: Bot):
    shared = shared_sentences(parcels)
    assert {"Wie bitte?", "Pardon?"} <= set(shared)
    assert "Wie bitte?" not in sentences_of(parcels)
