"""The listener process: accepts calls, and says when a caller would be answered.

gevent's monkey patching has to come before everything else: eslbot/__main__.py does it.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
import redis
from gevent.event import Event

from eslbot import promotion
from eslbot.accounts import Accounts
from eslbot.bot_watch import BotWatch
from eslbot.call import Call, House
from eslbot.consent import Recordings
from eslbot.doors import Door, DoorError
from eslbot.doors.esl import EslDoor
from eslbot.doors.servers import Doors
from eslbot.fleet import Fleet
from eslbot.link import Link
from eslbot.media.clock import Clock
from eslbot.media.recording import folder
from eslbot.metrics_server import MetricsServer
from eslbot.prompts import Prompts
from eslbot.records.seal import load as load_seal
from eslbot.served import Served, Version
from eslbot.server import Server, ServerError
from eslbot.session import Session
from eslbot.switch_load import SwitchLoad, parse
from eslbot.vad import Vad
from workers import cluster, queues, streams
from workers.bot import Bot
from workers.retry_budget import RetryBudget
from workers.settings import Settings

if TYPE_CHECKING:
    from eslbot.traces import Traces

log = logging.getLogger(__name__)

REDIS_WITHIN_S = 10.0
LEAVE_S = 2.5  # for calls to be handed over when the process is told to end
WRITE_S = 1.0  # for what is recorded to reach the disk
LOOK_AT_WORKERS_S = 0.2
LOOK_AT_SWITCH_S = 2.0
LOOK_AT_PROMOTED_S = 2.0
HEDGE_PERCENT = 10
QUEUE_CONNECTIONS = 4
# To each master; opened when needed. A lane has three, and after a change of the cluster several
# lanes may lie on one master.
AUDIO_CONNECTIONS = 32
TRANSLATIONS_AGAIN_S = 60.0  # until phrases in another language are tried once more
# New objects until the youngest are looked at, then all. A call that has ended needs no collector
# (Call.let_go): this is for what little else knows itself, tracebacks for instance.
GC_AFTER = (10_000, 2, 2)


class Listener:
    """One process' worth of calls."""

    def __init__(self, settings: Settings, bot: Bot) -> None:
        self._settings = settings
        self._served = Served(bot, lambda: [call.bot.whole for call in self._calls])
        self.name = f"{os.uname().nodename}-{os.getpid()}"
        self._calls: set[Call] = set()
        self._accounts = Accounts(
            lambda: sum(call.admitted and not call.leave.how for call in self._calls)
        )
        timeout_s = settings.redis_timeout_ms / 1000
        self._client = streams.connect(settings.redis, timeout_s, 8, settings.redis_tls)
        self._link = Link(
            self._client,
            self.name,
            self._served.all,
            settings.stream_ttl_s,
            self._on_health,
            settings.records_backlog if settings.records == "on" else 0,
            cluster.connect(settings, AUDIO_CONNECTIONS),
            queues.connect(settings, timeout_s, QUEUE_CONNECTIONS),
        )
        self._link.about = self._about
        self._fleet = Fleet(self._link, self._client)
        self._accounts.registry.register(self._fleet)
        self._accounts.records(self._link.outbox)
        vad = Vad(settings.max_calls, settings.vad_gate_dbfs)
        clock = Clock(vad, self._on_tick)
        prompts = Prompts(Path(settings.state_dir))
        hedges = RetryBudget(HEDGE_PERCENT)
        seal = load_seal(settings)
        key = seal.audio_keys[0] if seal.audio_keys else None
        recordings = Recordings(folder(settings), key, settings.recording_max_s)
        self._traces = self._open_traces()
        self._house = House(
            settings, self._served, self._link, clock, vad, prompts, self._accounts, hedges, seal,
            recordings, self._traces,
        )  # fmt: skip
        self._bot_watch = BotWatch(Path(settings.bot), self._served, self._prepare, self._ready_for)
        self._server = Server(
            settings.listen_host,
            settings.listen_port,
            self._take_esl,
            allowed_networks=settings.networks,
            max_connections_per_s=settings.max_calls_per_s,
            refuse=self._refuse,
            on_refused=lambda why: self._accounts.refused.labels(why).inc(),
            share_port=settings.listen_shared == "on",
        )
        self._doors = Doors(settings, self._accounts, self._handle, self._refuse)
        self._metrics: MetricsServer | None = None
        if settings.metrics_port:
            self._metrics = MetricsServer(
                settings.metrics_host,
                settings.metrics_port,
                self._accounts.registry,
                self._not_ready,
                self._bot_watch.about,
            )
        self._load: SwitchLoad | None = None
        self._draining = False
        self._drain = Event()
        self._leave_now = Event()

    def run(self) -> None:
        """Until SIGTERM (calls may end first) or SIGINT (now). Raises redis.RedisError where there
        is none to begin with, and server.ServerError."""
        gevent.signal_handler(signal.SIGTERM, self._on_sigterm)
        gevent.signal_handler(signal.SIGINT, self._on_sigint)
        gevent.signal_handler(signal.SIGHUP, self._bot_watch.look_now)
        self._server.start()
        self._doors.start()
        self._start_metrics()
        streams.wait_for_redis(self._client, REDIS_WITHIN_S)
        self._link.start()
        self._house.prompts.load(None, self._served.all())
        # What is there by now stays: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_AFTER)
        clock = gevent.spawn(self._house.clock.run)
        tasks = [
            gevent.spawn(task)
            for task in (
                self._get_ready,
                self._look_at_workers,
                self._look_at_switch,
                self._look_at_promoted,
                self._render_translations,
                self._fleet.look,
            )
        ]
        self._drain.wait()
        self._finish_calls()
        gevent.killall(tasks)
        self._leave()
        self._doors.stop()
        self._house.clock.stop()
        self._house.recordings.writer.stop(WRITE_S)
        clock.join(timeout=0.5)
        self._link.stop()
        if self._traces:
            self._traces.stop()
        if self._metrics:
            self._metrics.stop()

    def _open_traces(self) -> Traces | None:
        if not self._settings.traces_url:
            return None
        from eslbot.traces import Traces  # 20 MB that most need not have

        return Traces(self._settings.traces_url, self.name)

    def _start_metrics(self) -> None:
        if self._metrics:
            try:
                self._metrics.start()
            except OSError as error:
                at = f"{self._settings.metrics_host}:{self._settings.metrics_port}"
                cause = error.strerror or str(error)
                raise ServerError(f"ESLBOT_METRICS_PORT: {at}: {cause}") from None

    # -- calls

    def _take_esl(self, sock: Any, address: Any) -> None:
        session = Session(address, sock)
        try:
            tickets = self._doors.tickets if self._settings.websocket_port else None
            self._handle(EslDoor(session, self._settings, tickets))
        finally:
            session.close()

    def _handle(self, door: Door) -> None:
        call = Call(door, self._house)
        self._calls.add(call)
        try:
            call.run()
        finally:
            self._calls.discard(call)
        call.leave.accompany()
        call.let_go()

    def _refuse(self) -> str:
        """Whether there is room for a call; see server.py and accounts.REFUSALS."""
        settings = self._settings
        if self._draining:
            return "draining"
        if len(self._calls) >= settings.max_calls:
            return "full"
        # Those who talk already matter more: new calls go to FreeSWITCH's menu, which needs
        # nothing of ours and less of the switch.
        if self._house.clock.lag_s * 1000 > settings.shed_lag_ms:
            return "lag"
        if self._short_switch():
            return "switch"
        return ""

    def _short_switch(self) -> str:
        if self._load is None:
            return ""
        settings = self._settings
        return self._load.short(settings.shed_sessions_percent, settings.shed_idle_percent)

    def _not_ready(self) -> str:
        why = self._refuse()
        if why:
            return why
        return self._link.unable()

    def _about(self) -> dict[str, Any]:
        load = self._load
        return {
            "calls": len(self._calls),
            "max_calls": self._settings.max_calls,
            "draining": self._draining,
            "bot": self._served.now.first.sha,
            "name": self._served.now.bot.name,
            "not_ready": self._not_ready(),
            "lag_ms": round(self._house.clock.lag_s * 1000, 1),
            "lost": self._link.all_lost,
            "switch": asdict(load) if load else None,
        }

    # -- what is watched

    def _on_tick(self, now: float, late_s: float) -> None:
        self._house.last_tick = now
        self._accounts.lag.observe(late_s)

    def _on_health(self, healthy: bool, concerns: Callable[[str], bool]) -> None:
        for call in list(self._calls):
            if concerns(call.uuid):
                call.events.redis(healthy)

    def _look_at_workers(self) -> None:
        """A worker that misses its heart beat twice is dead; its turns go to others at once."""
        missed: set[str] = set()
        while True:
            gevent.sleep(LOOK_AT_WORKERS_S)
            names = sorted({name for call in self._calls for name in call.assistant.workers()})
            try:
                gone = set(names) - self._link.alive(names) if names else set()
            except redis.RedisError:
                continue
            dead, missed = gone & missed, gone
            if dead:
                log.warning("dead workers: %s", ", ".join(sorted(dead)))
                for call in list(self._calls):  # some have ended while Redis was asked
                    call.events.dead(dead)

    def _look_at_switch(self) -> None:
        """Asked by way of a call that is there; no call, no load of ours to shed."""
        while True:
            gevent.sleep(LOOK_AT_SWITCH_S)
            call = next((one for one in self._calls if one.door.watched), None)
            if call is None or not call.uuid:
                self._load = None
                continue
            try:
                self._load = parse(call.door.switch_status())
            except DoorError:
                continue
            short = self._short_switch()
            if short:
                log.warning("new calls go to the menu: the switch is short: %s", short)

    def _look_at_promoted(self) -> None:
        """Which variant all new callers get, if one was promoted."""
        while True:
            with contextlib.suppress(redis.RedisError):
                name = self._served.now.bot.name
                self._served.promoted = promotion.promoted(self._client, name)
            gevent.sleep(LOOK_AT_PROMOTED_S)

    # -- its bots

    def _get_ready(self) -> None:
        """Have the prompts spoken, wait for workers of every role, say what to do next, and
        watch the bot's file from then on."""
        self._await_workers("tts")
        while True:
            try:
                self._prepare(self._served.now)
                break
            except TimeoutError as error:
                log.warning("%s; again in 5 s", error)
                gevent.sleep(5)
        self._await_workers(*streams.STAGES)
        self._say_ready()
        self._bot_watch.run()

    def _render_translations(self) -> None:
        """What could not be said in another language at first is tried again and again."""
        while True:
            gevent.sleep(TRANSLATIONS_AGAIN_S)
            version = self._served.now
            if self._house.prompts.missing_translations(version.bots.values()):
                with contextlib.suppress(TimeoutError):
                    self._prepare(version)

    def _prepare(self, version: Version) -> None:
        """Have all prompts of its bots spoken. Raises TimeoutError where one is missing without
        which no call can be taken."""
        bots = list(version.bots.values())
        voices = self._link.workers["tts"]
        engine = voices[0]["engine"] if voices else None
        prompts = self._house.prompts
        prompts.load(engine, bots)
        if prompts.missing(bots) or prompts.missing_translations(bots):
            if engine is None:
                raise TimeoutError("there is no tts worker")
            prompts.render(self._link, self.name, engine, bots)
        prompts.keep([*bots, *self._served.all()])

    def _ready_for(self, version: Version) -> bool:
        self._link.look_now()
        return all(self._link.ready(stage, version.bots.values()) for stage in streams.STAGES)

    def _await_workers(self, *stages: str) -> None:
        warned = time.monotonic()
        bots = self._served.now.bots.values()
        while absent := [stage for stage in stages if not self._link.ready(stage, bots)]:
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
        if settings.websocket_port:
            lines.append(
                f"  WebSocket: ws://{settings.websocket_host}:{settings.websocket_port}/call"
            )
        if settings.audiosocket_port:
            at = f"{settings.audiosocket_host}:{settings.audiosocket_port}"
            lines.append(f"  Asterisk: AudioSocket and FastAGI on {at}")
        lines += [
            f"  bot: {self._served.now.bot.name} ({settings.bot})",
            "",
            "In the FreeSWITCH dialplan (all of it: eslbot freeswitch --help):",
            f'  <action application="socket" data="{settings.listen_host}:'
            f'{settings.listen_port} async full"/>',
            "",
            *_console(settings),
            "A first call without FreeSWITCH, in a second terminal:",
            "  make call",
            '  make call SAY="when are you open"',
            "",
        ]
        print("\n".join(lines), flush=True)

    # -- the end

    def _on_sigterm(self) -> None:
        if self._draining:
            self._leave_now.set()
        self._draining = True
        self._drain.set()

    def _on_sigint(self) -> None:
        self._leave_now.set()
        self._on_sigterm()

    def _finish_calls(self) -> None:
        """No new calls: the switch's next host has them. Those there are may end by themselves."""
        self._server.stop()
        if self._calls:
            log.info("draining: %d calls, at most %d s", len(self._calls), self._settings.drain_s)
        until = time.monotonic() + self._settings.drain_s
        while self._calls and time.monotonic() < until and not self._leave_now.is_set():
            self._leave_now.wait(0.05)

    def _leave(self) -> None:
        """What is left of the calls goes to FreeSWITCH's own menu, with what is known."""
        for call in list(self._calls):
            call.events.send_away("the listener ends")
        deadline = time.monotonic() + LEAVE_S
        while self._calls and time.monotonic() < deadline:
            gevent.sleep(0.02)
        if self._calls:
            log.warning("%d calls were not handed over", len(self._calls))


def _console(settings: Settings) -> list[str]:
    """Where the browser's phone is, if there is a door for it."""
    if not settings.websocket_port:
        return []
    scheme = "https" if settings.console_cert_file else "http"
    address = f"{scheme}://{settings.console_host}:{settings.console_port}/"
    return ["A phone in the browser, and all calls (eslbot console):", f"  {address}", ""]
