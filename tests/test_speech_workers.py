"""Kept speech between worker processes: spoken ahead by one, at hand for all, and nobody's own
words among it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.conftest import RedisServer, wait_until
from tests.provider import Plan, Provider
from tests.test_workers import Pool
from workers import streams
from workers.bot import Bot
from workers.messages import Cancel, Failed, Sentence, SentencesEnd, Speech, SpeechEnd
from workers.tts.cache import wanted
from workers.tts.openai import OpenAiTts
from workers.tts.shared_sentences import shared_sentences
from workers.tts.speech_stores import unpack
from workers.tts.warm import LOCK, LOCK_S

FIXED = "What is your account number?"
OWN = "The balance of account four two seven one is forty five dollars."


@pytest.fixture
def server() -> Iterator[Provider]:
    with Provider() as one:
        one.plan = Plan(speech_s=1.5)  # enough for any sentence to be kept
        yield one


@pytest.fixture
def pool(redis_process: RedisServer, energy: Bot, tmp_path: Path) -> Iterator[Pool]:
    one = Pool(redis_process, energy, tmp_path)
    yield one
    one.stop()


def provided(server: Provider, **more: str) -> dict[str, str]:
    return {
        "ESLBOT_TTS": "openai",
        "ESLBOT_TTS_URL": server.url,
        "ESLBOT_HEALTH_PROBE_S": "0",
    } | more


def asked(server: Provider) -> list[str]:
    return [one.json["input"] for one in server.seen if one.path.endswith("/speech")]


def counted(pool: Pool, what: str) -> int:
    """Of all tts workers that live."""
    return sum(one[what] for one in streams.living(pool.client, "tts"))


def speak(pool: Pool, call: str, *texts: str) -> bytes:
    """A turn of these sentences; its audio."""
    turn = pool.turn(call)
    pool.enqueue(turn, "tts")
    said = [Sentence(n, text) for n, text in enumerate(texts)]
    pool.feed(turn, "tts", *said, SentencesEnd(len(texts)))
    wait_until(lambda: SpeechEnd(len(texts) - 1, last=True) in pool.told(call), 20)
    return b"".join(m.pcm for m in pool.told(call) if isinstance(m, Speech))


def all_ahead(pool: Pool) -> bool:
    """Whether all of the bot's sentences are in Redis, and nobody is at it any more."""
    kept = list(pool.client.scan_iter("eslbot:speech:*", count=1000))
    done = len(kept) == len(shared_sentences(pool.bot))
    return done and not pool.client.exists(LOCK)


def shas(server: Provider, bot: Bot) -> set[str]:
    engine = OpenAiTts(server.url, "tts-1", "alloy", "", connect_timeout_s=1.0)
    return {wanted(engine, t, bot.language, True).sha for t in shared_sentences(bot)}


def test_two_workers_speak_a_bots_sentences_once_before_anyone_asks(pool, server):
    server.plan.first_delay_s = 0.1  # the second is there before the first is done
    pool.start("tts", **provided(server))
    pool.start("tts", **provided(server))
    wait_until(lambda: all_ahead(pool), 40)
    assert sorted(asked(server)) == sorted(shared_sentences(pool.bot))
    assert speak(pool, "call-1", FIXED, pool.bot.phrases.anything_else)
    assert len(asked(server)) == len(shared_sentences(pool.bot))
    wait_until(lambda: counted(pool, "speech_hits") == 2)


@pytest.mark.parametrize(
    "level", ["ESLBOT_SPEECH_DISK_MB", "ESLBOT_SPEECH_REDIS_MB"], ids=["redis", "disk"]
)
def test_a_second_process_has_at_hand_what_the_first_has_spoken(pool, server, level):
    first = pool.start("tts", **provided(server), **{level: "0"})
    said = speak(pool, "call-1", FIXED)
    first.kill()
    first.wait()
    wait_until(lambda: not streams.living(pool.client, "tts"), 20)
    before = asked(server).count(FIXED)
    pool.start("tts", **provided(server), **{level: "0"})
    assert speak(pool, "call-2", FIXED) == said
    assert asked(server).count(FIXED) == before == 1


def test_nothing_of_a_callers_own_is_in_redis_or_on_disk(pool, server, tmp_path):
    pool.start("tts", **provided(server))
    wait_until(lambda: all_ahead(pool), 40)
    speak(pool, "call-1", FIXED, OWN, "You live in 12 Mill Lane, post code 53821.")
    known = shas(server, pool.bot)
    kept = [k.decode().rsplit(":", 1)[1] for k in pool.client.scan_iter("eslbot:speech:*")]
    assert set(kept) == known
    assert {file.name for file in (tmp_path / "speech").iterdir()} == known
    # And within this process it is: a second attempt does not ask again.
    speak(pool, "call-2", OWN)
    assert asked(server).count(OWN) == 1


def test_a_sentence_cancelled_half_way_is_not_kept(pool, server):
    pool.client.set(LOCK, "another's", ex=600)  # nothing is spoken ahead
    server.plan = Plan(speech_s=6.0, gap_s=0.1)
    pool.start("tts", **provided(server))
    turn = pool.turn()
    pool.enqueue(turn, "tts")
    pool.feed(turn, "tts", Sentence(0, FIXED))
    wait_until(pool.told_one(Speech))
    pool.feed(turn, "tts", Cancel())
    wait_until(lambda: server.broken_off == 1, what="the worker wants no more of it")
    server.plan = Plan(speech_s=1.5)
    speak(pool, "call-2", FIXED)
    assert asked(server).count(FIXED) == 2
    assert SpeechEnd(0, last=False) not in pool.told("call-1")


