"""Whether what was seen is what was expected; and what of it counts for what. No I/O."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from eslbot.evals.scenario import NONE, Case, Expect
from eslbot.evals.seen import Seen

Kind = Literal[
    "done", "intent", "slot", "tool", "said", "not said", "transferred to", "outcome", "variable",
    "cited", "recorded", "time",
]  # fmt: skip
DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY: Final = re.compile(rf"\{{({'|'.join(DAYS)}|tomorrow)\}}")
END: Final = -1  # in place of a step's number: of the call as a whole


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation. step: counted from 0, or END."""

    kind: Kind
    step: int
    expected: str
    got: str
    good: bool

    @property
    def where(self) -> str:
        return "end" if self.step == END else f"step {self.step + 1}"


@dataclass(slots=True)
class Result:
    """A scenario that was run once. steps: one Seen for each step; end: the call as a whole."""

    case: Case
    repeat: int = 0
    steps: list[Seen] = field(default_factory=list)
    end: Seen = field(default_factory=Seen)
    seconds: float = 0.0
    call: str = ""
    engines: dict[str, str] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    today: datetime.date = datetime.date.min

    def judge(self) -> None:
        for n, (step, seen) in enumerate(zip(self.case.scenario.steps, self.steps, strict=True)):
            if seen.trouble:
                self.checks.append(Check("done", n, "done and answered", seen.trouble, False))
            self.checks += _checks(n, step.expect, seen, self.today)
        self.checks += _checks(END, self.case.scenario.expect, self.end, self.today)

    def wrong(self, timing: bool = False) -> list[Check]:
        """Time limits count only where they are asked for."""
        return [one for one in self.checks if not one.good and (timing or one.kind != "time")]

    def count(self, kind: Kind) -> tuple[int, int]:
        """(right, all) of the expectations of a kind."""
        found = [one.good for one in self.checks if one.kind == kind]
        return sum(found), len(found)

    @property
    def resolved(self) -> bool:
        """The call came to the end that the caller wanted, whatever it took."""
        return all(c.good for c in self.checks if c.step == END and c.kind != "time")


def _checks(step: int, expect: Expect, seen: Seen, today: datetime.date) -> Iterator[Check]:
    def check(kind: Kind, expected: str, got: str, good: bool) -> Check:
        return Check(kind, step, expected, got, good)

    if expect.intent is not None:
        got = seen.intent or NONE
        yield check("intent", expect.intent, got, got == expect.intent)
    for name, value in _dated(expect.slots, today).items():
        found = seen.slots.get(name, "")
        good = plain(found) == plain(value)
        yield check("slot", f"{name}={value}", f"{name}={found}", good)
    for tool in expect.tools:
        given = {name: seen.slots.get(name, "") for name in tool.arguments}
        wanted = _dated(tool.arguments, today)
        good = (tool.name, tool.status) in seen.tools and _same(given, wanted)
        called = "; ".join(f"{name} {status}" for name, status in seen.tools) or NONE
        yield check("tool", f"{tool.name} {tool.status} {_told(wanted)}".rstrip(),
                    f"{called} {_told(given)}".rstrip(), good)  # fmt: skip
    for words in expect.said:
        yield check("said", words, seen.said, plain(words) in plain(seen.said))
    for words in expect.not_said:
        yield check("not said", words, seen.said, plain(words) not in plain(seen.said))
    for file in expect.cited:
        good = any(passage.partition("#")[0] == file for passage in seen.cited)
        yield check("cited", file, ", ".join(seen.cited) or NONE, good)
    if expect.recorded is not None:
        kept = seen.recorded
        yield check("recorded", str(expect.recorded), str(kept), kept is expect.recorded)
    if expect.transferred_to is not None:
        got = seen.transferred_to or NONE
        yield check("transferred to", expect.transferred_to, got, got == expect.transferred_to)
    if expect.outcome is not None:
        yield check("outcome", expect.outcome, seen.outcome, seen.outcome == expect.outcome)
    for name, value in _dated(expect.variables, today).items():
        found = seen.variables.get(name, "")
        yield check("variable", f"{name}={value}", f"{name}={found}", plain(found) == plain(value))
    if expect.answer_within_s is not None:
        within = seen.gap_s is not None and seen.gap_s <= expect.answer_within_s
        took = "no answer" if seen.gap_s is None else f"{seen.gap_s:.2f} s"
        yield check("time", f"{expect.answer_within_s:g} s", took, within)


def plain(text: str) -> str:
    """Lower case, one space between words, no punctuation: what is the same when it is said."""
    return " ".join(re.sub(r"[^\w<>]+", " ", text.casefold()).split())


def _dated(values: Mapping[str, str], today: datetime.date) -> dict[str, str]:
    """{tuesday} is the next one after today, {tomorrow} the next day: ISO 8601."""

    def day(found: re.Match[str]) -> str:
        ahead = 1
        if found[1] != "tomorrow":
            ahead = (DAYS.index(found[1]) - today.weekday() - 1) % 7 + 1
        return (today + datetime.timedelta(ahead)).isoformat()

    return {name: _DAY.sub(day, value) for name, value in values.items()}


def _same(given: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(plain(given[name]) == plain(value) for name, value in wanted.items())


def _told(arguments: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items())
