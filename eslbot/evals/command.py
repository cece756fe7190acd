"""`eslbot eval`: scripted callers against the whole system, and what came of them."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from workers.settings import Settings

if TYPE_CHECKING:
    from eslbot.evals.scenario import Case
    from eslbot.evals.speech import Speech
    from eslbot.evals.verdict import Result

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
    from eslbot.evals.place import PlaceError
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
    results: list[Result] = []
    try:
        speech = Speech(Path(settings.state_dir) / "callers", arguments.voice)
        if not arguments.text:
            speech.prepare(chosen)
        print(told.head(), flush=True)
        for some in _groups(chosen, arguments.connect):
            results += _called(some, arguments, settings, speech)
    except (PlaceError, SpeechError, Late) as error:
        return _wrong(str(error))
    print("\n" + told.summary(results, arguments.timing))
    if arguments.junit:
        arguments.junit.write_text(told.junit(results, arguments.timing))
    if arguments.json:
        arguments.json.write_text(told.as_json(results, arguments.timing))
    return int(any(one.wrong(arguments.timing) for one in results))


def _groups(chosen: list[Case], connect: str | None) -> list[list[Case]]:
    """A house for each bot: recognisers keep few language models at once."""
    if connect:
        return [chosen]
    bots = dict.fromkeys(case.bot_path for case in chosen)
    return [[case for case in chosen if case.bot_path == bot] for bot in bots]


def _called(
    cases: list[Case], arguments: argparse.Namespace, settings: Settings, speech: Speech
) -> list[Result]:
    """Their results, told as they come. Raises PlaceError, house.Late."""
    from eslbot.evals import told
    from eslbot.evals.place import Own, Running
    from eslbot.evals.run import Run

    folder = Path(tempfile.mkdtemp(prefix="eslbot-eval-"))
    place: Own | Running | None = None
    try:
        if arguments.connect:
            place = Running.at(arguments.connect, settings)
        else:
            state = Path(settings.state_dir)
            own = place = Own(cases, folder, state, arguments.parallel, arguments.engine)
            own.start()
        run = Run(place.dial, place.client, speech, arguments.text, arguments.keep)
        return run.all(
            cases * arguments.repeat,
            arguments.parallel,
            lambda one: print(told.row(one, arguments.timing), flush=True),
        )
    finally:
        if place:
            place.stop()
        if arguments.keep:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            for log in folder.glob("*.log"):
                shutil.copy(log, arguments.keep / f"{cases[0].bot_path.stem}-{log.name}")
        shutil.rmtree(folder, ignore_errors=True)


def _wrong(what: str) -> int:
    print(f"eslbot eval: {what}", file=sys.stderr)
    return 2
