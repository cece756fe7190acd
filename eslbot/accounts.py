"""What became of each call and each turn, as Prometheus counts it.

Every turn ends in exactly one outcome, every accepted call in one end; at each scrape
accepted = finished + handed over + in flight. A failure of the AI that the caller got over and
one that cost the call are two metrics, and never added.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from eslbot import greenlets
from eslbot.doors import KINDS

if TYPE_CHECKING:
    from eslbot.call import Call
    from eslbot.outbox import Outbox

log = logging.getLogger(__name__)

# Of a turn that was opened. merged: the caller went on, and the next turn holds both parts;
# discarded: a key was taken back.
OUTCOMES = ("answered", "masked", "failed over", "menu", "human", "caller gone")
NO_TURNS = ("merged", "discarded")
FINISHED = ("caller gone", "hung up")
HANDED_OVER = ("transferred", "native menu", "taken")
PARTS = ("endpoint", "final", "decision", "first_speech", "first_frame")
RUNGS = ("filler", "hedge", "backup")
REFUSALS = (
    "network",
    "rate",
    "full",
    "draining",
    "lag",
    "switch",
    "secret",
    "token",
    "origin",
    "protocol",
)
# Who ended the call, by FreeSWITCH's sip_hangup_disposition: these are the caller.
BY_CALLER = ("recv_bye", "recv_cancel", "recv_refuse")
SECONDS = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0)
LAGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0)


class Accounts:
    """One listener's. Label values are all known beforehand, so that none is missing or made up."""

    def __init__(self, in_flight: Callable[[], int]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)

        def counter(name: str, what: str, label: str = "", values: tuple[str, ...] = ()) -> Counter:
            made = Counter(name, what, [label] if label else [], registry=registry)
            for value in values:
                made.labels(value)
            return made

        self.accepted = counter("eslbot_calls_accepted", "Calls that were ours.")
        self.doors = counter("eslbot_door_calls", "The same, by how they came in.", "door", KINDS)
        self.refused = counter(
            "eslbot_calls_refused", "Connections closed at once.", "why", REFUSALS
        )
        self.finished = counter("eslbot_calls_finished", "Calls that ended here.", "how", FINISHED)
        self.handed_over = counter(
            "eslbot_calls_handed_over", "Calls that went on elsewhere.", "to", HANDED_OVER
        )
        flight = Gauge("eslbot_calls_in_flight", "Calls that are ours now.", registry=registry)
        flight.set_function(in_flight)
        self.hangups = counter("eslbot_hangups", "Ends of calls, also after a transfer.", "by",
                               ("caller", "bot", "other"))  # fmt: skip
        self.opened = counter("eslbot_turns_opened", "The caller began to speak or key in.")
        self.turns = counter("eslbot_turns", "Turns by outcome.", "outcome", OUTCOMES)
        self.no_turns = counter(
            "eslbot_turns_void", "Turns that became part of the next one, or of none.", "why",
            NO_TURNS,
        )  # fmt: skip
        self.turn_seconds = Histogram(
            "eslbot_turn_seconds", "From the caller's last word.", ["part"], buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        for part in PARTS:
            self.turn_seconds.labels(part)
        self.failures = counter(
            "eslbot_ai_failures", "Attempts at a stage that failed, or whose worker died.",
            "stage", ("stt", "llm", "tts"),
        )  # fmt: skip
        self.rungs = counter("eslbot_rungs", "Rungs that turns climbed.", "rung", RUNGS)
        self.survived = counter(
            "eslbot_ai_failures_with_failover",
            "Calls whose assistant failed and that went on in a menu or at a person.",
        )
        self.dropped = counter(
            "eslbot_ai_failures_with_drop",
            "Calls whose assistant failed and that ended before the caller heard anything else.",
        )
        going = Gauge("eslbot_greenlets", "Greenlets, of calls and of the listener itself.",
                      registry=registry)  # fmt: skip
        going.set_function(greenlets.alive)
        self.lag = Histogram("eslbot_clock_lag_seconds", "How late the media clock ticked.",
                             buckets=LAGS, registry=registry)  # fmt: skip

    def records(self, outbox: Outbox) -> None:
        """What waits for the recorder, and what was lost."""
        lost = Gauge("eslbot_records_lost", "Entries the recorder will never see.",
                     registry=self.registry)  # fmt: skip
        lost.set_function(lambda: outbox.lost)
        waiting = Gauge("eslbot_records_waiting", "Entries in Redis and here, not recorded yet.",
                        registry=self.registry)  # fmt: skip
        waiting.set_function(lambda: outbox.waiting + outbox.kept)

    # -- calls

    def call_began(self, door: str) -> None:
        """door: one of doors.KINDS."""
        self.accepted.inc()
        self.doors.labels(door).inc()

    def call_ended(self, how: str) -> None:
        """how: one of FINISHED or HANDED_OVER."""
        if how in HANDED_OVER:
            self.handed_over.labels(how).inc()
        else:
            self.finished.labels(how).inc()

    def failing(self, call: Call) -> None:
        """The assistant of this call can't go on; until failed_over() its caller hears nothing."""
        call.leave.failing = True

    def failed_over(self, call: Call) -> None:
        if call.leave.failing:
            call.leave.failing = False
            self.survived.inc()

    def hung_up(self, call: Call, cause: str, disposition: str) -> str:
        """The call is over, here or after a transfer; returns who ended it."""
        by = "other"
        if call.leave.by_us:
            by = "bot"
        elif disposition in BY_CALLER or (not disposition and cause == "NORMAL_CLEARING"):
            by = "caller"
        self.hangups.labels(by).inc()
        if call.leave.failing:
            call.leave.failing = False
            if by == "caller":
                self.survived.inc()
            else:
                self.dropped.inc()
                log.error("%s: ended (%s) after its assistant had failed", call.uuid, cause[:40])
        return by

    # -- turns

    def turn_opened(self) -> None:
        self.opened.inc()

    def turn_ended(self, outcome: str, intervals_ms: Mapping[str, int]) -> None:
        """outcome: one of OUTCOMES or NO_TURNS."""
        if outcome in NO_TURNS:
            self.no_turns.labels(outcome).inc()
            return
        self.turns.labels(outcome).inc()
        for part in PARTS:
            if f"{part}_ms" in intervals_ms:
                self.turn_seconds.labels(part).observe(intervals_ms[f"{part}_ms"] / 1000)

    def ai_failed(self, stage: str) -> None:
        self.failures.labels(stage).inc()

    def rung(self, rung: str) -> None:
        self.rungs.labels(rung).inc()
