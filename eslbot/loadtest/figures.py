"""What was seen, in figures: percentiles, shares, costs per call. All of it fits into JSON."""

from __future__ import annotations

import os
import platform
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from eslbot.loadtest import plan as plans
from eslbot.loadtest.growth import growth
from eslbot.loadtest.run import Outcome
from eslbot.loadtest.watch import Metrics, Sample
from eslbot.rig.tones import Mark, decode

VOID = ("merged", "discarded")
GROUPS = ("listener", "stt", "llm", "tts", "redis", "provider", "generator")
LATE_S = 0.02  # a tick of the listener's clock that comes so late delays a frame by one
SMALL_S = 0.001  # of sums of CPU seconds, which come in hundredths

Figures = dict[str, Any]


def percentiles(values: Iterable[float]) -> Figures:
    """P50, P95, P99, the largest, and of how many; None where there are none."""
    found = sorted(values)
    if not found:
        return {"n": 0, "p50": None, "p95": None, "p99": None, "max": None}
    p50, p95, p99 = (round(float(np.percentile(found, p)), 1) for p in (50, 95, 99))
    return {"n": len(found), "p50": p50, "p95": p95, "p99": p99, "max": round(found[-1], 1)}


def figures(seen: Outcome) -> Figures:
    """All of them. Times in milliseconds unless the name says otherwise."""
    plan = seen.plan
    turns = joined(seen)
    return {
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "rig": {"cores": os.cpu_count(), "machine": platform.machine(),
                "python": platform.python_version(), "kernel": platform.release()},
        "plan": {"calls": plan.calls, "minutes": plan.minutes, "listeners": plan.listeners,
                 "workers": plan.workers, "generators": plan.generators},
        "conditions": {
            "stt_ms": plans.STT_MS, "llm_first_sentence_ms": plans.LLM_SENTENCE_MS,
            "tts_ms": plans.TTS_MS, "endpoint_silence_ms": plans.ENDPOINT_SILENCE_MS,
            "settings": plan.environ(), "generator_has_priority": seen.put_ahead,
        },
        "calls": _calls(seen),
        "turns": _turns(seen, turns),
        "gap_ms": percentiles(one["gap_ms"] for one in turns if one["gap_ms"] is not None),
        "own_ms": percentiles(own for one in turns if (own := own_ms(one)) is not None),
        "stages_ms": _stages(turns),
        "frames": _frames(seen),
        "clock": _clock(seen.before, seen.after),
        "queues": {
            stage: {"waiting_max": max(seen.seen.waiting[stage], default=0),
                    "oldest_ms": percentiles(seen.seen.oldest_ms[stage])}
            for stage in seen.seen.waiting
        },
        "costs": costs(seen),
        "growth": growth(_within(seen)),
        "generator": _generator(seen),
        "provider": {role: one.get("peak") for role, one in seen.provider.items()},
        "errors": seen.errors,
        "sample_turns": [one for one in turns if one["log"]][:2000],
    }  # fmt: skip


# -- turns


def joined(seen: Outcome) -> list[Figures]:
    """The turns of the time of full load: what the caller heard, with the listener's own times.

    A call's turns are joined in order; "log" is None where the listener saw another number of
    turns, as when an utterance was taken for two.
    """
    begin, end = seen.window
    found = []
    for call in seen.calls:
        logged = [
            fields
            for _, what, fields in seen.logs.get(call["call"], [])
            if what == "turn" and fields["outcome"] not in VOID
        ]
        same = len(logged) == len(call["turns"])
        for at, turn in enumerate(call["turns"]):
            if begin <= turn["at_s"] < end:
                found.append(turn | {"log": logged[at] if same else None})
    return found


def own_ms(turn: Figures) -> float | None:
    """Our own share of what the caller waited: less the silence that ends an utterance, and less
    what the provider takes. Where a filler was heard first, until the answer itself."""
    log = turn["log"]
    if turn["gap_ms"] is None or log is None or "first_frame_ms" not in log:
        return None
    waited = turn["gap_ms"]
    if log["outcome"] != "answered":
        waited = max(waited, log["first_frame_ms"])
    return float(waited - plans.ENDPOINT_SILENCE_MS - plans.PROVIDER_MS)


