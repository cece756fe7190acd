"""The matrix' smaller selection, and what `eslbot chaos` says to a wrong order.

Nothing here depends on how fast the machine is: how long a silence was is told by `make chaos`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from eslbot.chaos.faults import FAULTS, PROVIDER_MODES, SMALL
from eslbot.chaos.matrix import Result, Run
from eslbot.chaos.told import page, summary
from tests.house import ROOT


def eslbot(*arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "eslbot", "chaos", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "REDIS_URL": "redis://127.0.0.1:9/0"},
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )


def test_no_fault_drops_a_call_or_says_anything_twice_late_or_to_another(tmp_path: Path):
    run = eslbot("matrix", "--small", "--calls", "1", "--out", str(tmp_path), timeout_s=600)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    runs = json.loads((tmp_path / "chaos.json").read_text())
    assert {one["fault"] for one in runs} == set(SMALL)
    for one in runs:
        assert not one["errors"]
        assert len(one["results"]) == 6
        for call in one["results"]:
            told = f"{one['fault']}: {call}"
            assert not call["dropped"], told
            assert (call["twice"], call["late"], call["foreign"]) == (0, 0, 0), told
            assert call["answered"] or call["fallback"], told
            assert call["end"].startswith(("extension:2000", "native:9000")), told
        assert one["recovered_s"] is not None, one["fault"]
    assert "What a call survives" in (tmp_path / "chaos.html").read_text()


def test_the_matrix_is_whole():
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names)
    assert set(SMALL) < set(names)
    assert len([n for n in names if "provider" in n]) == 3 * len(PROVIDER_MODES) + 1


def result(**changes: object) -> Result:
    values = {
        "fault": "f", "phase": "hearing", "end": "extension:2000", "dropped": False,
        "silence_s": 1.0, "silence_at_s": 0.1, "answered": True, "fallback": True, "twice": 0,
        "foreign": 0, "late": 0, "goes_on_s": 0.5, "heard": ["0.00-1.00 answer"],
    }  # fmt: skip
    return Result(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"dropped": True}, "dropped"),
        ({"twice": 1}, "twice"),
        ({"foreign": 1}, "another call"),
        ({"late": 1}, "late"),
        ({"answered": False, "fallback": False}, "nothing was heard"),
        ({"silence_s": 2.01}, "2.01 s of silence"),
    ],
)
def test_each_broken_promise_is_seen_and_named(changes, named):
    good = Run("f", [result()], 1.0, 2.0)
    assert good.wrong() == []
    assert summary([good])[1]
    bad = Run("f", [result(), result(**changes)], 1.0, 2.0)
    assert named in bad.wrong()[0]
    lines, right = summary([good, bad])
    assert not right
    assert any(named in line for line in lines)
    assert named in page([bad])


def test_a_house_that_does_not_recover_is_a_broken_promise():
    assert "no answer again" in Run("f", [result()], None, 2.0).wrong()[0]
    assert Run("f", [result()], 1.0, 2.0, ["the fault itself"]).wrong() == ["the fault itself"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["matrix", "--only", "no such thing"], "no such thing"),
        (["matrix", "--calls", "0"], "--calls"),
        (["live", "--fault", "llm mute", "--share", "0"], "0 %"),
        (["stop"], "REDIS_URL"),
        (["report"], "REDIS_URL"),
    ],
)
def test_a_wrong_order_is_refused_in_one_line(arguments, named):
    run = eslbot(*arguments)
    assert run.returncode == 2
    assert named in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1


def test_the_faults_can_be_listed():
    run = eslbot("matrix", "--list", "--only", "redis")
    assert run.returncode == 0
    assert "redis killed" in run.stdout.splitlines()
