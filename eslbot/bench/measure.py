"""How long something takes, beside a floor: in turns, so that both see the same machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of one operation: the median of the repetitions, and from the lowest to the
    highest of them."""

    median_us: float
    low_us: float
    high_us: float


@dataclass(frozen=True, slots=True)
class Part:
    """What was measured. unit: of one operation; floor: in words, what cannot be done for less."""

    name: str
    unit: str
    cost: Cost
    floor: str
    floor_cost: Cost

    @property
    def ratio(self) -> float:
        return self.cost.median_us / self.floor_cost.median_us


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: repetitions, each of `scale` times what a part does at the least."""

    repeats: int = 9
    scale: int = 10


def beside(
    action: Callable[[], None],
    floor: Callable[[], None],
    operations: float,
    floor_operations: float,
    effort: Effort,
    clock: Callable[[], float] = time.process_time,
) -> tuple[Cost, Cost]:
    """Both once to warm up, then repetitions in turns. operations: in one call of each.

    clock: seconds; by default of this process' CPU, so that other processes count little.
    """
    action()
    floor()
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(effort.repeats):
        for one, count, found in zip(
            (action, floor), (operations, floor_operations), taken, strict=True
        ):
            began = clock()
            one()
            found.append((clock() - began) * 1e6 / count)
    return _cost(taken[0]), _cost(taken[1])


def _cost(found: list[float]) -> Cost:
    return Cost(statistics.median(found), min(found), max(found))


def table(parts: list[Part]) -> str:
    """In Markdown."""
    lines = [
        "| part | µs | from, to | floor | µs | from, to | ratio |",
        "|---|---:|---:|---|---:|---:|---:|",
    ]
    for part in parts:
        cells = [f"{part.name}, per {part.unit}", *_cells(part.cost)]
        cells += [part.floor, *_cells(part.floor_cost), _number(part.ratio)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cells(cost: Cost) -> list[str]:
    return [_number(cost.median_us), f"{_number(cost.low_us)}, {_number(cost.high_us)}"]


def _number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