def stages(log: Figures) -> dict[str, float] | None:
    """How long each stage of an answered turn took, in order; None: it was not answered."""
    names = ("endpoint_ms", "final_ms", "first_speech_ms", "first_frame_ms")
    if not all(name in log for name in names):
        return None
    endpoint, final, speech, frame = (float(log[name]) for name in names)
    return {
        "endpointing": endpoint,
        "recognition": final - endpoint,
        "answer and voice": speech - final,
        "to the first frame": frame - speech,
    }


STATED: dict[str, int] = {
    "endpointing": plans.ENDPOINT_SILENCE_MS,
    "recognition": plans.STT_MS,
    "answer and voice": plans.LLM_SENTENCE_MS + plans.TTS_MS,
    "to the first frame": 0,
}


def _stages(turns: Sequence[Figures]) -> Figures:
    spans = [found for one in turns if one["log"] and (found := stages(one["log"]))]
    told: Figures = {}
    for name, stated in STATED.items():
        took = [one[name] for one in spans]
        told[name] = {"stated": stated, "took": percentiles(took),
                      "own": percentiles(value - stated for value in took)}  # fmt: skip
    return told


def _turns(seen: Outcome, turns: Sequence[Figures]) -> Figures:
    answered = sum(one["gap_ms"] is not None for one in turns)
    log = [one["log"] for one in turns if one["log"]]
    opened = _sum(seen.final, "eslbot_turns_opened_total")
    outcomes = _labelled(seen.final, "eslbot_turns_total", "outcome")
    void = _labelled(seen.final, "eslbot_turns_void_total", "why")
    return {
        "asked": len(turns),
        "heard": answered,
        "not_heard": len(turns) - answered,
        "not_joined": len(turns) - len(log),
        "outcomes": dict(Counter(one["outcome"] for one in log)),
        "whole_test": {"opened": opened, "outcomes": outcomes, "void": void},
    }


# -- calls, frames


def _calls(seen: Outcome) -> Figures:
    ends: Counter[str] = Counter()
    for call in seen.calls:
        ends[end_of(call)] += 1
    foreign, own = _foreign(seen.calls)
    menus = sum(any(what == "menu" for _, what, _ in log) for log in seen.logs.values())
    return {
        "made": len(seen.calls),
        "unfinished": seen.unfinished,
        "ends": dict(ends),
        "dropped": ends["dropped"],
        "refused": ends["refused"],
        "in_a_menu": menus,
        "greeted_ms": percentiles(
            call["greeted_ms"] for call in seen.calls if call["greeted_ms"] is not None
        ),
        "recordings": {"own_answers": own, "answers_of_others": foreign},
        "refusals": _labelled(seen.final, "eslbot_calls_refused_total", "why"),
        "failures_with_drop": _sum(seen.final, "eslbot_ai_failures_with_drop_total"),
        "rungs": _labelled(seen.final, "eslbot_rungs_total", "rung"),
    }


def end_of(call: Figures) -> str:
    """In a word: how a call ended, as the switch saw it."""
    end = call["end"]
    if call["crashed"] or end in ("hungup", "stuck"):
        return "dropped"
    if end == "socket":
        return "the caller hung up"
    if end.startswith("native"):
        return "FreeSWITCH's menu" if call["greeted_ms"] is not None else "refused"
    return "transferred" if end.startswith("extension") else "dropped"


def _foreign(calls: Sequence[Figures]) -> tuple[int, int]:
    """(answers of other calls, own answers) in the recordings that were kept."""
    foreign = own = 0
    for call in calls:
        if not call["audio"]:
            continue
        for heard in decode(np.fromfile(Path(call["audio"]), "<i2")):
            if isinstance(heard.what, Mark):
                own += heard.what.call == call["number"]
                foreign += heard.what.call not in (call["number"], 0)
    return foreign, own


