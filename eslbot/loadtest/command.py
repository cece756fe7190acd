"""`eslbot loadtest`: so many calls at once against a house of our own, and what they cost."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Start a house of its own and hold so many calls open, each with recorded speech in real "
        "time; measure what callers wait for and what it costs. Voice detection is real, "
        "recognition, model and voice are a local provider with fixed delays."
    )
    parser.add_argument("--calls", type=int, default=200, metavar="N", help="at once (%(default)s)")
    parser.add_argument("--minutes", type=float, default=2.0, metavar="M",
                        help="of full load (%(default)s)")  # fmt: skip
    parser.add_argument("--listeners", type=int, default=1, metavar="L",
                        help="listeners, all on one port (%(default)s)")  # fmt: skip
    parser.add_argument("--workers", type=int, default=1, metavar="W",
                        help="worker processes of each role (%(default)s)")  # fmt: skip
    parser.add_argument("--set", action="append", default=[], metavar="ESLBOT_NAME=VALUE",
                        help="a setting of listeners and workers")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("var/loadtest"), metavar="DIR",
                        help="folder for what was found (%(default)s)")  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """0: within the limits. 1: not. 2: asked for wrongly, or the house did not start."""
    from eslbot.loadtest.figures import figures, joined
    from eslbot.loadtest.plan import BadPlan, Plan
    from eslbot.loadtest.run import Rig
    from eslbot.loadtest.told import good, page, text
    from eslbot.loadtest.verdict import bottleneck, generator_was_limit, limits, others_were_limit
    from eslbot.rig.house import Late

    try:
        plan = Plan(
            arguments.calls, arguments.minutes, arguments.listeners, arguments.workers,
            tuple(arguments.set),
        )  # fmt: skip
    except BadPlan as error:
        print(f"eslbot loadtest: {error}", file=sys.stderr)
        return 2
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="eslbot-loadtest-"))
    rig = Rig(plan, folder)
    try:
        print("starting the house", flush=True)
        rig.start()
        seen = rig.run(lambda line: print(line, flush=True))
        found = figures(seen)
    except Late as error:
        print(f"eslbot loadtest: {error}; logs are in {out}", file=sys.stderr)
        return 2
    finally:
        rig.stop()
        for log in folder.glob("*.log"):
            shutil.copy(log, out / log.name)
        shutil.rmtree(folder, ignore_errors=True)
    found["verdict"] = {
        "good": good(found),
        "bottleneck": bottleneck(found),
        "generator": generator_was_limit(found),
        "others": others_were_limit(found),
        "limits": {one.name: {"value": one.value, "most": one.most} for one in limits(found)},
    }
    (out / "loadtest.json").write_text(json.dumps(found, indent=1))
    (out / "loadtest.html").write_text(page(found, seen, joined(seen)))
    print(f"\n{text(found)}\n\nwritten to {out}/loadtest.json and loadtest.html")
    return 0 if good(found) else 1
