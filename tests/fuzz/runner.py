"""Runs a target: inputs until the time or their number is up, and keeps those that fail.

An input is a plain Python literal, so that the file it is kept in can be read back and replayed.
"""

from __future__ import annotations

import ast
import hashlib
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

HANG_S = 20.0  # no input takes a thousandth of it
MAX_KINDS = 10  # different failures of one target; then it is left
LOOK_EVERY = 32  # inputs between two looks at the clock


class Hang(BaseException):
    """An input that takes for ever. No Exception, so that nothing under test catches it."""


@dataclass(frozen=True)
class Target:
    """promise: what holds for every input. make: an input, a literal. check: True where it was
    accepted, False where it was refused as it may be; anything raised is a failure."""

    name: str
    promise: str
    make: Callable[[Random], Any]
    check: Callable[[Any], bool]


@dataclass
class Failure:
    """The first input that failed in this way."""

    kind: str
    input: Any
    trace: str
    times: int = 1


@dataclass
class Result:
    """seconds: of the run, making the inputs included."""

    target: Target
    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0
    failures: dict[str, Failure] = field(default_factory=dict)

    @property
    def inputs(self) -> int:
        return self.accepted + self.refused + sum(f.times for f in self.failures.values())


@contextmanager
def _hangs_told() -> Iterator[None]:
    def hang(_signal: int, _frame: FrameType | None) -> None:
        raise Hang(f"no end in {HANG_S:.0f} s")

    before = signal.signal(signal.SIGALRM, hang)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run(target: Target, seed: int, *, inputs: int | None, seconds: float | None) -> Result:
    """So many inputs, or as many as the seconds allow. The seed and the target's name say
    which."""
    dice = Random(f"{seed} {target.name}")
    result = Result(target)
    began = time.monotonic()
    with _hangs_told():
        while inputs is None or result.inputs < inputs:
            if result.inputs % LOOK_EVERY == 0:
                signal.setitimer(signal.ITIMER_REAL, HANG_S)
                if seconds is not None and time.monotonic() - began >= seconds:
                    break
            one = target.make(dice)
            try:
                if target.check(one):
                    result.accepted += 1
                else:
                    result.refused += 1
            except (Exception, Hang) as error:
                _note(result, one, error)
                if len(result.failures) >= MAX_KINDS:
                    break
    result.seconds = time.monotonic() - began
    return result


def _note(result: Result, one: Any, error: BaseException) -> None:
    last = traceback.extract_tb(error.__traceback__)[-1]
    kind = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
    if kind in result.failures:
        result.failures[kind].times += 1
        return
    result.failures[kind] = Failure(kind, one, "".join(traceback.format_exception(error)))


def keep(folder: Path, target: Target, one: Any) -> Path:
    """Write a failing input down."""
    text = repr(one)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{target.name}-{digest}.txt"
    path.write_text(f"{target.name}\n{one!a}\n", encoding="ascii")
    return path


def kept(path: Path) -> tuple[str, Any]:
    """(target's name, input) of a file. Raises ValueError where it is none."""
    name, _, text = path.read_text(encoding="ascii").partition("\n")
    try:
        return name, ast.literal_eval(text)
    except (SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError("no input stands in it") from None
