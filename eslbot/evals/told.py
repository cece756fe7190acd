"""What came of scenarios: a line for each, a summary, JSON, JUnit."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final
from xml.etree import ElementTree as Xml

from eslbot.evals.verdict import Check, Kind, Result

WIDTH: Final = 44
MAX_SHOWN: Final = 160
COLUMNS: Final[tuple[tuple[str, Kind], ...]] = (("intents", "intent"), ("slots", "slot"))
# XML 1.0 has no form for these, escaped or not.
_NOT_XML: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def head() -> str:
    titles = " ".join(f"{title:>8}" for title, _ in COLUMNS)
    return f"{'scenario':{WIDTH}} {titles} {'resolved':>8} {'seconds':>8}"


def row(result: Result, timing: bool = False) -> str:
    """One line, and one more for each expectation that did not hold."""
    counts = " ".join(f"{_of(*result.count(kind)):>8}" for _, kind in COLUMNS)
    wrong = result.wrong(timing)
    line = f"{_name(result):{WIDTH}} {counts} {_yes(result.resolved):>8} {result.seconds:8.1f}"
    lines = [line + ("" if not wrong else "  FAILED")]
    late = [one for one in result.checks if one.kind == "time" and not one.good and not timing]
    lines += [f"    {_told(one, result)}" for one in (*wrong, *late)]
    return "\n".join(lines)


def summary(results: Sequence[Result], timing: bool = False) -> str:
    """The figures of all of them."""
    passed = sum(not one.wrong(timing) for one in results)
    found = [f"scenarios passed   {_share(passed, len(results))}"]
    for title, kind in COLUMNS:
        right, count = total(results, kind)
        found.append(f"{title + ' right':18} {_share(right, count)}")
    resolved = sum(one.resolved for one in results)
    found.append(f"calls resolved     {_share(resolved, len(results))}")
    tools = total(results, "tool")
    if tools[1]:
        found.append(f"tools right        {_share(*tools)}")
    gaps = sorted(s.gap_s for one in results for s in one.steps if s.gap_s is not None)
    if gaps:
        found.append(
            f"answer after       {gaps[len(gaps) // 2]:.2f} s median, {gaps[-1]:.2f} s at the most"
        )
    return "\n".join(found)


def total(results: Sequence[Result], kind: Kind) -> tuple[int, int]:
    counts = [one.count(kind) for one in results]
    return sum(right for right, _ in counts), sum(count for _, count in counts)


def as_json(results: Sequence[Result], timing: bool = False) -> str:
    return json.dumps([_plain(one, timing) for one in results], indent=1)


def _plain(result: Result, timing: bool) -> dict[str, Any]:
    steps = [
        {"action": step.action, "words": step.said, **asdict(seen)}
        for step, seen in zip(result.case.scenario.steps, result.steps, strict=True)
    ]
    return {
        "scenario": result.case.id,
        "repeat": result.repeat,
        "call": result.call,
        "passed": not result.wrong(timing),
        "resolved": result.resolved,
        "seconds": round(result.seconds, 2),
        "steps": steps,
        "end": asdict(result.end),
        "checks": [asdict(check) for check in result.checks],
    }


def junit(results: Sequence[Result], timing: bool = False) -> str:
    """JUnit's XML: a file of scenarios is a class, a scenario a test case."""
    suite = Xml.Element(
        "testsuite",
        name="eslbot eval",
        tests=str(len(results)),
        failures=str(sum(bool(one.wrong(timing)) for one in results)),
        errors="0",
        skipped="0",
        time=f"{sum(one.seconds for one in results):.3f}",
    )
    for one in results:
        case = Xml.SubElement(
            suite,
            "testcase",
            classname=one.case.file.stem,
            name=_name(one).partition("/")[2],
            time=f"{one.seconds:.3f}",
        )
        wrong = [_told(check, one) for check in one.wrong(timing)]
        if wrong:
            failure = Xml.SubElement(case, "failure", message=_NOT_XML.sub("?", wrong[0]))
            failure.text = _NOT_XML.sub("?", "\n".join(wrong))
    Xml.indent(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(suite, "unicode") + "\n"


def _name(result: Result) -> str:
    return result.case.id + (f"#{result.repeat + 1}" if result.repeat else "")


def _told(check: Check, result: Result) -> str:
    got = check.got if len(check.got) <= MAX_SHOWN else f"{check.got[:MAX_SHOWN]}..."
    line = f"{check.where}: {check.kind}: expected {check.expected!r}, got {got!r}"
    if check.step >= 0:
        heard = result.steps[check.step].heard
        if heard:
            line += f"; heard {' / '.join(heard)!r}"
    return line


def _of(right: int, count: int) -> str:
    return f"{right}/{count}" if count else "-"


def _share(right: int, count: int) -> str:
    return f"{right} of {count} ({100 * right / count:.1f} %)" if count else "-"


def _yes(good: bool) -> str:
    return "yes" if good else "NO"
