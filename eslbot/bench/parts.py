"""The parts alone: what each costs, beside a floor that is measured in the same run.

CPU time of this process where a part only computes, the wall clock where it crosses processes;
the median of several repetitions after one to warm up, and the lowest and highest of them. Floors
and parts take turns, so that the ratio holds on a machine that is busy with other things, too.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from eslbot.bench import hearing, hops, machine, providers
from eslbot.bench.measure import Effort, Part, beside, table
from eslbot.esl import Parser
from eslbot.rig.house import ROOT
from eslbot.switch import events
from workers.bot import load
from workers.llm.matcher import Matcher

GROUPS = ("tick", "vad", "hops", "events", "matcher", "command", "provider")
WISHES = (
    "what is my balance please",
    "when are you open on a saturday",
    "I have moved to another town and need to change my address",
    "I would like to talk to a person",
    "can you tell me the weather of tomorrow",
)


def parsing(effort: Effort) -> Part:
    """An event as FreeSWITCH writes it, from bytes until what a call wants of it is read."""
    count = 20 * effort.scale
    template = events.TEMPLATE
    variables = {n.removeprefix("variable_"): v for n, v in template.items() if "variable_" in n}
    headers = {n: v for n, v in template.items() if "variable_" not in n}
    data = events.event("CHANNEL_EXECUTE_COMPLETE", headers, variables, {"Application": "answer"})

    def parse() -> None:
        parser = Parser()
        for _ in range(count):
            parser.receive_data(data)
            message = parser.next_message()
            event = message.event() if message else {}
            if event.get("Application") != "answer":
                raise AssertionError("an event that was not understood")

    def split() -> None:
        for _ in range(count):
            data.split(b"\n")

    cost, floor = beside(parse, split, count, count, effort)
    return Part(f"parsing of an event of {len(data):,} bytes", "event", cost, "bytes.split", floor)


def matching(effort: Effort) -> Part:
    """An utterance's intent, by the example bot."""
    matcher = Matcher(load(ROOT / "eslbot" / "bots" / "energy.yaml"))
    texts = WISHES * effort.scale

    def match() -> None:
        for text in texts:
            matcher.match(text)

    def split() -> None:
        for text in texts:
            set(text.lower().split())

    cost, floor = beside(match, split, len(texts), len(texts), effort)
    return Part("intent matcher", "utterance", cost, "its words as a set", floor)


def run(groups: list[str], effort: Effort) -> list[Part]:
    """In the order of GROUPS."""
    found: list[Part] = []
    for group in (one for one in GROUPS if one in groups):
        print(f"{group} …", file=sys.stderr, flush=True)
        match group:
            case "tick":
                found.append(hearing.tick(effort))
            case "vad":
                found += hearing.vad(effort)
            case "hops":
                found += hops.between_processes(effort)
            case "events":
                found.append(parsing(effort))
            case "matcher":
                found.append(matching(effort))
            case "command":
                found.append(hops.command(effort))
            case "provider":
                found += providers.requests(effort)
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m eslbot.bench.parts", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--only", action="append", choices=GROUPS, metavar="PART",
                        help=f"may be given again; of: {', '.join(GROUPS)}")  # fmt: skip
    parser.add_argument("--repeats", type=int, default=9, choices=range(1, 100), metavar="N",
                        help="of each measurement (%(default)s)")  # fmt: skip
    parser.add_argument("--scale", type=int, default=10, choices=range(1, 1000), metavar="N",
                        help="how much each repetition does (%(default)s)")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("var/bench/parts.json"),
                        help="for what was measured (%(default)s)")  # fmt: skip
    asked = parser.parse_args(argv)
    about = machine.about()
    parts = run(asked.only or list(GROUPS), Effort(asked.repeats, asked.scale))
    print(table(parts))
    found: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": about,
        "parts": [asdict(part) | {"ratio": round(part.ratio, 2)} for part in parts],
    }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"written to {asked.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
