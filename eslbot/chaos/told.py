"""What the matrix found, for a terminal and as a page."""

from __future__ import annotations

import platform
from datetime import UTC, datetime

import numpy as np

from eslbot.chaos.matrix import Result, Run
from eslbot.rig import report

_COLUMNS = "{:<30} {:>5} {:>4} {:>7} {:>8} {:>8} {:>5} {:>7} {:>4} {:>8}  {}"


def header() -> str:
    return _COLUMNS.format(
        "fault", "calls", "drop", "silence", "answered", "fallback", "twice", "foreign", "late",
        "recovers", "verdict",
    )  # fmt: skip


def _row(run: Run) -> list[str]:
    results = run.results
    wrong = run.wrong()
    more = f" (+{len(wrong) - 1})" if len(wrong) > 1 else ""
    return [
        run.fault,
        str(len(results)),
        str(sum(one.dropped for one in results)),
        f"{max((one.silence_s for one in results), default=0.0):.2f} s",
        str(sum(one.answered for one in results)),
        str(sum(one.fallback for one in results)),
        str(sum(one.twice for one in results)),
        str(sum(one.foreign for one in results)),
        str(sum(one.late for one in results)),
        f"{run.recovered_s:.1f} s" if run.recovered_s is not None else "never",
        f"WRONG: {wrong[0]}{more}" if wrong else "as promised",
    ]


def line(run: Run) -> str:
    return _COLUMNS.format(*_row(run))


def _p(values: list[float], percent: int) -> float:
    return float(np.percentile(values, percent)) if values else 0.0


def _going_on(runs: list[Run], text: str, *phases: str) -> list[float]:
    found = [one for run in runs if text in run.fault for one in run.results]
    return [r.goes_on_s for r in found if r.goes_on_s is not None and r.phase in phases]


def summary(runs: list[Run]) -> tuple[list[str], bool]:
    """Lines with the figures that are promised; whether all is as it must be."""
    results = [one for run in runs for one in run.results]
    wrong = [f"{run.fault}: {what}" for run in runs for what in run.wrong()]
    silent = max(results, key=lambda one: one.silence_s, default=None)
    lines = [
        f"{len(runs)} faults x 6 phases, {len(results)} calls, "
        f"{platform.machine()}, {datetime.now(UTC):%Y-%m-%d}",
        f"calls dropped by us: {sum(one.dropped for one in results)}",
        "heard twice, late, or in the wrong call: "
        f"{sum(one.twice + one.late + one.foreign for one in results)}",
    ]
    if silent is not None:
        lines.append(
            f"longest silence outside the caller's turn: {silent.silence_s:.2f} s "
            f"({silent.fault}, {silent.phase}); p95 {_p([r.silence_s for r in results], 95):.2f} s"
        )
    for what, text in (("a worker killed in mid-turn", "worker killed"),
                       ("a provider dead", "provider"),
                       ("the listener killed", "listener killed")):  # fmt: skip
        took = _going_on(runs, text, "hearing", "thinking", "speaking")
        if took:
            lines.append(
                f"{what}, from the fault to the next sound of an answer or the fallback: "
                f"median {_p(took, 50):.2f} s, p95 {_p(took, 95):.2f} s ({len(took)} calls)"
            )
    lines += [f"WRONG: {what}" for what in wrong] or ["VERDICT: as promised"]
    if wrong:
        lines.append(f"VERDICT: {len(wrong)} things are not as promised")
    return lines, not wrong


def page(runs: list[Run]) -> str:
    """One HTML page with plots."""
    told, _ = summary(runs)
    columns = ["fault", "calls", "dropped", "longest silence", "answered", "fallback", "twice",
               "another's", "late", "recovers in", "verdict"]  # fmt: skip
    silent = [max((r.silence_s for r in run.results), default=0.0) * 1000 for run in runs]
    silences: dict[str, list[float]] = {}
    for one in (r for run in runs for r in run.results):
        silences.setdefault(one.phase, []).append(one.silence_s * 1000)
    rows: list[list[report.Cell]] = []
    for run in runs:
        *cells, verdict = _row(run)
        rows.append([*cells, report.Badge("bad" if run.wrong() else "good", verdict)])
    calls = [_call(one) for run in runs for one in run.results]
    return report.page(
        "What a call survives",
        [
            *told,
            report.Heading("Longest silence that a caller heard, outside his own turn"),
            report.bars([run.fault for run in runs], silent, limit=2000, unit="ms"),
            report.Heading("The same for each call, by the phase that the fault met it in"),
            report.cdf(silences, unit="ms", limit=2000),
            report.Heading("Faults"),
            report.Table(columns, rows),
            report.Heading("Calls"),
            report.Table(
                ["fault", "phase", "ended at", "silence", "goes on after", "heard"], calls
            ),
        ],
    )


def _call(one: Result) -> list[report.Cell]:
    goes_on = f"{one.goes_on_s:.2f} s" if one.goes_on_s is not None else ""
    heard = "; ".join(one.heard[:12])
    return [one.fault, one.phase, one.end, f"{one.silence_s:.2f} s", goes_on, heard]
