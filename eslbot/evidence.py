"""What calls tell of two variants, and how sure that is. No I/O.

Shares: Wilson's score interval (1927); the difference of two, Newcombe's (1998, method 10). Means:
Student's t; the difference of two, Welch's (1947). Student's quantile by Hill's expansion (1970,
CACM algorithm 396), which is right to four digits from 5 degrees of freedom on.

When evidence suffices. Looking again and again finds a difference sooner or later where there is
none. So there are looks only when each variant has N, 2N, 4N ... calls, of which exactly so many of
each are looked at, the earliest; the chance of error is split among them (half, a quarter, ...) and
among the pairs compared (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, fmean, variance
from typing import NamedTuple

MAX_CALLS = 1_000_000  # of each variant


class Ended(NamedTuple):
    """A call that is over: which variant it had, and how it went. handling_s: None where it is
    not known."""

    variant: str
    resolved: bool
    escalated: bool
    handling_s: float | None


class Interval(NamedTuple):
    """The estimate, and what it may as well be."""

    at: float
    low: float
    high: float

    @property
    def apart(self) -> bool:
        """Of a difference: there is one."""
        return self.low > 0 or self.high < 0


@dataclass(slots=True)
class Tally:
    """The calls of one variant, in their order."""

    resolved: list[bool] = field(default_factory=list)
    escalated: list[bool] = field(default_factory=list)
    handling_s: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.resolved)


def tallies(calls: Iterable[Ended]) -> dict[str, Tally]:
    """Of calls in the order in which they ended; MAX_CALLS of each variant."""
    found: dict[str, Tally] = {}
    for one in calls:
        tally = found.setdefault(one.variant, Tally())
        if len(tally) >= MAX_CALLS:
            continue
        tally.resolved.append(one.resolved)
        tally.escalated.append(one.escalated)
        if one.handling_s is not None and math.isfinite(one.handling_s):
            tally.handling_s.append(one.handling_s)
    return found


def share(hits: int, of: int, level: float) -> Interval:
    """A share and its interval; of nothing, anything."""
    if of == 0:
        return Interval(math.nan, 0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    p = hits / of
    middle = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    return Interval(p, max(0.0, middle - half), min(1.0, middle + half))


def share_apart(one: Sequence[bool], other: Sequence[bool], level: float) -> Interval:
    """By how much the share of one is larger than the other's."""
    a, b = share(sum(one), len(one), level), share(sum(other), len(other), level)
    if math.isnan(a.at) or math.isnan(b.at):
        return Interval(math.nan, -1.0, 1.0)
    at = a.at - b.at
    return Interval(
        at,
        at - math.hypot(a.at - a.low, b.high - b.at),
        at + math.hypot(a.high - a.at, b.at - b.low),
    )


def mean(values: Sequence[float], level: float) -> Interval:
    if len(values) < 2:
        return Interval(values[0] if values else math.nan, -math.inf, math.inf)
    at = fmean(values)
    half = student(0.5 + level / 2, len(values) - 1) * math.sqrt(variance(values) / len(values))
    return Interval(at, at - half, at + half)


def mean_apart(one: Sequence[float], other: Sequence[float], level: float) -> Interval:
    """By how much the mean of one is larger than the other's."""
    if len(one) < 2 or len(other) < 2:
        return Interval(math.nan, -math.inf, math.inf)
    at = fmean(one) - fmean(other)
    a, b = variance(one) / len(one), variance(other) / len(other)
    if a + b == 0:
        return Interval(at, at, at)
    freedom = (a + b) ** 2 / (a * a / (len(one) - 1) + b * b / (len(other) - 1))
    half = student(0.5 + level / 2, freedom) * math.sqrt(a + b)
    return Interval(at, at - half, at + half)


def student(p: float, freedom: float) -> float:
    """The quantile of Student's t; p from 0.5 to below 1."""
    if freedom < 1:
        freedom = 1
    if freedom < 1.5:
        return math.tan(math.pi * (p - 0.5))
    if freedom < 2.5:
        return (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))
    z = NormalDist().inv_cdf(p)
    a = 1 / (freedom - 0.5)
    b = 48 / (a * a)
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * freedom
    y = (d * 2 * (1 - p)) ** (2 / freedom)
    if y > 0.05 + a:
        if freedom < 5:
            c += 0.3 * (freedom - 4.5) * (z + 0.6)
        c = (((0.05 * d * -z - 5) * -z - 7) * -z - 2) * -z + b + c
        y = (((((0.4 * z * z + 6.3) * z * z + 36) * z * z + 94.5) / c - z * z - 3) / b + 1) * z
        y = math.expm1(a * y * y)
    else:
        y = (
            (1 / (((freedom + 6) / (freedom * y) - 0.089 * d - 0.822) * (freedom + 2) * 3)
             + 0.5 / (freedom + 4)) * y - 1
        ) * (freedom + 1) / (freedom + 2) + 1 / y  # fmt: skip
    return math.sqrt(freedom * y)


def winner(found: dict[str, Tally], names: Sequence[str], calls: int, level: float) -> str:
    """The variant that resolves more calls than each other one, or "".

    At the latest look that there could be: see above. calls: of each variant, before the first.
    level: the chance of not naming one where all are alike, over all looks.
    """
    least = min((len(found.get(name, Tally())) for name in names), default=0)
    error = (1 - level) / max(1, len(names) * (len(names) - 1) // 2)
    size = calls
    while size <= least:
        error /= 2  # this look's own, and what is left for those after it
        shares = {name: found[name].resolved[:size] for name in names}
        best = max(names, key=lambda name: sum(shares[name]))
        rest = [name for name in names if name != best]
        if all(share_apart(shares[best], shares[name], 1 - error).low > 0 for name in rest):
            return best
        size *= 2
    return ""
