"""The figures for a terminal, and as a page."""

from __future__ import annotations

import itertools
from typing import Any

from eslbot.loadtest import growth
from eslbot.loadtest.figures import STATED, group, own_ms, stages
from eslbot.loadtest.run import Outcome
from eslbot.loadtest.verdict import bottleneck, generator_was_limit, limits, others_were_limit
from eslbot.rig import report
from eslbot.rig.report import Badge, Heading, Table

Row = list[Any]
_PERCENTILES = ("n", "p50", "p95", "p99", "max")


def good(of: dict[str, Any]) -> bool:
    return all(one.kept for one in limits(of))


def _conditions(of: dict[str, Any]) -> str:
    plan, rig, stated = of["plan"], of["rig"], of["conditions"]
    ahead = "have" if stated["generator_has_priority"] else "do not have"
    return (
        f"{plan['calls']} calls at once for {plan['minutes']:g} min, {plan['listeners']} "
        f"listener(s), {plan['workers']} worker(s) of each role, {plan['generators']} "
        f"generator(s); {rig['cores']} cores {rig['machine']}, Python {rig['python']}, "
        f"{of['at']}. Generator, provider and Redis run on the same machine; "
        f"generator and provider {ahead} the CPU before the others. "
        "Voice detection is real; recognition, model and voice are a local provider that takes "
        f"{stated['stt_ms']} ms, {stated['llm_first_sentence_ms']} ms to the first sentence, and "
        f"{stated['tts_ms']} ms; an utterance ends after {stated['endpoint_silence_ms']} ms."
    )


def _times(of: dict[str, Any]) -> list[Row]:
    rows: list[Row] = [
        ["gap that the caller hears", *(of["gap_ms"][p] for p in _PERCENTILES)],
        ["our own share of it", *(of["own_ms"][p] for p in _PERCENTILES)],
    ]
    for name, one in of["stages_ms"].items():
        rows.append([f"stage: {name}", *(one["took"][p] for p in _PERCENTILES)])
        if one["stated"]:
            rows.append([f"stage: {name}, our own", *(one["own"][p] for p in _PERCENTILES)])
    rows.append(["from dialling to the greeting",
                 *(of["calls"]["greeted_ms"][p] for p in _PERCENTILES)])  # fmt: skip
    for stage, one in of["queues"].items():
        rows.append([f"age of the oldest {stage} job in the queue",
                     *(one["oldest_ms"][p] for p in _PERCENTILES)])  # fmt: skip
    return rows


def _cost_rows(of: dict[str, Any]) -> list[Row]:
    return [
        [name, one["processes"], one["cores"], one["busiest_percent"], one["cpu_per_call"],
         one["rss_mb"], one["memory_per_call_kb"]]
        for name, one in of["costs"].items() if name != "machine"
    ]  # fmt: skip


_COST_COLUMNS = ["processes of", "number", "cores", "busiest, % of a core",
                 "CPU per call, ms in a second", "memory, MB", "growth per call, kB"]  # fmt: skip


def _facts(of: dict[str, Any]) -> list[str]:
    turns, calls, frames, clock = of["turns"], of["calls"], of["frames"], of["clock"]
    machine = of["costs"].get("machine", {})
    late = of["generator"]
    return [
        f"turns: {turns['asked']} asked, {turns['heard']} answered, outcomes {turns['outcomes']}, "
        f"{turns['not_joined']} not matched with the listener's log",
        f"calls: {calls['made']} made, {calls['ends']}, {calls['in_a_menu']} in a menu; in "
        f"recordings {calls['recordings']['own_answers']} own parts of answers, "
        f"{calls['recordings']['answers_of_others']} of others",
        f"frames: {frames.get('sent', 0)} to the bot ({frames.get('lost_at_listener', 0)} lost, "
        f"{frames.get('unsent', 0)} unsent), {frames.get('received', 0)} from it "
        f"({frames.get('lost', 0)} lost, {frames.get('missing', 0)} late, "
        f"{frames.get('holes', 0)} of them within speech)",
        f"listener's clock: {clock['ticks']} ticks, {clock['over_20_ms']} over 20 ms late",
        f"generator's clock: {late['ticks']} ticks, late P95 {late['p95_late_ms']} ms, "
        f"P99 {late['p99_late_ms']} ms, at most {late['max_late_ms']} ms",
        f"machine: {machine.get('busy_percent')} % of {machine.get('cores')} cores in use, "
        f"{machine.get('others_cores')} of them by others",
    ]


