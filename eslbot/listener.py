"""The listener process: accepts calls, and says when a caller would be answered.

gevent's monkey patching has to come before everything else: eslbot/__main__.py does it.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path

import gevent
from gevent.event import Event

from eslbot.call import Call, House
from eslbot.link import Link
from eslbot.media.clock import Clock
from eslbot.prompts import Prompts
from eslbot.server import Server
from eslbot.session import Session
from eslbot.vad import Vad
from workers import streams
from workers.bot import Bot
from workers.settings import Settings

log = logging.getLogger(__name__)

REDIS_WITHIN_S = 10.0
LEAVE_S = 2.5  # for calls to be handed over when the process is told to end


class Listener:
    """One process' worth of calls."""

    def __init__(self, settings: Settings, bot: Bot) -> None:
        self._settings = settings
        self._bot = bot
        self.name = f"{os.uname().nodename}-{os.getpid()}"
        self._calls: set[Call] = set()
        self._client = streams.connect(settings.redis, settings.redis_timeout_ms / 1000, 8)
        self._link = Link(self._client, self.name, bot, settings.stream_ttl_s, self._on_trouble)
        vad = Vad(settings.max_calls, settings.vad_gate_dbfs)
        clock = Clock(vad, self._on_tick)
        prompts = Prompts(Path(settings.state_dir), bot)
        self._house = House(settings, bot, self._link, clock, vad, prompts)
        self._server = Server(
            settings.listen_host,
            settings.listen_port,
            self._handle,
            allowed_networks=settings.networks,
            max_connections=settings.max_calls,
            max_connections_per_s=settings.max_calls_per_s,
        )
        self._stop = Event()

    def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises redis.RedisError where there is none to begin with,
        and server.PortBusy."""
        for number in (signal.SIGTERM, signal.SIGINT):
            gevent.signal_handler(number, self._stop.set)
        self._server.start()
        streams.wait_for_redis(self._client, REDIS_WITHIN_S)
        self._link.start()
        self._house.prompts.load(None)
        clock = gevent.spawn(self._house.clock.run)
        ready = gevent.spawn(self._get_ready)
        self._stop.wait()
        ready.kill()
        self._leave()
        self._house.clock.stop()
        clock.join(timeout=0.5)
        self._link.stop()

    def _handle(self, session: Session) -> None:
        call = Call(session, self._house)
        self._calls.add(call)
        try:
            call.run()
        finally:
            self._calls.discard(call)

    def _on_tick(self, now: float) -> None:
        self._house.last_tick = now

    def _on_trouble(self) -> None:
        for call in list(self._calls):
            call.trouble()

    def _get_ready(self) -> None:
        """Have the prompts spoken, wait for workers of every role, say what to do next."""
        self._await_workers("tts")
        engine = self._link.workers["tts"][0]["engine"]
        self._house.prompts.load(engine)
        while self._house.prompts.missing:
            try:
                self._house.prompts.render(self._link, self.name, engine)
            except TimeoutError as error:
                log.warning("%s; again in 5 s", error)
                gevent.sleep(5)
        self._await_workers(*streams.STAGES)
        self._say_ready()

    def _await_workers(self, *stages: str) -> None:
        warned = time.monotonic()
        while absent := [stage for stage in stages if not self._link.ready(stage)]:
            if time.monotonic() - warned > 15:
                warned = time.monotonic()
                log.warning("waiting for workers: %s", ", ".join(absent))
            gevent.sleep(0.1)

    def _say_ready(self) -> None:
        settings = self._settings
        lines = ["", "READY. A caller would be answered now."]
        for stage, those in self._link.workers.items():
            one = those[0]
            lines.append(f"  {stage}: {one['engine']} ({one['why']}), {len(those)} process(es)")
        lines += [
            f"  bot: {self._bot.name} ({settings.bot})",
            "",
            "In the FreeSWITCH dialplan (all of it: eslbot freeswitch --help):",
            f'  <action application="socket" data="{settings.listen_host}:'
            f'{settings.listen_port} async full"/>',
            "",
            "A first call without FreeSWITCH, in a second terminal:",
            "  make call",
            '  make call SAY="when are you open"',
            "",
        ]
        print("\n".join(lines), flush=True)

    def _leave(self) -> None:
        """No new calls; those there are go to FreeSWITCH's own menu, with what is known."""
        self._server.stop()
        for call in list(self._calls):
            call.send_away("the listener ends")
        deadline = time.monotonic() + LEAVE_S
        while self._calls and time.monotonic() < deadline:
            gevent.sleep(0.02)
        if self._calls:
            log.warning("%d calls were not handed over", len(self._calls))
