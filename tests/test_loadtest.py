"""A small load test, whole: real processes, sockets and time; and what is made of figures."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from eslbot.loadtest.figures import end_of, percentiles
from eslbot.loadtest.growth import growth, lines
from eslbot.loadtest.plan import NUMBERS, BadPlan, Plan, number
from eslbot.loadtest.processes import Cost
from eslbot.loadtest.verdict import bottleneck, generator_was_limit, limits, others_were_limit
from eslbot.loadtest.watch import Sample
from tests.house import ROOT

CALLS = 5


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Given five calls at once for about ten seconds, with two listeners."""
    folder = tmp_path_factory.mktemp("loadtest")
    command = [sys.executable, "-m", "eslbot", "loadtest", "--calls", str(CALLS)]
    command += ["--minutes", "0.2", "--listeners", "2", "--out", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180)
    # 1: over a limit, which a busy machine may well be.
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert "VERDICT: " in done.stdout
    return folder


@pytest.fixture(scope="module")
def found(out: Path) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((out / "loadtest.json").read_text())
    return figures


def test_all_calls_were_made_and_none_was_dropped(found):
    calls = found["calls"]
    assert calls["made"] >= CALLS
    assert calls["made"] == sum(calls["ends"].values())
    assert calls["dropped"] == calls["unfinished"] == 0
    assert found["errors"] == []
    assert calls["greeted_ms"]["n"] == calls["made"]


def test_each_turn_is_accounted_for(found):
    turns = found["turns"]
    assert turns["asked"] > 0
    assert turns["heard"] + turns["not_heard"] == turns["asked"]
    assert sum(turns["outcomes"].values()) + turns["not_joined"] == turns["asked"]
    whole = turns["whole_test"]
    assert whole["opened"] == sum(whole["outcomes"].values()) + sum(whole["void"].values())


def test_percentiles_are_in_order_and_the_gap_holds_what_was_stated(found):
    gap, stated = found["gap_ms"], found["conditions"]
    assert gap["n"] == found["turns"]["heard"] > 0
    for one in (gap, found["own_ms"], *(s["took"] for s in found["stages_ms"].values())):
        assert one["p50"] <= one["p95"] <= one["p99"] <= one["max"]
    stages = found["stages_ms"]
    assert stages["endpointing"]["took"]["p50"] >= stated["endpoint_silence_ms"]
    assert stages["recognition"]["took"]["p50"] >= stated["stt_ms"]
    answer = stated["llm_first_sentence_ms"] + stated["tts_ms"]
    assert stages["answer and voice"]["took"]["p50"] >= answer


def test_frames_clock_and_costs_are_there(found):
    frames = found["frames"]
    assert frames["sent"] > 0 and frames["received"] > 0
    assert frames["holes"] <= frames["missing"]
    assert found["clock"]["ticks"] > 0
    assert found["generator"]["ticks"] >= frames["sent"]
    costs = found["costs"]
    assert costs["listener"]["processes"] == 2
    for name in ("listener", "stt", "llm", "tts", "redis", "provider", "generator"):
        assert costs[name]["cores"] > 0, name
        assert costs[name]["rss_mb"] > 1, name
    assert set(found["queues"]) == {"stt", "llm", "tts"}


def test_a_recording_holds_its_own_answers_only(found):
    recordings = found["calls"]["recordings"]
    assert recordings["own_answers"] > 0
    assert recordings["answers_of_others"] == 0


def test_the_page_is_whole_and_well_formed(out):
    page = (out / "loadtest.html").read_text()
    assert page.count("<svg") >= 5
    for plot in page.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + plot.split("</svg>")[0] + "</svg>")
    assert (out / "listener.log").exists() and (out / "listener.2.log").exists()


# -- what is made of the figures


def test_a_plan_that_makes_no_sense_is_refused_by_name():
    for wrong, name in (((0, 1), "calls"), ((5, 0), "minutes"), ((5, 1, 0), "listeners"),
                        ((5, 1, 1, 99), "workers")):  # fmt: skip
        with pytest.raises(BadPlan, match=f"--{name} "):
            Plan(*wrong)


