"""Settings: what is wrong is named, and the reference page is complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.settings import Settings, SettingsError, load, names, reference

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"


def test_without_any_variable_the_defaults_hold():
    assert load({"PATH": "/bin", "HOME": "/nowhere"}) == Settings()


@pytest.mark.parametrize(
    ("environ", "named", "cause"),
    [
        ({"ESLBOT_LISTEN_PROT": "1"}, "ESLBOT_LISTEN_PROT", "is ESLBOT_LISTEN_PORT meant?"),
        ({"ESLBOT_ESL_TIMEOUT_S": "4"}, "ESLBOT_ESL_TIMEOUT_S", "ESLBOT_ESL_TIMEOUT_MS"),
        ({"ESLBOT_LISTEN_PORT": "http"}, "ESLBOT_LISTEN_PORT", "not a whole number"),
        ({"ESLBOT_ESL_TIMEOUT_MS": "-4"}, "ESLBOT_ESL_TIMEOUT_MS", "between"),
        ({"ESLBOT_ESL_TIMEOUT_MS": ""}, "ESLBOT_ESL_TIMEOUT_MS", "not a whole number"),
        ({"ESLBOT_STT": "siri"}, "ESLBOT_STT", "none of"),
        ({"ESLBOT_ALLOWED_NETWORKS": "lan"}, "ESLBOT_ALLOWED_NETWORKS", "lan"),
        ({"ESLBOT_VAD_STOP_PERCENT": "80"}, "ESLBOT_VAD_STOP_PERCENT", "greater"),
        ({"ESLBOT_BOT": "a\nb"}, "ESLBOT_BOT", "line break"),
        ({"ESLBOT_BOT": "a\x1b[2J"}, "ESLBOT_BOT", "without a form"),
        ({"ESLBOT_MAX_CALLS": "1_0"}, "ESLBOT_MAX_CALLS", "not a whole number"),
        ({"ESLBOT_MAX_CALLS": " 5"}, "ESLBOT_MAX_CALLS", "not a whole number"),
        ({"ESLBOT_MAX_CALLS": "٤٢"}, "ESLBOT_MAX_CALLS", "not a whole number"),
        ({"ESLBOT_MAX_CALLS": "1" * 9000}, "ESLBOT_MAX_CALLS", "not a whole number"),
        ({"ESLBOT_X\ny\x1b": "1"}, "ESLBOT_X\\ny\\x1b", "unknown setting"),
        ({"ESLBOT_" + "X" * 9000: "1"}, "ESLBOT_XX", "unknown setting"),
        ({"ESLBOT_ALLOWED_NETWORKS": "x" * 9000}, "ESLBOT_ALLOWED_NETWORKS", "xx..."),
        ({"ESLBOT_CONTEXT": "a b"}, "ESLBOT_CONTEXT", "'a b' is not of the form"),
        ({"ESLBOT_CONTEXT": "../x"}, "ESLBOT_CONTEXT", "not of the form"),
        ({"ESLBOT_MENU_EXTENSION": "9000 XML public"}, "ESLBOT_MENU_EXTENSION", "not of the form"),
        ({"ESLBOT_MENU_EXTENSION": "${x}"}, "ESLBOT_MENU_EXTENSION", "not of the form"),
    ],
)
def test_a_wrong_setting_is_named_with_its_cause(environ, named, cause):
    with pytest.raises(SettingsError) as caught:
        load(environ)
    assert named in str(caught.value)
    assert cause in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_every_number_has_bounds_and_a_unit_or_counts_things():
    units = ("_ms", "_s", "_dbfs", "_percent", "_port", "_mb", "_days", "_per_min")
    counted = {"max_calls", "playback_lead_frames", "history_lines", "worker_slots", "stt_slots",
               "whisper_threads", "breaker_failures", "records_backlog",
               "worker_nice"}  # fmt: skip
    for _, one in names():
        if one.type == "int":
            assert one.metadata["low"] is not None, one.name
            assert one.name.endswith(units) or one.name in counted, one.name
            assert one.metadata["low"] <= one.default <= one.metadata["high"]


def test_the_reference_page_is_what_the_command_prints():
    assert PAGE.read_text() == reference(), "write it anew: eslbot settings > docs/settings.md"
    for name, _ in names():
        assert f"| `{name}` |" in PAGE.read_text()