def _verdict(of: dict[str, Any]) -> list[str]:
    generator = generator_was_limit(of)
    lines = [f"bottleneck: {bottleneck(of)}"]
    if generator:
        lines.append(f"THE GENERATOR WAS A LIMIT: {generator}; the system may do better")
    if others := others_were_limit(of):
        lines.append(f"NOT ALONE: {others}; the system may do better")
    wrong = [one.name for one in limits(of) if not one.kept]
    lines.append(f"VERDICT: {'over the limits: ' + '; '.join(wrong) if wrong else 'within limits'}")
    return lines + [f"WRONG: {what}" for what in of["errors"]]


def text(of: dict[str, Any]) -> str:
    """For a terminal."""
    line = "{:<44}" + "{:>10}" * 5
    lines = [_conditions(of), "", line.format("ms", "n", "P50", "P95", "P99", "max")]
    lines += [line.format(*("-" if v is None else v for v in row)) for row in _times(of)]
    line = "{:<12}{:>8}{:>8}{:>10}{:>12}{:>10}{:>14}"
    lines += [
        "",
        line.format("", "number", "cores", "busiest %", "ms/s, call", "MB", "kB per call"),
    ]
    lines += [line.format(*("-" if v is None else v for v in row)) for row in _cost_rows(of)]
    lines += ["", *_facts(of), *growth.lines(of["growth"]), ""]
    for one in limits(of):
        kept = "" if one.kept else "   OVER"
        lines.append(f"{one.name:<46}{one.value!s:>10}  limit {one.most:g}{kept}")
    return "\n".join([*lines, "", *_verdict(of)])


def page(of: dict[str, Any], seen: Outcome, turns: list[dict[str, Any]]) -> str:
    """One HTML page with plots."""
    heard = [one for one in turns if one["gap_ms"] is not None]
    own = {"gap that the caller hears": [one["gap_ms"] for one in heard],
           "our own share": [o for one in heard if (o := own_ms(one)) is not None]}  # fmt: skip
    badges = [
        [one.name, one.value, one.most, Badge("good" if one.kept else "bad",
                                              "kept" if one.kept else "over")]
        for one in limits(of)
    ]  # fmt: skip
    return report.page(
        f"{of['plan']['calls']} calls at once",
        [
            _conditions(of),
            *_verdict(of),
            Table(["limit", "measured", "at most", ""], badges),
            Heading("What the caller waits for"),
            report.waterfall(_waterfall(turns), title="From the caller's last word, by stage"),
            report.cdf(own, unit="ms", title="Gap, and our share of it, by share of turns"),
            Table(["ms", "turns", "P50", "P95", "P99", "max"], _times(of)),
            Heading("What it costs"),
            report.lines(cpu_over_time(seen), "s since the start", "cores in use",
                         title="CPU of all processes of a kind, over time"),
            report.bars(
                [row[0] for row in _cost_rows(of)], [row[4] for row in _cost_rows(of)],
                unit="ms", title="CPU of a call, in a second of it",
            ),
            Table(_COST_COLUMNS, _cost_rows(of)),
            report.lines(
                {f"{stage} jobs": list(enumerate(values))
                 for stage, values in seen.seen.waiting.items()},
                "sample", "jobs that no worker has taken", title="Queues",
            ),
            Heading("Facts"),
            *_facts(of),
        ],
    )  # fmt: skip


def _waterfall(turns: list[dict[str, Any]]) -> list[tuple[str, list[tuple[str, float, float]]]]:
    """The turns at these percentiles of the gap, as the listener saw them; and what is stated."""
    logged = sorted(
        (one for one in turns if one["log"] and one["gap_ms"] is not None and stages(one["log"])),
        key=lambda one: float(one["gap_ms"]),
    )
    rows = [("stated", _parts(dict(STATED)))]
    for p in (50, 95, 99):
        if logged:
            one = logged[min(len(logged) - 1, len(logged) * p // 100)]
            rows.append((f"P{p}: {one['gap_ms']:.0f} ms", _parts(stages(one["log"]) or {})))
    return rows


def _parts(spans: dict[str, Any]) -> list[tuple[str, float, float]]:
    found, at = [], 0.0
    for name, took in spans.items():
        found.append((name, at, max(0.0, float(took))))
        at += took
    return found


def cpu_over_time(seen: Outcome) -> dict[str, list[tuple[float, float]]]:
    """Cores that each group of processes used, from sample to sample."""
    found: dict[str, list[tuple[float, float]]] = {}
    samples = seen.seen.samples
    for a, b in itertools.pairwise(samples):
        used: dict[str, float] = {}
        for name, cost in b.costs.items():
            if name in a.costs:
                spent = (cost.cpu_s - a.costs[name].cpu_s) / (b.at_s - a.at_s)
                used[group(name)] = used.get(group(name), 0.0) + max(0.0, spent)
        for name, cores in used.items():
            found.setdefault(name, []).append((b.at_s, cores))
    return found