def test_the_command_refuses_it_with_one_line():
    command = [sys.executable, "-m", "eslbot", "loadtest", "--calls", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "eslbot loadtest: --calls 0: not within 1 to 5000\n"


def test_no_two_calls_at_once_have_the_same_number():
    step = 200
    at_once = [number(line, step, line % 3) for line in range(step)]
    assert len(set(at_once)) == step
    assert number(0, step, 0) == number(0, NUMBERS, 1)


def test_percentiles_of_nothing_are_unknown():
    assert percentiles([])["p95"] is None
    assert percentiles([1.0] * 99 + [100.0])["p95"] == 1.0


@pytest.mark.parametrize(
    ("end", "greeted", "crashed", "word"),
    [
        ("socket", 100.0, None, "the caller hung up"),
        ("hungup", 100.0, None, "dropped"),
        ("socket", 100.0, "unicast too early", "dropped"),
        ("stuck", 100.0, None, "dropped"),
        ("native:9000", None, None, "refused"),
        ("native:9000", 100.0, None, "FreeSWITCH's menu"),
        ("extension:2000", 100.0, None, "transferred"),
    ],
)
def test_how_a_call_ended_in_a_word(end, greeted, crashed, word):
    assert end_of({"end": end, "greeted_ms": greeted, "crashed": crashed}) == word


def test_the_bottleneck_a_late_generator_and_busy_neighbours_are_told(found):
    figures = json.loads(json.dumps(found))
    figures["costs"]["stt"]["busiest_percent"] = 99.0
    assert "stt process" in bottleneck(figures)
    figures["generator"]["p99_late_ms"] = 0
    figures["costs"]["generator"]["busiest_percent"] = 5.0
    assert generator_was_limit(figures) == ""
    figures["generator"]["p99_late_ms"] = 80
    assert "80 ms late" in generator_was_limit(figures)
    figures["generator"]["p99_late_ms"] = 0
    figures["costs"]["generator"]["busiest_percent"] = 97.0
    assert "97.0 % of a core" in generator_was_limit(figures)
    figures["costs"]["machine"] |= {"cores": 2.0, "others_cores": 0.1}
    assert others_were_limit(figures) == ""
    figures["costs"]["machine"]["others_cores"] = 1.5
    assert "1.5 of its 2.0 cores" in others_were_limit(figures)


def test_each_limit_can_be_broken(found):
    figures = json.loads(json.dumps(found))
    figures["calls"] |= {"dropped": 1, "refused": 1, "in_a_menu": 1, "unfinished": 1}
    figures["calls"]["recordings"]["answers_of_others"] = 1
    figures["turns"] |= {"asked": 100, "not_heard": 2}
    figures["own_ms"]["p95"] = 1000.0
    figures["clock"]["over_20_ms_percent"] = None
    figures["frames"] |= {"lost": 1, "holes": 1000, "received": 100_000}
    assert [one.name for one in limits(figures) if one.kept] == []


def test_growth_is_told_by_the_minute():
    samples = [
        Sample(
            3.0 + n,
            {
                "listener": Cost(0.0, 100_000_000 + n * 1_000_000, 3, 50),
                "listener.2": Cost(0.0, 1_000_000, 3, 50 + n // 60),
            },
            (0.0, 0.0),
            keys=n,
            greenlets=8 + n // 60,
        )
        for n in range(125)
    ]
    rows = growth(samples)
    assert [row["minute"] for row in rows] == [1, 2]  # of the third there is too little
    assert rows[0]["listener"] == {"rss_mb": 130.5, "files": 100, "threads": 6}
    assert rows[1]["listener"] == {"rss_mb": 190.5, "files": 101, "threads": 6}
    assert [row["keys"] for row in rows] == [29.5, 89.5]
    assert [row["greenlets"] for row in rows] == [8, 9]
    assert any("130.5 -> 190.5" in line for line in lines(rows))
    assert lines(rows[:1]) == lines([]) == growth([]) == []


@pytest.mark.parametrize("wrong", ["ESLBOT_X", "PATH=/", "=1"])
def test_a_setting_that_is_none_is_named(wrong: str):
    with pytest.raises(BadPlan, match=wrong):
        Plan(1, 1, settings=(wrong,))
