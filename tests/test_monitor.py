"""The synthetic call and the conversation from the terminal, against a running house."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from eslbot import monitor
from tests.house import ROOT, House


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    one = House(tmp_path_factory.mktemp("house"), tmp_path_factory.mktemp("state"))
    one.start_all()
    yield one
    one.stop()


def eslbot(house: House, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "eslbot", *arguments], cwd=ROOT, env=house.environ, input=typed,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_what_is_typed_is_heard_and_answered(house: House):
    done = eslbot(house, "talk", typed="/x\nwhen are you open\n")
    assert done.returncode == 0, done.stderr
    assert "'/x': only 0-9, * and # can be pressed" in done.stdout
    assert "said     We are open" in done.stdout
    assert done.stdout.endswith("hung up\n")


def test_without_a_microphone_nobody_is_called(house: House, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "eslbot", "talk", "--microphone"], cwd=ROOT, check=False,
        env=house.environ | {"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert "alsa-utils" in done.stderr


def test_a_round_goes_through_greeting_answer_menu_and_person(house: House):
    done = eslbot(house, "monitor", "--once", "--json", "--max-wait-ms", "60000")
    told = json.loads(done.stdout)
    assert told["wrong"] == []
    assert done.returncode == 0
    assert all(told[f"{what}_s"] > 0 for what in ("greeting", "answer", "menu", "person"))


class Alarms:
    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        alarms = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                alarms.told.append(json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Door)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def test_what_takes_too_long_is_wrong_and_somebody_is_told(house: House):
    alarms = Alarms()
    url = f"http://127.0.0.1:{alarms.server.server_port}/"
    done = eslbot(house, "monitor", "--once", "--no-drill", "--max-wait-ms", "1",
                  "--alarm-url", url)  # fmt: skip
    assert done.returncode == 1
    assert "WRONG: greeting after" in done.stdout
    (told,) = alarms.told
    assert [w.split(" ")[0] for w in told["wrong"]] == ["greeting", "answer"]
    assert told["menu_s"] is None
    alarms.server.shutdown()


def test_nobody_there_is_told_with_its_address(house: House):
    house.kill("listener")
    done = eslbot(house, "monitor", "--once")
    assert done.returncode == 1
    assert f"WRONG: no listener at 127.0.0.1:{house.port}" in done.stdout
    assert eslbot(house, "talk").returncode == 2


@pytest.mark.parametrize("wrong", [["--every-s", "1"], ["--wav", "/no/such.wav"]])
def test_a_wrong_argument_is_named(house: House, wrong: list[str]):
    done = eslbot(house, "monitor", "--once", *wrong)
    assert done.returncode == 2
    assert wrong[0] in done.stderr or wrong[1] in done.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ["--alarm-url", "example.com"], ["--alarm-url", "http://[::1"], ["--alarm-url", "ftp://a/"],
        ["--alarm-url", "http://a:99999/"], ["--max-wait-ms", "-5"], ["--max-wait-ms", "soon"],
    ],
)  # fmt: skip
def test_a_wrong_argument_is_named_before_a_call_is_made(wrong: list[str], capsys: Any):
    parser = argparse.ArgumentParser()
    monitor.add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(wrong)
    assert wrong[0] in capsys.readouterr().err
