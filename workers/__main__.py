"""`python -m workers stt|llm|tts`: one worker process of a role."""

from __future__ import annotations

import argparse
import logging
import os
import sys

import redis

from workers import cluster, engine_check, logs, streams
from workers.engines import EngineError, choose, open_library, unreachable
from workers.jobs import Context
from workers.queues import Place
from workers.respawn import respawn
from workers.settings import SettingsError, load
from workers.tools.runner import Runner, SecretsError
from workers.tts.cache import open_cache
from workers.worker import work


def main(argv: list[str] | None = None) -> int:
    """Exit code 2 with one line on a setting, an engine or a Redis that can't be used."""
    parser = argparse.ArgumentParser(prog="workers", description=__doc__)
    parser.add_argument("role", choices=streams.STAGES, help="the stage whose jobs it does")
    parser.add_argument("--check", action="store_true", help="load the engine, and end")
    parser.add_argument("--respawn", action="store_true", help="start it again if it is killed")
    arguments = parser.parse_args(argv)
    role = arguments.role
    if arguments.respawn:
        return respawn([role])
    try:
        settings = load()
        logs.begin(settings.log_level, settings.log_format)
        if arguments.check:
            wrong = unreachable(role, settings)
            if wrong:
                raise EngineError(wrong[0])
            for line in engine_check.look(role, settings, choose(role, settings)):
                print(f"warning: {line}", flush=True)
            return 0
        os.nice(settings.worker_nice)
        slots = settings.stt_slots if role == "stt" else settings.worker_slots
        timeout_s = settings.redis_timeout_ms / 1000
        # A job has a connection of its own, and at times wants another; the rest is presence.py's.
        client = streams.connect(settings.redis, timeout_s, 2 * slots + 8, settings.redis_tls)
        streams.wait_for_redis(client, within_s=10)
        audio = cluster.connect(settings, slots + 4)
        place = Place(settings, client, role)
        levels = choose(role, settings, client)
        library = open_library(settings, client) if role == "llm" else None
        tools = Runner(settings, client) if role == "llm" else None
    except (SettingsError, EngineError, SecretsError) as error:
        print(f"{role}: {error}", file=sys.stderr)
        return 2
    except (redis.RedisError, ValueError) as error:
        print(f"{role}: REDIS_URL: {streams.plain(error)}", file=sys.stderr)
        return 2
    first, *others = levels
    print(f"{role}: {first.engine.name} serves up to {slots} at once ({first.why})", flush=True)
    for one in others:
        print(f"{role}: {one.engine.name} when it fails ({one.why})", flush=True)
    name = f"{role}-{os.uname().nodename}-{os.getpid()}"
    speech = open_cache(settings, client)
    context = Context(client, role, levels, name, speech, library, tools, audio)
    if not work(context, place, slots, settings.health_probe_s):
        logging.shutdown()
        os._exit(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
