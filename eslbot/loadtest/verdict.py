"""Is it within the limits, what was the bottleneck, and was it the generator?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

OWN_P95_MS: Final = 250.0
NOT_HEARD_PERCENT: Final = 1.0
LATE_TICKS_PERCENT: Final = 1.0
HOLES_PER_MILLION: Final = 100.0
GENERATOR_LATE_P99_MS: Final = 20
FULL_CORE_PERCENT: Final = 85.0  # of a core, in one process: each of ours computes on one
FULL_MACHINE_PERCENT: Final = 92.0
OTHERS_SHARE: Final = 0.2  # of all cores


@dataclass(frozen=True, slots=True)
class Limit:
    """One figure and what it may be at the most; value None: it is not known, which is not good."""

    name: str
    value: float | None
    most: float

    @property
    def kept(self) -> bool:
        return self.value is not None and self.value <= self.most


def limits(of: dict[str, Any]) -> list[Limit]:
    """The stated ones."""
    calls, turns, frames = of["calls"], of["turns"], of["frames"]
    asked = turns["asked"]
    received = frames.get("received", 0)
    holes = 1e6 * frames.get("holes", 0) / received if received else None
    lost = sum(frames.get(name, 0) for name in ("lost_at_listener", "lost", "corrupt", "unsent"))
    return [
        Limit("calls dropped", calls["dropped"] + calls["failures_with_drop"], 0),
        Limit("calls refused", calls["refused"], 0),
        Limit("calls in a menu, that nobody asked for", calls["in_a_menu"], 0),
        Limit("answers of another call in the recordings",
              calls["recordings"]["answers_of_others"], 0),
        Limit("turns without any answer, %",
              round(100 * turns["not_heard"] / asked, 2) if asked else None, NOT_HEARD_PERCENT),
        Limit("our share of the gap, P95, ms", of["own_ms"]["p95"], OWN_P95_MS),
        Limit("ticks of the media clock over 20 ms late, %",
              of["clock"]["over_20_ms_percent"], LATE_TICKS_PERCENT),
        Limit("frames lost, both directions", lost, 0),
        Limit("holes in speech, per million frames",
              None if holes is None else round(holes, 1), HOLES_PER_MILLION),
        Limit("defects of the test itself", len(of["errors"]) + calls["unfinished"], 0),
    ]  # fmt: skip


def others_were_limit(of: dict[str, Any]) -> str:
    """ "" or why these figures say as much of what else ran on this machine."""
    machine = of["costs"].get("machine")
    if machine is None or machine["others_cores"] < OTHERS_SHARE * machine["cores"]:
        return ""
    return f"others on this machine used {machine['others_cores']} of its {machine['cores']} cores"


def generator_was_limit(of: dict[str, Any]) -> str:
    """ "" or why these figures say more of the generator than of the system."""
    late = of["generator"]["p99_late_ms"]
    if late is None or late > GENERATOR_LATE_P99_MS:
        return f"its ticks were {late} ms late (P99)"
    busy = of["costs"].get("generator", {}).get("busiest_percent", 0.0)
    if busy >= FULL_CORE_PERCENT:
        return f"one of its processes used {busy} % of a core"
    return ""


def bottleneck(of: dict[str, Any]) -> str:
    """What would have to grow first."""
    costs = of["costs"]
    groups = {name: one for name, one in costs.items() if name != "machine"}
    if not groups:
        return "not known: the test was too short"
    name, most = max(groups.items(), key=lambda item: item[1]["busiest_percent"])
    machine = costs["machine"]
    said = []
    if most["busiest_percent"] >= FULL_CORE_PERCENT:
        said.append(f"a {name} process, which uses {most['busiest_percent']} % of a core")
    if (machine["busy_percent"] or 0) >= FULL_MACHINE_PERCENT:
        biggest = sorted(groups, key=lambda one: -groups[one]["cores"])[:3]
        shares = ", ".join(f"{one} {groups[one]['cores']:.2f}" for one in biggest)
        others = machine["others_cores"]
        said.append(
            f"the machine's {machine['cores']:.0f} cores, {machine['busy_percent']} % in use "
            f"(cores: {shares}, others on it {others:.2f})"
        )
    if said:
        return "; ".join(said)
    return f"none was reached; nearest: a {name} process with {most['busiest_percent']} % of a core"
