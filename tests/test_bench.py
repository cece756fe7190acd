"""The measurements run, count what they should, and say what is missing. No speed is asserted."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import gevent
import gevent.socket
import pytest

from eslbot.bench import machine, parts, peer
from eslbot.bench.callers import Caller, Heard, over_udp, sentences
from eslbot.bench.measure import Cost, Effort, Part, beside, table
from eslbot.bench.sides import Took
from eslbot.rig.house import until

FRAME = 320
TONE = b"\x00\x20" * 80 + b"\x00\xe0" * 80


def test_all_parts_are_measured_beside_their_floors(tmp_path, capsys):
    out = tmp_path / "parts.json"
    assert parts.main(["--repeats", "1", "--scale", "1", "--out", str(out)]) == 0
    told = json.loads(out.read_text())["parts"]
    names = [one["name"] for one in told]
    for start in ("clock's tick", "VAD, batch of 64", "XADD", "dispatch", "parsing of an event",
                  "intent matcher", "a session's command", "speech"):  # fmt: skip
        assert any(name.startswith(start) for name in names), start
    for one in told:
        for cost in (one["cost"], one["floor_cost"]):
            assert 0 < cost["low_us"] <= cost["median_us"] <= cost["high_us"], one["name"]
        assert one["ratio"] == pytest.approx(
            one["cost"]["median_us"] / one["floor_cost"]["median_us"], abs=0.01
        )
    assert names[0] in capsys.readouterr().out


def test_part_and_floor_take_turns_after_a_warm_up():
    order: list[str] = []
    ticks = iter(range(100))
    cost, floor = beside(
        lambda: order.append("part"), lambda: order.append("floor"), 10, 5,
        Effort(repeats=3), lambda: next(ticks),
    )  # fmt: skip
    assert order == ["part", "floor"] * 4
    assert (cost.median_us, floor.median_us) == (100_000, 200_000)
    assert "| 0.5 |" in table([Part("a part", "thing", cost, "a floor", floor)])
    assert Part("a part", "thing", Cost(6, 6, 6), "a floor", Cost(2, 2, 2)).ratio == 3


def test_the_cpu_of_a_process_and_of_its_children_is_counted():
    burn = "import time\nwhile time.process_time() < 0.3: pass\n"
    child = f"{burn}print(flush=True); input()"
    code = f"import subprocess, sys; {burn}subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        used, own = machine.cpu_s(process.pid), machine._own_s(process.pid)
        process.communicate(b"\n")
    assert used > own > 0
    assert machine.cpu_s(process.pid) == 0


def test_a_caller_notes_when_the_last_word_was_and_when_an_answer_came():
    """Given who answers with a tone once it was silent for 200 ms / if a caller asks /
    I expect the answer after the last word, by at least so much."""
    server = gevent.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def answer() -> None:
        spoke, quiet, left = False, 0, 0
        while True:
            frame, who = server.recvfrom(2048)
            loud = max(frame[1::2][:160], key=lambda byte: min(byte, 255 - byte)) not in (0, 255)
            spoke, quiet = spoke or loud, 0 if loud else quiet + 1
            if spoke and quiet == 10:
                spoke, left = False, 25
            server.sendto(TONE if left else bytes(FRAME), who)
            left = max(0, left - 1)

    answering = gevent.spawn(answer)
    caller = Caller(over_udp(server.getsockname()[1]), 0, sentences()[:1])
    asking = gevent.spawn(caller.run)
    try:
        until(lambda: len(caller.heard) >= 2, 20, "two utterances")
    finally:
        caller.ended = True
        asking.join(2)
        caller.call.hangup()
        answering.kill()
        server.close()
    for one in caller.heard[:2]:
        assert one.answer is not None
        assert one.answer - one.last_word > 0.15


def test_waits_lags_and_gaps_are_less_what_was_asked_for():
    run = peer.Run("eslbot", 1, 10.0, 2, 1, 10.0)
    heard = [[Heard(100.0, 101.2), Heard(105.0, None)]]
    told = [[Took(99.0, 99.5), Took(100.69, 101.17), Took(107.0, 107.5)]]
    peer._times(run, heard, told, 450, 640)
    assert run.wait_p50 == pytest.approx(30)
    assert run.vad_lag_p50 == pytest.approx(50)
    assert run.gap_p50 == pytest.approx(110)


def test_ratios_are_those_of_the_other_side_to_ours():
    ours = peer.Run("eslbot", 20, 30.0, 9, 0, 10.0, wait_p50=20.0, wait_p99=40.0)
    theirs = peer.Run("pipecat", 5, 30.0, 9, 0, 40.0, wait_p50=5.0, wait_p99=None)
    assert peer.ratios([theirs, ours]) == {"pipecat": {"cpu": 4.0, "wait_p50": 0.25}}
    assert "| CPU ms per call-second | 40.0 | 10.0 |" in peer.table([theirs, ours])


def test_without_pipecat_it_says_where_it_should_be(tmp_path, capsys):
    missing = tmp_path / "python"
    assert peer.main(["--python", str(missing), "--out", str(tmp_path / "peer.json")]) == 2
    told = capsys.readouterr().err
    assert "make bench-peer" in told and str(missing) in told
    assert not Path(tmp_path / "peer.json").exists()


def test_another_pipecat_is_refused(tmp_path, capsys):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 0.0.1\n")
    python.chmod(0o755)
    assert peer.main(["--python", str(python)]) == 2
    assert f"Pipecat 0.0.1; {peer.PINNED}" in capsys.readouterr().err
