"""How long a sentence's first audio takes: `python -m tests.measure_speech_cache [--delay-s 0.3]`.

A tts worker process of its own, on a Redis of its own; from the sentence's entry on the stream to
the first piece of its speech on the listener's. "made": by the engine, kept nowhere before. "kept":
from the worker's memory. Then what the levels below cost a process that has nothing in memory yet.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from eslbot.rig.house import RedisProcess, until
from tests.conftest import ENERGY
from tests.provider import Provider
from workers import streams
from workers.bot import Bot, load
from workers.messages import Sentence, SentencesEnd, Speech, SpeechEnd, Started, Turn, decode
from workers.streams import address
from workers.tts.cache import SpeechCache, wanted
from workers.tts.espeak import EspeakEngine
from workers.tts.shared_sentences import shared_sentences
from workers.tts.speech_stores import DiskStore, RedisStore
from workers.tts.warm import LOCK

ROOT = Path(__file__).parent.parent
OUT = "eslbot:out:measure"
MB = 1_000_000


@contextmanager
def worker(server: RedisProcess, folder: Path, **environ: str) -> Iterator[redis.Redis]:
    """A tts worker that speaks nothing ahead."""
    client = server.client()
    client.flushall()
    client.set(LOCK, "nobody", ex=3600)
    env = {"PATH": os.environ["PATH"], "REDIS_URL": server.url, "ESLBOT_STATE_DIR": str(folder)}
    command = [sys.executable, "-m", "workers", "tts"]
    process = subprocess.Popen(command, cwd=ROOT, env=env | environ, stdout=subprocess.DEVNULL)
    try:
        until(lambda: streams.living(client, "tts"), 30, "the worker is there")
        yield client
    finally:
        process.kill()
        process.wait()
        client.close()


def first_piece_ms(client: redis.Redis, bot: Bot, texts: list[str], call: str) -> list[float]:
    """One turn per sentence; the job is waiting when the sentence comes, as in a call."""
    streams.put_bot(client, bot)
    last: Any = "0"
    turn = Turn(call, 0, OUT, bot.sha, 20.0, 10.0)
    found = []

    def until_told(kind: type) -> None:
        nonlocal last
        while True:
            for entry, fields in (client.xread({OUT: last}, block=1000) or [(0, ())])[0][1]:  # type: ignore[index, misc]
                last = entry
                if address(fields)[:2] == (call, turn.epoch) and isinstance(decode(fields), kind):
                    return

    for n, text in enumerate(texts):
        turn = Turn(call, n, OUT, bot.sha, 20.0, 10.0)
        pipe = client.pipeline()
        streams.enqueue(pipe, turn, "tts")
        pipe.execute()
        until_told(Started)
        time.sleep(0.05)  # a caller speaks meanwhile; RQ is done with its bookkeeping
        began = time.perf_counter()
        streams.feed(client, turn, "tts", Sentence(0, text), 60)
        until_told(Speech)
        found.append((time.perf_counter() - began) * 1000)
        streams.feed(client, turn, "tts", SentencesEnd(1), 60)
        until_told(SpeechEnd)
        until_told(SpeechEnd)  # of the turn
    return found


def level_ms(bot: Bot, folder: Path, client: redis.Redis) -> dict[str, list[float]]:
    """SpeechCache.get() of each level alone, speech of espeak-ng."""
    engine = EspeakEngine()
    disk, store = DiskStore(folder, 64 * MB, 3600), RedisStore(client, 64 * MB, 3600)
    texts = [wanted(engine, text, bot.language, True) for text in shared_sentences(bot)]
    full = SpeechCache(64 * MB, 3600, disk, store)
    for one in texts:
        list(full.speak(engine, one, 10.0))
    engine.close()
    caches = {
        "memory": full,
        "disk": SpeechCache(64 * MB, 3600, disk, None),
        "Redis": SpeechCache(64 * MB, 3600, None, store),
    }
    found: dict[str, list[float]] = {name: [] for name in caches}
    for name, cache in caches.items():
        for one in texts:
            began = time.perf_counter()
            if cache.get(one) is None:
                raise AssertionError(f"not in {name}: {one.text}")
            found[name].append((time.perf_counter() - began) * 1000)
    return found


def row(name: str, times: list[float]) -> None:
    times = sorted(times)
    median, late = times[len(times) // 2], times[int(len(times) * 0.95)]
    print(f"| {name} | {median:.1f} | {late:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay-s", type=float, default=0.3, help="of the provider's first byte")
    arguments = parser.parse_args()
    bot = load(ENERGY)
    texts = list(shared_sentences(bot))
    print(f"{len(texts)} sentences; milliseconds\n\n| | median | 95 % |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as name, Provider() as provider:
        provider.plan.first_delay_s, provider.plan.speech_s = arguments.delay_s, 2.0
        server = RedisProcess(Path(name))
        server.start()
        provided = {"ESLBOT_TTS": "openai", "ESLBOT_TTS_URL": provider.url}
        engines = {
            "espeak": {"ESLBOT_TTS": "espeak"},
            f"a provider with {arguments.delay_s:g} s": provided,
        }
        for engine, environ in engines.items():
            with worker(server, Path(name) / engine.split()[0], **environ) as client:
                first_piece_ms(client, bot, ["The engine is started by this."], "call-0")
                row(f"{engine}, made", first_piece_ms(client, bot, texts, "call-1"))
                row(f"{engine}, kept", first_piece_ms(client, bot, texts, "call-2"))
        client = server.client()
        for level, times in level_ms(bot, Path(name) / "speech", client).items():
            row(f"SpeechCache.get(), {level}", times)
        client.close()
        server.kill()


if __name__ == "__main__":
    main()