def test_two_turns_at_once_are_spoken_once(pool, server):
    pool.client.set(LOCK, "another's", ex=600)
    server.plan = Plan(speech_s=1.5, first_delay_s=1.0)
    pool.start("tts", **provided(server))
    turns = [pool.turn(f"call-{n}") for n in range(4)]
    for turn in turns:
        pool.enqueue(turn, "tts")
        pool.feed(turn, "tts", Sentence(0, FIXED), SentencesEnd(1))
    for turn in turns:
        wait_until(lambda call=turn.call: SpeechEnd(0, last=True) in pool.told(call), 20)
    audio = {b"".join(m.pcm for m in pool.told(t.call) if isinstance(m, Speech)) for t in turns}
    assert len(audio) == 1
    assert asked(server) == [FIXED]
    wait_until(lambda: counted(pool, "speech_misses") == 1)
    wait_until(lambda: counted(pool, "speech_joined") + counted(pool, "speech_hits") == 3)


def test_redis_killed_and_back_empty_the_sentence_is_still_at_hand(pool, server):
    process = pool.start("tts", **provided(server))
    said = speak(pool, "call-1", FIXED)
    pool.server.kill()
    pool.server.start()
    streams.put_bot(pool.client, pool.bot)
    wait_until(lambda: streams.living(pool.client, "tts"), 20, "the worker is back")
    assert speak(pool, "call-2", FIXED) == said
    assert asked(server).count(FIXED) == 1
    assert process.poll() is None


def test_damaged_files_are_replaced_at_the_next_start(pool, server, tmp_path):
    first = pool.start("tts", **provided(server), ESLBOT_SPEECH_REDIS_MB="0")
    folder = tmp_path / "speech"

    def all_there() -> bool:
        try:
            files = [f for f in folder.iterdir() if f.suffix != ".part"]
            found = {file.name for file in files if unpack(file.read_bytes())}
        except (OSError, ValueError):
            return False
        return found == shas(server, pool.bot)

    wait_until(all_there, 40)
    first.kill()
    first.wait()
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:1000])
    assert not all_there()
    pool.start("tts", **provided(server), ESLBOT_SPEECH_REDIS_MB="0")
    wait_until(all_there, LOCK_S + 40)  # the first may have died with the lock in its hand


def test_with_the_provider_out_nothing_is_spoken_ahead_until_it_is_back(pool, server):
    server.plan = Plan(statuses=[500] * 1000)
    pool.start("tts", **provided(server, ESLBOT_BREAKER_OPEN_MS="300", ESLBOT_RETRY_PERCENT="0"))
    wait_until(lambda: counted(pool, "breakers_opened") == 1, 30)
    # Meanwhile the embedded voice answers, and its speech is not taken for the provider's.
    assert speak(pool, "call-1", FIXED)
    assert not [m for m in pool.told() if isinstance(m, Failed)]
    server.plan = Plan(speech_s=1.5)
    known = shas(server, pool.bot)

    def kept() -> set[str]:
        found = pool.client.scan_iter("eslbot:speech:*", count=1000)
        return {key.decode().rsplit(":", 1)[1] for key in found}

    assert not kept() & known
    wait_until(lambda: known <= kept(), 40)


def test_a_hit_proves_nothing_of_a_provider(pool, server):
    """Two failures, a sentence that is at hand, a third failure: three in a row."""
    pool.start("tts", **provided(server, ESLBOT_BREAKER_OPEN_MS="60000", ESLBOT_RETRY_PERCENT="0"))
    wait_until(lambda: all_ahead(pool), 40)

    def fails(call: str) -> None:
        turn = pool.turn(call)
        pool.enqueue(turn, "tts")
        pool.feed(turn, "tts", Sentence(0, f"A sentence of {call}."), SentencesEnd(1))
        wait_until(lambda: any(isinstance(m, Failed) for m in pool.told(call)), 20)

    server.plan = Plan(statuses=[500] * 1000)
    fails("call-1")
    fails("call-2")
    assert speak(pool, "call-3", FIXED)
    fails("call-4")
    wait_until(lambda: counted(pool, "breakers_opened") == 1)


def test_a_worker_with_another_voice_does_not_play_the_first_ones(pool, server):
    speak_as = {"ESLBOT_TTS_VOICE": "echo"}
    first = pool.start("tts", **provided(server))
    speak(pool, "call-1", FIXED)
    first.kill()
    first.wait()
    wait_until(lambda: not streams.living(pool.client, "tts"), 20)
    pool.start("tts", **provided(server, **speak_as))
    speak(pool, "call-2", FIXED)
    voices = {one.json["voice"] for one in server.seen if one.json["input"] == FIXED}
    assert voices == {"alloy", "echo"}


def test_what_workers_announce_is_json_with_the_counts(pool: Pool, client: redis.Redis):
    pool.start("tts", ESLBOT_SPEECH_CACHE_MB="0")
    speak(pool, "call-1", FIXED, FIXED)
    wait_until(lambda: counted(pool, "speech_misses") == 2)
    (about,) = streams.living(pool.client, "tts")
    assert json.dumps(about)
    assert about["speech_hits"] == 0
    assert not list(pool.client.scan_iter("eslbot:speech*"))
