"""Fuzz each parser: `python -m tests.fuzz [--seconds S | --inputs N] [--only NAME] [--seed N]`.

Exit status 1 where an input broke a target's promise; the input is kept in var/fuzz/ and can be
tried again with --replay FILE.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

from tests.fuzz import answers, audio, config, doors, entries, http1, talk, wire
from tests.fuzz.runner import Result, Target, keep, kept, run

TARGETS: list[Target] = [
    one
    for part in (wire, doors, entries, config, answers, http1, audio, talk)
    for one in part.TARGETS
]
FOLDER = Path("var") / "fuzz"
SHOWN = 2000  # characters of a failing input


def tell(result: Result) -> None:
    """One line, and what failed."""
    rate = result.inputs / result.seconds if result.seconds else 0.0
    failed = sum(one.times for one in result.failures.values())
    counts = f"{result.inputs:>10}{result.accepted:>10}{result.refused:>10}{failed:>8}"
    print(f"{result.target.name:<16}{counts}{rate:>10.0f}", flush=True)
    for one in result.failures.values():
        path = keep(FOLDER, result.target, one.input)
        shown = ascii(one.input)
        print(f"\nFAILED {result.target.name}: {one.kind}, {one.times} times")
        print(f"promised: {result.target.promise}")
        print(one.trace.rstrip())
        print(f"input: {shown[:SHOWN]}{' ...' if len(shown) > SHOWN else ''}")
        print(f"again: python -m tests.fuzz --replay {path}\n", flush=True)


def replay(path: Path) -> int:
    """The input of a file once more: 0 where the promise holds."""
    try:
        name, one = kept(path)
    except (OSError, ValueError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 2
    target = next((t for t in TARGETS if t.name == name), None)
    if target is None:
        print(f"{path}: {name!r} is no target", file=sys.stderr)
        return 2
    print(f"{name}: {'accepted' if target.check(one) else 'refused'}, as it may be")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="targets:\n" + "\n".join(f"  {t.name:<16}{t.promise}" for t in TARGETS),
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets; 60")
    parser.add_argument("--inputs", type=int, help="for each target, in place of a time")
    parser.add_argument("--only", action="append", metavar="NAME", help="a target; repeatable")
    parser.add_argument("--seed", type=int, help="which inputs; by default others each time")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="a kept input once more")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)  # a refusal is logged, and there will be a million
    if given.replay:
        return replay(given.replay)
    names = {target.name for target in TARGETS}
    for name in given.only or ():
        if name not in names:
            parser.error(f"--only {name}: there is {', '.join(sorted(names))}")
    chosen = [t for t in TARGETS if not given.only or t.name in given.only]
    seed = time.time_ns() % 10**9 if given.seed is None else given.seed
    share = None if given.inputs is not None else given.seconds / len(chosen)
    print(f"seed {seed}")
    heads = f"{'target':<16}{'inputs':>10}{'accepted':>10}{'refused':>10}{'failed':>8}{'per s':>10}"
    print(heads, flush=True)
    results = []
    for target in chosen:
        results.append(run(target, seed, inputs=given.inputs, seconds=share))
        tell(results[-1])
    seconds = sum(one.seconds for one in results)
    print(f"{sum(one.inputs for one in results)} inputs in {seconds:.0f} s")
    return 1 if any(one.failures for one in results) else 0


if __name__ == "__main__":
    sys.exit(main())
