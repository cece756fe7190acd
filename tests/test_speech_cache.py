"""Kept speech: what is found again, what is never kept, what several ask for at once; on a real
Redis, a real disk, and a provider that counts what it is asked."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from tests.conftest import RedisServer, wait_until
from tests.provider import Plan, Provider
from workers.bot import Bot
from workers.breaker import provider_failed
from workers.tts.cache import PRIVATE_S, SpeechCache, Wanted, wanted
from workers.tts.engine import TtsError
from workers.tts.openai import OpenAiTts
from workers.tts.shared_sentences import shared_sentences
from workers.tts.speech_stores import (
    INDEX,
    MAX_AUDIO_BYTES,
    CorruptEntry,
    DiskStore,
    RedisStore,
    Spoken,
    pack,
    unpack,
)

TTL_S = 600
PATIENCE_S = 10.0
TEXT = "Is there anything else I can do for you?"
Open = Callable[..., SpeechCache]


@pytest.fixture
def server() -> Iterator[Provider]:
    with Provider() as one:
        yield one


@pytest.fixture
def engine(server: Provider) -> OpenAiTts:
    return OpenAiTts(server.url, "tts", "alloy", "", connect_timeout_s=1.0)


@pytest.fixture
def open_one(client: redis.Redis, tmp_path: Path) -> Open:
    """A cache as of a process of its own."""

    def make(disk: bool = True, store: bool = True, memory_bytes: int = 1_000_000) -> SpeechCache:
        return SpeechCache(
            memory_bytes,
            TTL_S,
            DiskStore(tmp_path / "speech", 1_000_000, TTL_S) if disk else None,
            RedisStore(client, 1_000_000, TTL_S) if store else None,
        )

    return make


def shared(engine: OpenAiTts, text: str = TEXT) -> Wanted:
    return wanted(engine, text, "en", shared=True)


def private(engine: OpenAiTts, text: str = TEXT) -> Wanted:
    return wanted(engine, text, "en", shared=False)


def say(cache: SpeechCache, engine: OpenAiTts, one: Wanted) -> bytes:
    return b"".join(cache.speak(engine, one, PATIENCE_S))


def tones(count: int, seconds: float = 1.0) -> Spoken:
    return Spoken(bytes([count % 256, 1]) * int(8000 * seconds), 2_000_000_000)


# -- what is found again


@pytest.mark.parametrize(("disk", "store"), [(True, False), (False, True)], ids=["disk", "redis"])
def test_what_one_process_said_another_has_at_hand(engine, server, open_one, disk, store):
    said = say(open_one(disk, store), engine, shared(engine))
    other = open_one(disk, store)
    assert other.get(shared(engine)) == said
    assert (other.hits, other.misses, len(server.seen)) == (1, 0, 1)


def test_another_voice_language_or_text_is_another_sentence(engine, server):
    other = OpenAiTts(server.url, "tts", "echo", "", connect_timeout_s=1.0)
    found = [
        wanted(engine, "One.", "en", True), wanted(other, "One.", "en", True),
        wanted(engine, "One.", "de", True), wanted(engine, "Two.", "en", True),
        wanted(engine, "One. \ud83d", "en", True), wanted(engine, "One. \ud83e", "en", True),
    ]  # fmt: skip
    assert len({one.sha for one in found}) == len(found)


def test_what_is_too_old_is_made_anew(client, tmp_path, engine):
    one = shared(engine)
    old = Spoken(tones(1).pcm, 1_000_000_000)
    disk, store = DiskStore(tmp_path, 1_000_000, TTL_S), RedisStore(client, 1_000_000, TTL_S)
    disk.put(one.sha, old)
    store.put(one.sha, old)
    assert disk.get(one.sha) is None
    assert not list(tmp_path.iterdir())
    assert store.get(one.sha) is None
    cache = SpeechCache(1_000_000, TTL_S, None, None)
    cache._shared.put(one.sha, old)
    assert cache.get(one) is None


# -- what is never kept


def test_a_callers_own_sentence_stays_in_memory(engine, server, client, tmp_path, open_one):
    one = private(engine, "The balance of account four two seven one is forty five dollars.")
    cache = open_one()
    said = say(cache, engine, one)
    assert cache.get(one) == said  # a second attempt at the turn
    assert not list(client.scan_iter("*"))
    assert not (tmp_path / "speech").exists()
    assert open_one().get(one) is None


def test_many_callers_sentences_do_not_push_out_the_bots_own(engine, server, open_one):
    cache = open_one(False, False, memory_bytes=100_000)
    kept = say(cache, engine, shared(engine))
    for n in range(10):
        say(cache, engine, private(engine, f"This is sentence {n}."))
    assert cache.get(shared(engine)) == kept


def test_a_cancelled_sentence_is_not_kept_and_the_provider_is_let_go(engine, server, open_one):
    server.plan = Plan(gap_s=0.01, speech_s=5.0)
    cache = open_one()
    pieces = cache.speak(engine, shared(engine), PATIENCE_S)
    assert next(pieces)
    pieces.close()
    assert cache.get(shared(engine)) is None
    assert open_one().get(shared(engine)) is None
    assert not cache._flights


def test_half_a_sentence_is_not_kept(engine, server, open_one):
    server.plan.stop_after = 3
    cache = open_one()
    with pytest.raises(TtsError, match="broke off"):
        say(cache, engine, shared(engine))
    server.plan = Plan()
    assert cache.get(shared(engine)) is None
    assert say(cache, engine, shared(engine))
    assert len(server.seen) == 2


def test_speech_shorter_than_anyone_could_say_it_is_played_but_not_kept(engine, server, open_one):
    server.plan.speech_s = 0.1
    cache = open_one()
    assert say(cache, engine, shared(engine))
    assert cache.get(shared(engine)) is None


# -- several at once


def test_two_who_ask_at_once_hear_the_same_and_it_is_made_once(engine, server, open_one):
    server.plan.first_delay_s = 0.3
    cache = open_one()
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: say(cache, engine, shared(engine)), range(8)))
    assert len(set(said)) == 1
    assert len(server.seen) == cache.misses == 1
    assert cache.joined + cache.hits == 7


def test_who_began_it_may_be_cancelled_and_the_other_hears_it_to_the_end(engine, server, open_one):
    server.plan = Plan(gap_s=0.01, speech_s=2.0)
    cache = open_one()
    one = shared(engine)
    first, second = (cache.speak(engine, one, PATIENCE_S) for _ in range(2))
    begun = next(first)
    heard = [next(second)]
    assert heard == [begun]
    first.close()
    heard += second
    assert cache.get(one) == b"".join(heard)
    assert len(server.seen) == 1


def test_a_failure_is_told_to_all_and_counts_once(engine, server, open_one):
    server.plan = Plan(stop_after=3)
    cache = open_one()
    runs = [cache.speak(engine, shared(engine), PATIENCE_S) for _ in range(3)]
    for run in runs:
        next(run)
    failed = []
    for run in runs:
        with pytest.raises(TtsError) as caught:
            list(run)
        failed.append(provider_failed(caught.value))
    assert sorted(failed) == [False, False, True]
    assert not cache._flights


def test_who_has_less_time_does_not_fail_who_has_more(engine, server, open_one):
    server.script = [Plan(wire=[b"HTTP/1.1 200 OK\r\n", b""])]
    server.script[0].gap_s = 20.0
    cache = open_one()
    short = cache.speak(engine, shared(engine), 0.3)
    failed: list[Exception] = []

    def run_short() -> None:
        try:
            list(short)
        except TtsError as error:
            failed.append(error)

    thread = threading.Thread(target=run_short)
    thread.start()
    wait_until(lambda: server.seen, what="the first is with the provider")
    assert say(cache, engine, shared(engine))
    thread.join(PATIENCE_S)
    assert len(failed) == 1
    assert cache.get(shared(engine))


# -- bounds


def test_redis_keeps_no_more_than_it_may_and_the_newest(client):
    store = RedisStore(client, 100_000, TTL_S)
    for n in range(40):
        store.put(f"sha{n}", tones(n))
    kept = sorted(key.decode() for key in client.scan_iter("eslbot:speech:*"))
    assert sum(client.strlen(key) for key in kept) <= 100_000
    assert len(kept) == 6
    assert store.get("sha39") == tones(39)
    assert client.zcard(INDEX) == len(kept)
    assert all(0 < client.ttl(key) <= TTL_S for key in [*kept, INDEX])


def test_a_sentence_put_twice_counts_once_in_redis(client):
    store = RedisStore(client, 100_000, TTL_S)
    store.put("other", tones(0))
    for n in range(20):
        store.put("one", tones(n, 0.5 + n / 100))
    assert client.zcard(INDEX) == 2
    assert store.get("other") == tones(0)


def test_the_disk_keeps_no_more_than_it_may(tmp_path):
    store = DiskStore(tmp_path, 100_000, TTL_S)
    for n in range(40):
        store.put(f"sha{n}", tones(n))
    files = list(tmp_path.iterdir())
    assert sum(file.stat().st_size for file in files) <= 100_000
    assert len(files) == 6
    assert all(unpack(file.read_bytes()) for file in files)


def test_the_memory_keeps_no_more_than_it_may(engine, server, open_one):
    cache = open_one(False, False, memory_bytes=100_000)
    for n in range(20):
        say(cache, engine, shared(engine, f"This is sentence {n}."))
        say(cache, engine, private(engine, f"This is sentence {n}."))
    assert 0 < cache._shared.bytes <= 75_000
    assert 0 < cache._private.bytes <= 25_000


def test_nothing_is_kept_where_nothing_is_wanted(engine, server):
    cache = SpeechCache(0, TTL_S, None, None)
    say(cache, engine, shared(engine))
    assert cache.get(shared(engine)) is None


# -- what goes wrong


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw[:3],
        lambda raw: b"",
        lambda raw: raw[:100] + bytes([raw[100] ^ 1]) + raw[101:],
        lambda raw: b"RIFF" + raw[4:],
        lambda raw: raw + b"\0\0" * MAX_AUDIO_BYTES,
    ],
    ids=["half", "3 bytes", "empty", "one bit", "another format", "too long"],
)
def test_damaged_speech_is_made_anew(engine, server, client, open_one, tmp_path, damage):
    one = shared(engine)
    say(open_one(), engine, one)
    (file,) = (tmp_path / "speech").iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    client.set(f"eslbot:speech:{one.sha}", damage(whole))
    with pytest.raises(CorruptEntry):
        unpack(damage(whole))
    cache = open_one()
    assert cache.get(one) is None
    said = say(cache, engine, one)
    assert unpack(file.read_bytes()).pcm == said
    assert open_one(disk=False).get(one) == said


def test_what_is_written_is_what_is_read():
    assert unpack(pack(tones(7))) == tones(7)


def test_a_disk_that_can_not_be_written_costs_nothing_but_the_cache(engine, server, tmp_path):
    (tmp_path / "speech").write_text("a file where the folder should be")
    cache = SpeechCache(1_000_000, TTL_S, DiskStore(tmp_path / "speech", 10**6, TTL_S), None)
    said = say(cache, engine, shared(engine))
    assert cache.get(shared(engine)) == said


def test_a_file_that_a_dead_process_left_half_written_goes(tmp_path):
    part = tmp_path / "abc.1-2.part"
    part.write_bytes(b"half")
    os.utime(part, (1_000_000_000, 1_000_000_000))
    DiskStore(tmp_path, 1_000_000, TTL_S).put("sha", tones(1))
    assert [file.name for file in tmp_path.iterdir()] == ["sha"]


def test_redis_away_or_full_is_a_miss(redis_process: RedisServer, engine, server):
    client = redis_process.client()
    store = RedisStore(client, 1_000_000, TTL_S)
    cache = SpeechCache(1_000_000, TTL_S, None, store)
    client.config_set("maxmemory", "100kb")  # less than it has
    one = shared(engine)
    said = say(cache, engine, one)
    assert store.get(one.sha) is None
    assert client.zcard(INDEX) == 0
    redis_process.kill()
    assert cache.get(one) == said  # of its own memory
    assert say(cache, engine, shared(engine, "Another one."))
    assert store.get(one.sha) is None
    client.close()


# -- whose sentences they are


def test_shared_sentences_are_the_bots_own_words(energy: Bot):
    found = shared_sentences(energy)
    assert set(energy.fixed_phrases()) <= set(found)
    for text in (
        "I'm sorry, I didn't understand that.",  # half of a phrase: how it is spoken
        "Thank you.",  # of an answer with an address in it
        "Is that right?",
        "I need a number of 4 to 8 digits.",
    ):
        assert text in found
    assert not [text for text in found if "{" in text]
    for row in energy.tables["accounts"].values():
        assert not [text for text in found for value in row.values() if value in text]


def test_what_one_caller_was_told_is_forgotten_soon():
    cache = SpeechCache(1_000_000, 86_400, None, None)
    old = Spoken(bytes(16_000), int(time.time() - PRIVATE_S) - 1)
    for memory, kept in ((cache._private, None), (cache._shared, old)):
        memory.put("sha", old)
        assert memory.get("sha") is kept
