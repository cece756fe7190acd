"""No expression that a caller's, a model's or a provider's text meets takes long over any of it."""

from __future__ import annotations

import importlib
import pkgutil
import re
import signal
from collections.abc import Iterator
from types import FrameType, ModuleType

import pytest

import eslbot
import workers

# Some quadratic work over a text of the longest kind is milliseconds; a wrong one takes years.
CPU_S = 5.0
LONGEST = 4000
ROWS = (
    "a", "1", "o ", "oh ", " ", "\n", "[", "(", "{", "<", "a.", "a@", "a at ", "dot ", "-", '"',
    "no ", "well ", "one ", "a minus ", "the other ", "%", "\\", ". ", ",", ", ", "a,", "1 ", "1.",
    "#", "a-", "[a](", "<a", "*", ":", "a:", "a=", "/", "and ", "um oh ", "[1]", "!", "o at ",
)  # fmt: skip
# Programs of their own, which no call passes.
APART = ("bench", "chaos", "evals", "loadtest", "rig", "switch", "__main__")


def modules() -> Iterator[ModuleType]:
    for package in (eslbot, workers):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not set(found.name.split(".")) & set(APART) and not found.name.endswith("_process"):
                yield importlib.import_module(found.name)


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    seen = set()
    for module in modules():
        for name, value in vars(module).items():
            held = value.values() if isinstance(value, dict) else [value]
            for one in held:
                if isinstance(one, re.Pattern) and one not in seen and isinstance(one.pattern, str):
                    seen.add(one)
                    yield f"{module.__name__}.{name}", one


def too_long(number: int, frame: FrameType | None) -> None:
    raise TimeoutError


def test_no_text_keeps_an_expression_busy():
    before = signal.signal(signal.SIGPROF, too_long)
    tried = 0
    try:
        for name, pattern in patterns():
            for row in ROWS:
                text = (row * LONGEST)[:LONGEST] + "\0"
                signal.setitimer(signal.ITIMER_PROF, CPU_S)
                try:
                    pattern.search(text)
                except TimeoutError:
                    pytest.fail(f"{name}: still busy after {CPU_S} s with a row of {row!r}")
                finally:
                    signal.setitimer(signal.ITIMER_PROF, 0)
            tried += 1
    finally:
        signal.signal(signal.SIGPROF, before)
    assert tried > 50
