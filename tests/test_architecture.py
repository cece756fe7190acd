"""Who may import whom."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ESLBOT = sorted((ROOT / "eslbot").rglob("*.py"))
WORKERS = sorted((ROOT / "workers").rglob("*.py"))
SHARED = {"messages", "streams", "bot", "settings", "resample", "retry_budget",
          "secret_slots", "values", "redaction", "spoken", "logs", "wire",
          "cluster", "queues"}  # fmt: skip
PURE = [
    "eslbot/esl.py", "eslbot/call_state.py", "eslbot/endpointing.py", "eslbot/playback.py",
    "eslbot/ivr.py", "workers/messages.py", "workers/dialog.py", "workers/spoken.py",
    "workers/secret_slots.py", "workers/correction.py", "workers/summary.py",
    "workers/llm/clauses.py", "workers/values/slot_values.py", "workers/values/dates.py",
    "workers/values/times.py", "workers/values/amounts.py", "workers/values/choices.py",
    "eslbot/keypad.py", "eslbot/patience.py", "workers/redaction/__init__.py",
    "workers/redaction/kinds.py", "workers/redaction/spoken.py", "eslbot/records/fold.py",
    "eslbot/turn_record.py", "eslbot/transcript.py", "eslbot/key_entry.py",
    "workers/sentences.py",
]  # fmt: skip
IO = {
    "socket",
    "gevent",
    "redis",
    "rq",
    "httpx",
    "httpcore",
    "httptools",
    "subprocess",
    "threading",
    "os",
    "time",
}


def imports(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def test_there_is_something_to_look_at():
    assert len(ESLBOT) > 20
    assert len(WORKERS) > 20


@pytest.mark.parametrize("path", WORKERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_workers_know_nothing_of_the_listener(path):
    assert not [name for name in imports(path) if name.split(".")[0] == "eslbot"]


@pytest.mark.parametrize(
    # bench/ measures both sides, and no call runs in it.
    "path",
    [path for path in ESLBOT if path.parent.name != "bench"],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_the_listener_knows_of_the_workers_what_crosses_the_streams(path):
    parts = {name.split(".")[1] for name in imports(path) if name.startswith("workers.")}
    assert parts <= SHARED


@pytest.mark.parametrize("path", ESLBOT + WORKERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_session_knows_greenswitch(path):
    uses = any(name.split(".")[0] == "greenswitch" for name in imports(path))
    assert uses == (path.relative_to(ROOT).as_posix() == "eslbot/session.py")


@pytest.mark.parametrize("name", PURE)
def test_what_is_pure_does_no_input_and_output(name):
    assert not {found.split(".")[0] for found in imports(ROOT / name)} & IO


# Where the time of day may be read: to be told, or as an order that another host gave. A jump of
# the clock must move no deadline.
TIME_OF_DAY = {
    "eslbot/ai_off.py",
    "eslbot/console/health.py",
    "eslbot/link.py",
    "eslbot/live_calls.py",
    "eslbot/outbox.py",
    "eslbot/promotion.py",
    "eslbot/prompts.py",
    "eslbot/transfers.py",  # business hours, and the age of a file
    "eslbot/today.py",
    "eslbot/records/command.py",
    "eslbot/records/courier.py",
    "eslbot/records/keeping.py",
    "eslbot/records/store.py",
    "eslbot/turn.py",
    "eslbot/chaos/live.py",
    "eslbot/chaos/told.py",
    "eslbot/monitor.py",
    "eslbot/switch/events.py",
    "workers/acting.py",  # business hours
    "workers/llm/guide.py",  # the same
    "eslbot/traces.py",
    "workers/streams.py",
    "workers/tts/cache.py",
    "workers/tts/speech_stores.py",
}


@pytest.mark.parametrize("path", ESLBOT + WORKERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_deadlines_do_not_follow_the_time_of_day(path):
    text = path.read_text()
    uses = "time.time(" in text or "datetime.now(" in text
    name = path.relative_to(ROOT).as_posix()
    if uses and not name.startswith(("eslbot/bench/", "eslbot/loadtest/")):
        assert name in TIME_OF_DAY
