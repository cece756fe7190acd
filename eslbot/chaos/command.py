"""`eslbot chaos`: the matrix against a house of our own, and faults in a share of live calls."""

from __future__ import annotations

import argparse
import getpass
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import redis

from eslbot.chaos import live
from workers import streams
from workers.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Faults on purpose. `matrix` starts a house of its own and breaks it in every way, in each "
        "phase of a call; `live` puts a fault into a share of this house's new calls, for a time."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    matrix = actions.add_parser("matrix", help="break a house of our own, in every way")
    matrix.add_argument("--only", action="append", default=[], metavar="TEXT",
                        help="faults whose name holds TEXT; may be given again")  # fmt: skip
    matrix.add_argument("--small", action="store_true", help="the few that the tests run")
    matrix.add_argument("--calls", type=int, default=2, metavar="N",
                        help="calls in each of the six phases (%(default)s)")  # fmt: skip
    matrix.add_argument("--out", type=Path, default=Path("var/chaos"),
                        help="folder for what was found (%(default)s)")  # fmt: skip
    matrix.add_argument("--list", action="store_true", help="name the faults, and end")
    order = actions.add_parser("live", help="a fault in a share of live calls, with an end time")
    order.add_argument("--fault", required=True, help="; ".join(
        f"{name}: {what}" for name, what in live.FAULTS.items()))  # fmt: skip
    order.add_argument("--share", type=int, default=5, metavar="PERCENT",
                       help="of the calls that begin meanwhile (%(default)s)")  # fmt: skip
    order.add_argument("--minutes", type=float, default=5, help="then it ends (%(default)s)")
    actions.add_parser("stop", help="no fault in calls from now on")
    actions.add_parser("report", help="how the calls with a fault ended")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """0: as promised. 1: something that must not be was seen. 2: asked for wrongly."""
    if arguments.action == "matrix":
        return _matrix(arguments)
    try:
        timeout_s = settings.redis_timeout_ms / 1000
        client = streams.connect(settings.redis, timeout_s, 2, settings.redis_tls)
        return _live(arguments, client)
    except live.ChaosError as error:
        print(f"eslbot chaos: {error}", file=sys.stderr)
    except (redis.RedisError, ValueError) as error:
        print(f"eslbot chaos: REDIS_URL: {streams.plain(error)}", file=sys.stderr)
    return 2


def _live(arguments: argparse.Namespace, client: redis.Redis) -> int:
    if arguments.action == "live":
        by = f"{getpass.getuser()}@{os.uname().nodename}"
        order = live.give(client, arguments.fault, arguments.share, arguments.minutes, by)
        print(f"{order.fault} in {order.share_percent} % of the calls that begin within "
              f"{arguments.minutes:g} minutes; sooner ended by: eslbot chaos stop")  # fmt: skip
        return 0
    if arguments.action == "stop":
        print("stopped" if live.stop(client) else "there was no fault")
        return 0
    lines = live.report(client)
    print("\n".join(lines))
    return int(any("DROPPED" in line for line in lines))


def _matrix(arguments: argparse.Namespace) -> int:
    from eslbot.chaos.faults import FAULTS, SMALL
    from eslbot.chaos.matrix import Run, as_json, run_all
    from eslbot.chaos.told import header, line, page, summary

    if arguments.calls < 1:
        print("eslbot chaos: --calls begins at 1", file=sys.stderr)
        return 2
    chosen = [one for one in FAULTS if not arguments.small or one.name in SMALL]
    if arguments.only:
        chosen = [one for one in chosen if any(text in one.name for text in arguments.only)]
    if not chosen:
        print(f"eslbot chaos: no fault's name holds {', '.join(arguments.only)}", file=sys.stderr)
        return 2
    if arguments.list:
        print("\n".join(one.name for one in chosen))
        return 0
    folder = Path(tempfile.mkdtemp(prefix="eslbot-chaos-"))
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(header(), flush=True)
    # Told to end, it ends its house, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    runs: list[Run] = []

    def tell(one: Run) -> None:
        """As it comes: an interrupted matrix has its findings, too."""
        runs.append(one)
        print(line(one), flush=True)
        (arguments.out / "chaos.json").write_text(as_json(runs))

    try:
        run_all(chosen, folder, arguments.calls, tell)
        for log in folder.glob("house-*/*.log"):
            shutil.copy(log, arguments.out / f"{log.parent.name}-{log.name}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    (arguments.out / "chaos.html").write_text(page(runs))
    told, good = summary(runs)
    print("\n".join(["", *told, "", f"written to {arguments.out}/chaos.json and chaos.html"]))
    return 0 if good else 1
