"""What a voice of a provider is given to say, and what our own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from workers import jobs, streams
from workers.bot import Bot
from workers.engines import Level
from workers.messages import Sentence, SentencesEnd, SpeechEnd, Turn, decode
from workers.tts.cache import SpeechCache

OUT = "eslbot:out:test"
TEXT = "Card 4242424242424242, call 212 555 2368."
OUTSIDE = "Card [CARD_1], call 212 555 2368."


class Voice:
    """Keeps what it is to say. provider: as an engine has it that asks one."""

    name = voice = "test"

    def __init__(self) -> None:
        self.said: list[str] = []

    def speak(self, text: str, language: str, timeout_s: float) -> Iterator[bytes]:
        self.said.append(text)
        yield b"\1\0" * 1600


class Outside(Voice):
    provider = object()


@pytest.mark.parametrize(
    ("voice", "outside", "said"),
    [
        (Outside(), OUTSIDE, "Card your card number, call 212 555 2368."),
        # Nobody has looked: all that could be private is withheld
        (Outside(), None, "Card your card number, call your phone number."),
        (Voice(), OUTSIDE, TEXT),
        (Voice(), None, TEXT),
    ],
)
def test_a_provider_is_told_what_the_listener_lets_out(
    client: redis.Redis, energy: Bot, voice: Voice, outside: str | None, said: str
):
    streams.put_bot(client, energy)
    context = jobs.Context(client, "tts", [Level(voice, "")], "w", SpeechCache(0, 60, None, None))
    turn = Turn("call", 1, OUT, energy.sha, 5.0, 5.0)
    streams.feed(client, turn, "tts", Sentence(0, TEXT, outside=outside), 60)
    streams.feed(client, turn, "tts", SentencesEnd(1), 60)
    jobs.run(context, turn)
    assert voice.said == [said]
    entries: list[tuple[bytes, dict[bytes, bytes]]] = client.xrange(OUT)
    assert decode(entries[-1][1]) == SpeechEnd(0, last=True)
