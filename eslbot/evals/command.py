"""`eslbot eval`: scripted callers against the whole system, and what came of them."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from workers.settings import Settings

MAX_PARALLEL = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run scenarios, each a call from a stand-in switch, against the whole system: a house of "
        "its own, which is started for it, or a listener that runs. Exit code 0: all as expected, "
        "1: not, 2: something is set up wrongly."
    )
    parser.add_argument("scenarios", nargs="+", type=Path, metavar="SCENARIO",
                        help="files, or folders of *.yaml")  # fmt: skip
    parser.add_argument("--only", action="append", default=[], metavar="TEXT",
                        help="scenarios whose name holds TEXT; may be given again")  # fmt: skip
    parser.add_argument("--connect", metavar="HOST:PORT",
                        help="a listener that runs, in place of a house of its own; "
                        "REDIS_URL and the other settings have to be that listener's")  # fmt: skip
    parser.add_argument("--engine", choices=("embedded", "openai"), default="embedded",
                        help="of its own house: openai puts a local server that speaks OpenAI's "
                        "protocol between workers and embedded engines (%(default)s)")  # fmt: skip
    parser.add_argument(
        "--text", action="store_true", help="words are typed instead of said: nothing is recognised"
    )
    parser.add_argument("--voice", default="",
                        help="speak all that is not recorded with this voice")  # fmt: skip
    parser.add_argument("--parallel", type=int, default=6, metavar="N",
                        help="calls at once (%(default)s)")  # fmt: skip
    parser.add_argument("--repeat", type=int, default=1, metavar="N",
                        help="each scenario so many times (%(default)s)")  # fmt: skip
    parser.add_argument("--timing", action="store_true", help="time limits that are passed fail")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit's XML")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was seen")
    parser.add_argument("--keep", type=Path, metavar="DIR",
                        help="keep recordings of the calls, and logs, in this folder")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="name the scenarios, and end")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """0: all as expected. 1: not. 2: asked for wrongly, or there was nothing to call."""
    from eslbot.evals import told
    from eslbot.evals.place import Own, PlaceError, Running
    from eslbot.evals.run import Run
    from eslbot.evals.scenario import ScenarioError, cases, find
    from eslbot.evals.speech import Speech, SpeechError
    from eslbot.rig.house import Late

    for flag, value, high in (("parallel", arguments.parallel, MAX_PARALLEL),
                              ("repeat", arguments.repeat, 100)):  # fmt: skip
        if not 1 <= value <= high:
            return _wrong(f"--{flag} {value}: not within 1 to {high}")
    try:
        chosen = [
            case
            for path in find(arguments.scenarios)
            for case in cases(path)
            if not arguments.only or any(text in case.id for text in arguments.only)
        ]
    except ScenarioError as error:
        return _wrong(str(error))
    if not chosen:
        return _wrong(f"no scenario's name holds {', '.join(arguments.only)}")
    if arguments.list:
        print("\n".join(case.id for case in chosen))
        return 0
    folder = Path(tempfile.mkdtemp(prefix="eslbot-eval-"))
    state = Path(settings.state_dir)
    place: Own | Running | None = None
    try:
        speech = Speech(state / "callers", arguments.voice)
        if not arguments.text:
            speech.prepare(chosen)
        if arguments.connect:
            place = Running.at(arguments.connect, settings)
        else:
            own = place = Own(chosen, folder, state, arguments.parallel, arguments.engine)
            print("starting the house", flush=True)
            own.start()
        run = Run(place.dial, place.client, speech, arguments.text, arguments.keep)
        print(told.head(), flush=True)
        results = run.all(
            chosen * arguments.repeat,
            arguments.parallel,
            lambda one: print(told.row(one, arguments.timing), flush=True),
        )
    except (PlaceError, SpeechError, Late) as error:
        return _wrong(str(error))
    finally:
        if place:
            place.stop()
        if arguments.keep:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            for log in folder.glob("*.log"):
                shutil.copy(log, arguments.keep / log.name)
        shutil.rmtree(folder, ignore_errors=True)
    print("\n" + told.summary(results, arguments.timing))
    if arguments.junit:
        arguments.junit.write_text(told.junit(results, arguments.timing))
    if arguments.json:
        arguments.json.write_text(told.as_json(results, arguments.timing))
    return int(any(one.wrong(arguments.timing) for one in results))


def _wrong(what: str) -> int:
    print(f"eslbot eval: {what}", file=sys.stderr)
    return 2