def _frames(seen: Outcome) -> Figures:
    total: Counter[str] = Counter()
    for call in seen.calls:
        total.update(call["frames"])
    return dict(total) | {"lost_at_listener": seen.udp_drops}


def _clock(before: Metrics, after: Metrics) -> Figures:
    """Ticks of the listeners' media clocks in the time of full load, and how late they came."""
    name = "eslbot_clock_lag_seconds"
    ticks = _sum(after, f"{name}_count") - _sum(before, f"{name}_count")
    late = {
        float(bound): after[key] - before.get(key, 0.0)
        for key in after
        if key[0] == f"{name}_bucket" and (bound := dict(key[1])["le"])
    }
    over = ticks - late.get(LATE_S, ticks)
    share = {
        p: next((bound * 1000 for bound, n in sorted(late.items()) if n >= ticks * p / 100), None)
        for p in (50, 95, 99)
    }
    return {
        "ticks": int(ticks),
        "over_20_ms": int(over),
        "over_20_ms_percent": round(100 * over / ticks, 2) if ticks else None,
        # Upper ends of the histogram's buckets.
        **{f"p{p}_ms_at_most": v if v != float("inf") else None for p, v in share.items()},
    }


# -- costs


def _within(seen: Outcome) -> list[Sample]:
    begin, end = seen.window
    return [one for one in seen.seen.samples if begin <= one.at_s <= end]


def group(name: str) -> str:
    return name.split(".", 1)[0]


def costs(seen: Outcome) -> Figures:
    """By group of processes. cores: CPU used, 1.0 is one core. cpu_per_call: milliseconds of CPU
    in a second of a call. memory_per_call_kb: growth over what it had before the first call."""
    samples = _within(seen)
    quiet = next((one for one in reversed(seen.seen.samples) if one.at_s < 0), None)
    found: Figures = {}
    if len(samples) < 2:
        return found
    first, last = samples[0], samples[-1]
    took_s = last.at_s - first.at_s
    ours = 0.0
    for name in GROUPS:
        members = [one for one in last.costs if group(one) == name and one in first.costs]
        if not members:
            continue
        each = [(last.costs[one].cpu_s - first.costs[one].cpu_s) / took_s for one in members]
        rss = sum(statistics.median(s.costs[one].rss for s in samples if one in s.costs)
                  for one in members)  # fmt: skip
        before = sum(quiet.costs[one].rss for one in members if one in quiet.costs) if quiet else 0
        ours += sum(each)
        found[name] = {
            "processes": len(members),
            "cores": round(sum(each), 3),
            "busiest_percent": round(100 * max(each), 1),
            "cpu_per_call": round(1000 * sum(each) / seen.plan.calls, 2),
            "rss_mb": round(rss / 1e6, 1),
            "memory_per_call_kb": round((rss - before) / 1000 / seen.plan.calls)
            if before
            else None,
        }
    busy = (last.machine_s[0] - first.machine_s[0]) / took_s
    every = (last.machine_s[1] - first.machine_s[1]) / took_s
    found["machine"] = {
        "cores": round(every, 2),
        "busy_cores": round(busy, 2),
        "others_cores": round(max(0.0, busy - ours), 2),
        "busy_percent": round(100 * busy / every, 1) if every > SMALL_S else None,
    }
    return found


def _generator(seen: Outcome) -> Figures:
    counts = np.asarray(seen.late_ms or [0])
    total = int(counts.sum())
    sums = np.cumsum(counts)
    found: Figures = {"ticks": total, "over_20_ms": int(counts[21:].sum())}
    for p in (50, 95, 99):
        found[f"p{p}_late_ms"] = int(np.searchsorted(sums, total * p / 100)) if total else None
    found["max_late_ms"] = int(np.flatnonzero(counts)[-1]) if total else None
    return found


# -- of the listeners' metrics


def _sum(found: Metrics, name: str) -> float:
    return sum(value for (one, _), value in found.items() if one == name)


def _labelled(found: Metrics, name: str, label: str) -> dict[str, float]:
    return {dict(labels)[label]: value for (one, labels), value in found.items()
            if one == name and value}  # fmt: skip
