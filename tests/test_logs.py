"""Lines of logs."""

from __future__ import annotations

import json
import logging
import threading

from workers.logs import CALL, JsonLines, Lines


def line(message: str, error: bool = False) -> dict[str, str]:
    try:
        raise ValueError("seven")
    except ValueError as raised:
        info = (ValueError, raised, raised.__traceback__) if error else None
    record = logging.LogRecord("eslbot.call", logging.WARNING, "", 0, message, ("a\nb",), info)
    return json.loads(JsonLines().format(record))


def test_a_line_names_its_call_and_is_one_line():
    token = CALL.set("8f2b")
    try:
        found = line("menu: %s")
    finally:
        CALL.reset(token)
    assert found.pop("at").endswith("+00:00")
    assert found == {
        "level": "warning", "logger": "eslbot.call", "message": "menu: a\nb", "call": "8f2b",
    }  # fmt: skip


def test_no_call_no_name_and_an_error_is_told():
    found = line("%s", error=True)
    assert "call" not in found
    assert found["error"].endswith("ValueError")
    assert "test_logs.py" in found["error"]


def test_the_text_of_an_error_may_be_a_caller_s_and_is_left_out():
    try:
        try:
            int("four two seven one")
        except ValueError as error:
            raise KeyError("five main street") from error
    except KeyError as raised:
        info = (KeyError, raised, raised.__traceback__)
    record = logging.LogRecord("eslbot.call", logging.ERROR, "", 0, "a defect", (), info)
    for form in (Lines(), JsonLines()):
        told = form.format(record)
        record.exc_text = None
        assert "builtins.ValueError" in told
        assert "builtins.KeyError" in told
        # Where it was raised stands there: this file's own line, which quotes a text of its own.
        assert "invalid literal" not in told
        assert "KeyError:" not in told


def test_a_thread_does_not_log_under_another_s_call():
    token = CALL.set("8f2b")
    seen: list[dict[str, str]] = []
    thread = threading.Thread(target=lambda: seen.append(line("%s")))
    thread.start()
    thread.join()
    CALL.reset(token)
    assert "call" not in seen[0]
