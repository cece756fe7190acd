"""Does anything grow while the load stays the same? Memory, descriptors, threads, keys, and the
listeners' greenlets, by the minute."""

from __future__ import annotations

import statistics
from typing import Any

from eslbot.loadtest.watch import Sample

MINUTE_S = 60.0
LEAST_SAMPLES = 10  # of a minute that counts


def growth(samples: list[Sample]) -> list[dict[str, Any]]:
    """A row per whole minute: medians of what the processes of each kind held together.

    samples: of the time of full load, in order.
    """
    if not samples:
        return []
    begin = samples[0].at_s
    rows: list[dict[str, Any]] = []
    minutes: dict[int, list[Sample]] = {}
    for one in samples:
        minutes.setdefault(int((one.at_s - begin) // MINUTE_S), []).append(one)
    for minute, those in sorted(minutes.items()):
        if len(those) < LEAST_SAMPLES:
            continue
        row: dict[str, Any] = {
            "minute": minute + 1,
            "keys": _median([s.keys for s in those]),
            "greenlets": _median([s.greenlets for s in those]),
        }
        for kind in sorted({name.split(".")[0] for name in those[0].costs}):
            row[kind] = {
                "rss_mb": round(_of(those, kind, "rss") / 1e6, 1),
                "files": round(_of(those, kind, "files")),
                "threads": round(_of(those, kind, "threads")),
            }
        rows.append(row)
    return rows


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """For a terminal: the first minute beside the last one; nothing for less than two minutes."""
    if len(rows) < 2:
        return []
    first, last = rows[0], rows[-1]
    found = [f"growth from minute {first['minute']} to minute {last['minute']}:"]
    form = "  {:<12}{:>9} -> {:<9} MB{:>7} -> {:<5} descriptors{:>5} -> {:<4} threads"
    for kind in first:
        if kind in last and isinstance(first[kind], dict):
            a, b = first[kind], last[kind]
            found.append(form.format(kind, a["rss_mb"], b["rss_mb"], a["files"], b["files"],
                                     a["threads"], b["threads"]))  # fmt: skip
    found.append(f"  greenlets of listeners: {first['greenlets']:g} -> {last['greenlets']:g}")
    found.append(f"  keys in Redis: {first['keys']} -> {last['keys']}, of it a log per call, "
                 "for an hour")  # fmt: skip
    return found


def _of(samples: list[Sample], kind: str, what: str) -> float:
    sums = [
        sum(getattr(cost, what) for name, cost in one.costs.items() if name.split(".")[0] == kind)
        for one in samples
    ]
    return _median(sums)


def _median(values: list[int]) -> float:
    return statistics.median(values)
