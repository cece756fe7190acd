"""What an operator gets wrong: one line that names it, exit code 2, nothing half started."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from eslbot import with_env
from tests.conftest import ENERGY, RedisServer, free_port
from workers.settings import reference

ROOT = Path(__file__).parent.parent


def eslbot(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "eslbot", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=90,
    )


def good(tmp_path: Path, **changes: str) -> dict[str, str]:
    """Settings with which a check succeeds."""
    return {
        "ESLBOT_STATE_DIR": str(tmp_path),
        "ESLBOT_LISTEN_PORT": str(free_port()),
        "ESLBOT_REDIS_PORT": str(free_port()),
        "ESLBOT_METRICS_PORT": str(free_port()),
        "ESLBOT_CONSOLE_PORT": str(free_port()),
        "ESLBOT_TTS": "espeak",
    } | changes


def test_all_is_right(tmp_path: Path):
    run = eslbot("check", **good(tmp_path))
    assert (run.returncode, run.stderr) == (0, "")


@pytest.fixture
def busy() -> socket.socket:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield one


PORTS = [f"ESLBOT_{name}_PORT" for name in ("LISTEN", "REDIS", "METRICS", "CONSOLE")]


@pytest.mark.parametrize("name", PORTS)
def test_a_busy_port(tmp_path: Path, busy: socket.socket, name: str):
    port = str(busy.getsockname()[1])
    run = eslbot("check", **good(tmp_path, **{name: port}))
    assert run.returncode == 2
    assert run.stderr.startswith(f"eslbot: {name}: 127.0.0.1:{port}: Address already in use. To do")
    assert len(run.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"REDIS_URL": "redis://127.0.0.1:9/0"}, "REDIS_URL: ConnectionError"),
        ({"REDIS_URL": "http://nonsense"}, "REDIS_URL: ValueError"),
        ({"ESLBOT_BOT": "no/such.yaml"}, "ESLBOT_BOT: no/such.yaml: No such file"),
        ({"ESLBOT_LISTEN_HOST": "192.0.2.1"}, "ESLBOT_LISTEN_PORT: 192.0.2.1"),
        ({"ESLBOT_STATE_DIR": "/proc/nowhere"}, "ESLBOT_STATE_DIR: /proc/nowhere"),
        ({"ESLBOT_STT": "whisper"}, "ESLBOT_WHISPER_MODEL is not set"),
        ({"ESLBOT_TTS": "piper", "ESLBOT_PIPER_VOICE": "no.onnx"}, "ESLBOT_TTS=piper: "),
        ({"ESLBOT_LLM": "openai", "ESLBOT_LLM_URL": "http://127.0.0.1:9/v1"}, "ESLBOT_LLM_URL"),
        ({"ESLBOT_LISTEN_PROT": "1"}, "is ESLBOT_LISTEN_PORT meant?"),
        ({"ESLBOT_MAX_CALLS": "0"}, "ESLBOT_MAX_CALLS: 0 is not between"),
        ({"ESLBOT_CONSOLE_HOST": "0.0.0.0"}, "ESLBOT_CONSOLE_TOKEN: is wanted"),
        ({"ESLBOT_CONSOLE_TOKEN": "short"}, "ESLBOT_CONSOLE_TOKEN: shorter than 16"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, changes, named):
    run = eslbot("check", **good(tmp_path, **changes))
    assert run.returncode == 2
    assert named in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_a_password_in_the_redis_url_is_not_printed(tmp_path: Path):
    run = eslbot("check", **good(tmp_path, REDIS_URL="redis://u:canary4271@127.0.0.1:9/0"))
    assert run.returncode == 2
    assert "canary4271" not in run.stderr + run.stdout


def test_the_listener_itself_says_so_too(tmp_path: Path, busy: socket.socket):
    port = str(busy.getsockname()[1])
    run = eslbot("serve", **good(tmp_path, ESLBOT_LISTEN_PORT=port))
    assert run.returncode == 2
    assert "ESLBOT_LISTEN_PORT" in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_a_call_without_a_listener_says_what_to_start(tmp_path: Path, shared_redis: RedisServer):
    run = eslbot("call", **good(tmp_path, REDIS_URL=shared_redis.url))
    assert run.returncode == 2
    assert "make run" in run.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--keys", "12x"], "--keys"),
        (["--wav", "no/such.wav"], "--wav no/such.wav"),
        (["--wav", str(ENERGY)], "not a WAV file"),
        (["--set", "novalue"], "--set"),
    ],
)
def test_a_call_with_a_wrong_argument(tmp_path: Path, arguments, named):
    run = eslbot("call", *arguments, **good(tmp_path))
    assert run.returncode == 2
    assert named in run.stderr


@pytest.mark.parametrize(
    "command", ["serve", "redis", "check", "settings", "call", "freeswitch", "chaos"]
)
def test_each_command_has_help(command: str):
    run = eslbot(command, "--help")
    assert run.returncode == 0
    assert command in run.stdout


BROKEN = [
    ("greeting: ", "greetings: ", "greetings: unknown key"),
    ("  max_digits: 8", "  max_digits: eight", "max_digits"),
    ("max_misses: 2", "max_misses: -2", "max_misses"),
    ("transfer: billing", "transfer: biling", "'biling' is not defined"),
    ("slots: [street, postcode]", "slots: [street, zip]", "'zip' is not defined"),
    ('key: "2", intent', 'key: "1", intent', "stands there twice"),
    ('extension: "2001"', 'extension: "20 01"', "extension"),
    ('extension: "2001"', 'extension: "${x}"', "extension"),
    ("variable: ai_street", "variable: execute_on_answer", "variable"),
    ("variable: ai_street", "variable: ai_account", "variable of its own"),
    ("{accounts.due}", "{accounts.when}", "accounts"),
    ("balance of account {account}", "balance of account {acount}", "'acount' is not defined"),
    ("name: energy", "name: [energy", "line"),
    ("name: energy", "name: energy\nname: other", "name stands here twice"),
    ("    transfer: agent\n", "", "give either answer or transfer"),
]


@pytest.mark.parametrize(("right", "wrong", "named"), BROKEN)
def test_a_broken_bot_file_is_refused_with_line_and_key(tmp_path: Path, right, wrong, named):
    text = ENERGY.read_text()
    assert right in text
    path = tmp_path / "bot.yaml"
    path.write_text(text.replace(right, wrong, 1))
    run = eslbot("check", str(path))
    assert run.returncode == 2
    assert named in run.stderr
    assert "line " in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_the_example_is_right():
    assert eslbot("check", str(ENERGY)).returncode == 0


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe\x00",
        b"[" * 5000,
        b"a: &x [*x]",
        b"- 1\n",
        b"!!python/object:os.system {}",
    ],
)
def test_a_file_that_is_no_bot_at_all_is_refused(tmp_path: Path, raw: bytes):
    path = tmp_path / "bot.yaml"
    path.write_bytes(raw)
    run = eslbot("check", str(path))
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1


def test_the_command_has_the_settings_of_make_run(tmp_path: Path):
    assert with_env.settings(tmp_path) == {}
    (tmp_path / ".env").write_text("ESLBOT_BOT=my-bot.yaml\n# ESLBOT_X=1\nESLBOT_LLM_MODEL='a b'\n")
    assert with_env.settings(tmp_path) == {"ESLBOT_BOT": "my-bot.yaml", "ESLBOT_LLM_MODEL": "a b"}


def test_make_writes_the_command(tmp_path: Path):
    """From any folder, with this checkout's code; in a copy, as the Makefile goes by its own."""
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    for name in ("requirements.txt", "setup.cfg", ".venv/ready"):  # the last one made last
        (tmp_path / name).touch()
    for name in ("eslbot", "workers"):
        (tmp_path / name).symlink_to(ROOT / name)
    command = tmp_path / ".venv" / "bin" / "eslbot"
    subprocess.run(["make", "-s", "-C", str(tmp_path), ".venv/bin/eslbot"], check=True, timeout=60)
    done = subprocess.run([command, "settings"], cwd="/", check=False, capture_output=True,
                          text=True, timeout=60)  # fmt: skip
    assert done.stdout == reference(), done.stderr
