"""Failures that a caller got over and failures that cost the call: two figures, never mixed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import generate_latest

from eslbot.accounts import Accounts


def figures(accounts: Accounts) -> dict[str, float]:
    lines = generate_latest(accounts.registry).decode().splitlines()
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines)
        if name.startswith(("eslbot_ai_failures_with", "eslbot_hangups"))
    }


def call(by_us: bool = False) -> Any:
    return SimpleNamespace(uuid="call", leave=SimpleNamespace(failing=False, by_us=by_us))


@pytest.mark.parametrize(
    ("cause", "disposition", "by", "survived", "dropped"),
    [
        ("NORMAL_CLEARING", "recv_bye", "caller", 1, 0),
        ("ORIGINATOR_CANCEL", "recv_cancel", "caller", 1, 0),
        ("NORMAL_CLEARING", "", "caller", 1, 0),
        ("NORMAL_CLEARING", "send_bye", "other", 0, 1),
        ("MEDIA_TIMEOUT", "", "other", 0, 1),
    ],
)
def test_who_ends_a_call_that_has_failed_says_whether_it_was_dropped(
    cause: str, disposition: str, by: str, survived: int, dropped: int
):
    accounts, one = Accounts(lambda: 0), call()
    accounts.failing(one)
    assert accounts.hung_up(one, cause, disposition) == by
    told = figures(accounts)
    assert told["eslbot_ai_failures_with_failover_total"] == survived
    assert told["eslbot_ai_failures_with_drop_total"] == dropped
    assert told[f'eslbot_hangups_total{{by="{by}"}}'] == 1
    accounts.hung_up(one, cause, disposition)  # the same end once more is no other failure
    assert figures(accounts)["eslbot_ai_failures_with_drop_total"] == dropped


def test_who_hears_the_menu_has_got_over_it():
    accounts, one = Accounts(lambda: 0), call()
    accounts.failing(one)
    accounts.failed_over(one)
    accounts.hung_up(one, "MEDIA_TIMEOUT", "")
    told = figures(accounts)
    assert told["eslbot_ai_failures_with_failover_total"] == 1
    assert told["eslbot_ai_failures_with_drop_total"] == 0


def test_a_call_without_a_failure_counts_as_none_however_it_ends():
    accounts = Accounts(lambda: 0)
    assert accounts.hung_up(call(by_us=True), "NORMAL_CLEARING", "send_bye") == "bot"
    accounts.hung_up(call(), "MEDIA_TIMEOUT", "")
    told = figures(accounts)
    assert told["eslbot_ai_failures_with_failover_total"] == 0
    assert told["eslbot_ai_failures_with_drop_total"] == 0
