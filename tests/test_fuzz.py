"""A short run of the fuzzer over every target, and that it finds what it is there to find."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import runner
from tests.fuzz.__main__ import TARGETS
from tests.fuzz.runner import Target, keep, kept, run

ROOT = Path(__file__).parent.parent
FEW = {"bot-file": 150}  # a slow one


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_what_is_promised_holds_for_each_input(target: Target):
    result = run(target, 8084, inputs=FEW.get(target.name, 500), seconds=None)
    assert not result.failures, "".join(f.trace + ascii(f.input) for f in result.failures.values())
    # All accepted by who can refuse, or all refused, would try nothing.
    assert result.accepted > result.inputs // 20


def test_the_same_seed_makes_the_same_inputs_and_another_makes_others():
    for target in TARGETS:
        one, same, other = (
            [ascii(target.make(dice)) for _ in range(20)]
            for dice in (Random(1), Random(1), Random(2))
        )
        assert one == same, target.name
        assert one != other, target.name


def _broken(text: str) -> bool:
    if "4" in text:
        raise KeyError(text)
    if "2" in text:
        raise ValueError(text)
    return text != "7"


def test_failures_are_told_apart_counted_kept_and_read_back(tmp_path: Path):
    target = Target("broken", "never raises", lambda d: str(d.randrange(10)), _broken)
    result = run(target, 1, inputs=1000, seconds=None)
    assert result.inputs == 1000
    assert {kind.split(" ")[0] for kind in result.failures} == {"KeyError", "ValueError"}
    assert all(50 < one.times < 200 for one in result.failures.values())
    assert 50 < result.refused < 200
    first = next(iter(result.failures.values()))
    assert kept(keep(tmp_path, target, first.input)) == ("broken", first.input)
    odd = {b"\xff": ["\ud800\n", (1, -0.5, None, True)]}
    assert kept(keep(tmp_path, target, odd)) == ("broken", odd)


def test_an_input_that_never_ends_is_a_failure(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runner, "HANG_S", 0.05)

    def endless(_one: int) -> bool:
        while True:
            with contextlib.suppress(Exception):
                Random().random()

    result = run(Target("endless", "ends", lambda d: 1, endless), 1, inputs=1, seconds=None)
    assert [one.split(" ")[0] for one in result.failures] == ["Hang"]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_the_command_counts_and_a_kept_input_can_be_tried_again(tmp_path: Path):
    run = command("--only", "esl-sent", "--inputs", "64", "--seed", "7")
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.splitlines()[0] == "seed 7"
    assert run.stdout.splitlines()[2].split()[:2] == ["esl-sent", "64"]
    path = tmp_path / "one.txt"
    path.write_text("esl-sent\n('uuid', ['x\\n\\napi status'])\n")
    assert "refused" in command("--replay", str(path)).stdout
    path.write_text("esl-sent\nimport os\n")
    assert command("--replay", str(path)).returncode == 2
    assert command("--only", "nothing").returncode == 2
