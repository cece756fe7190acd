"""Business hours: the week, holidays, and the two days of the year on which clocks change."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tests import acting_bot
from tests.conftest import ENERGY
from workers.acting import Acting, Result, ToolCall, at_hours, carried_out
from workers.bot import Bot, BotError, load
from workers.bot.hours import DAYS, Hours
from workers.bot.routing import Route, route_at
from workers.dialog import Outcome, handle, transfer
from workers.messages import DialogState

WEEK = {day: ["08:00-12:00", "13:00-18:00"] for day in ("mon", "tue", "wed", "thu", "fri")}
OFFICE = {
    "zone": "Europe/Berlin",
    "weekly": WEEK | {"sun": ["00:00-24:00"]},
    "holidays": {"2026-12-25": [], "2026-12-24": ["08:00-12:00"]},
}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "opened"),
    [
        ("2026-11-23 06:59", False), ("2026-11-23 07:00", True), ("2026-11-23 10:59", True),
        ("2026-11-23 11:00", False), ("2026-11-23 12:00", True), ("2026-11-23 17:00", False),
        ("2026-11-21 10:00", False),  # a Saturday
        ("2026-12-24 12:30", False), ("2026-12-24 09:00", True), ("2026-12-25 09:00", False),
        # Clocks go forward on 2026-03-29: on the Friday before it is UTC+1, on the Monday UTC+2.
        ("2026-03-27 06:59", False), ("2026-03-27 07:00", True),
        ("2026-03-30 05:59", False), ("2026-03-30 06:00", True), ("2026-03-30 16:00", False),
        # And back on 2026-10-25.
        ("2026-10-23 06:00", True), ("2026-10-26 06:00", False), ("2026-10-26 07:00", True),
        # That Sunday has 25 hours: from 22:00 UTC the day before.
        ("2026-10-24 21:59", False), ("2026-10-24 22:00", True), ("2026-10-25 22:59", True),
        ("2026-10-25 23:00", False),
    ],
)  # fmt: skip
def test_open_by_the_clock_of_the_place(at: str, opened: bool):
    assert Hours.model_validate(OFFICE).is_open(utc(at)) is opened


@pytest.mark.parametrize(
    "change",
    [
        {"zone": "CEST"}, {"zone": "Europe/Nowhere"}, {"zone": "../../etc/passwd"},
        {"weekly": {"monday": ["08:00-12:00"]}}, {"weekly": {}},
        {"weekly": {"mon": ["18:00-08:00"]}}, {"weekly": {"mon": ["8-12"]}},
        {"weekly": {"mon": ["08:00-12:00", "11:00-13:00"]}}, {"weekly": {"mon": ["08:00-25:00"]}},
        {"holidays": {"2026-02-30": []}}, {"holidays": {"christmas": []}}, {"open": "always"},
    ],
)  # fmt: skip
def test_hours_that_are_none_are_refused(change: dict[str, Any]):
    with pytest.raises(ValidationError):
        Hours.model_validate(OFFICE | change)


def definition() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(ENERGY.read_text())
    found["hours"] = {"office": OFFICE}
    closed = {"say": "Billing is closed.", "destination": "agent"}
    found["destinations"]["billing"] |= {"hours": "office", "closed": closed}
    found["destinations"]["agent"] |= {"hours": "office", "closed": {"say": "All are at home."}}
    return found


def loaded(folder: Path, found: dict[str, Any]) -> Bot:
    path = folder / "bot.yaml"
    path.write_text(yaml.safe_dump(found, sort_keys=False))
    return load(path)


def test_nobody_is_sent_to_where_it_is_closed(tmp_path: Path):
    found = definition()
    del found["destinations"]["agent"]["hours"], found["destinations"]["agent"]["closed"]
    bot = loaded(tmp_path, found)
    day, night = utc("2026-11-23 10:00"), utc("2026-11-23 22:00")
    outcome = transfer(bot, DialogState("billing"), "billing")
    assert at_hours(bot, outcome, day) == outcome
    elsewhere = at_hours(bot, outcome, night)
    assert elsewhere.say == ("Billing is closed.", bot.destinations["agent"].say)
    assert elsewhere.decision.destination == "agent"


def ended(acting: Acting, result: Result | None = None) -> Outcome:
    """What is left once all was carried out."""
    with pytest.raises(StopIteration) as end:
        acting.send(result)
    found = end.value.value
    assert isinstance(found, Outcome)
    return found


@pytest.mark.parametrize(
    ("now", "destination"), [("2026-11-23 10:00", "billing"), ("2026-11-23 22:00", "agent")]
)
def test_who_asks_for_somebody_is_sent_by_the_hours(tmp_path: Path, now: str, destination: str):
    found = definition()
    del found["destinations"]["agent"]["hours"], found["destinations"]["agent"]["closed"]
    bot = loaded(tmp_path, found)
    outcome = ended(carried_out(bot, transfer(bot, DialogState(), "billing"), utc(now)))
    assert (outcome.decision.action, outcome.decision.destination) == ("transfer", destination)
    assert outcome.say[-1] == bot.destinations[destination].say
    assert ("Billing is closed." in outcome.say) == (destination == "agent")


@pytest.mark.parametrize(
    ("now", "destination"), [("2026-11-23 10:00", "billing"), ("2026-11-23 22:00", "agent")]
)
def test_whom_a_tool_that_failed_leads_on_is_sent_by_the_hours(
    tmp_path: Path, now: str, destination: str
):
    found = acting_bot.definition("http://127.0.0.1:9")
    closed = {"say": "Billing is closed.", "destination": "agent"}
    found["hours"] = {"office": OFFICE}
    found["destinations"]["billing"] |= {"hours": "office", "closed": closed}
    bot = loaded(tmp_path, found)
    state = DialogState(slots={"account": "4271"})
    acting = carried_out(bot, handle(bot, state, "balance"), utc(now))
    assert isinstance(next(acting), ToolCall)
    outcome = ended(acting, Result("failed"))
    assert (outcome.decision.action, outcome.decision.destination) == ("transfer", destination)
    assert outcome.say[0] == "I can't look that up right now."
    assert outcome.say[-1] == bot.destinations[destination].say


@pytest.mark.parametrize(
    ("spans", "destination"), [(["00:00-24:00"], "billing"), ([], "agent")], ids=["open", "closed"]
)
def test_where_no_time_is_given_it_is_now(tmp_path: Path, spans: list[str], destination: str):
    found = definition()
    del found["destinations"]["agent"]["hours"], found["destinations"]["agent"]["closed"]
    found["hours"]["office"] = {"zone": "UTC", "weekly": dict.fromkeys(DAYS, spans)}
    bot = loaded(tmp_path, found)
    outcome = ended(carried_out(bot, transfer(bot, DialogState(), "billing")))
    assert outcome.decision.destination == destination


def test_where_all_is_closed_the_caller_stays_with_the_bot(tmp_path: Path):
    bot = loaded(tmp_path, definition())
    night = utc("2026-11-23 22:00")
    assert route_at(bot, "billing", night) == Route(
        None, ("Billing is closed.", "All are at home.")
    )
    stays = at_hours(bot, transfer(bot, DialogState("billing"), "billing"), night)
    assert stays.say == ("Billing is closed.", "All are at home.", bot.phrases.anything_else)
    assert (stays.decision.action, stays.decision.state.intent) == ("none", None)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"hours": "nowhere", "closed": {"say": "x"}}, "hours"),
        ({"hours": "office"}, "hours and closed"),
        ({"closed": {"say": "x"}}, "hours and closed"),
        ({"hours": "office", "closed": {"say": "x", "destination": "nobody"}}, "nobody"),
        ({"hours": "office", "closed": {"say": "x", "destination": "billing"}}, "circle"),
        ({"extension": None}, "extension"),
        ({"dial": "user/1"}, "dial"),
        ({"transfer": "attended", "dial": "user/1"}, "extension"),
        ({"transfer": "attended", "extension": None, "dial": "user/1"}, "no_answer"),
        ({"transfer": "attended", "extension": None, "dial": "u/${x}", "no_answer": "x"}, "dial"),
        ({"transfer": "attended", "extension": None, "dial": "u/1|u/2", "no_answer": "x"}, "dial"),
        ({"transfer": "refer", "extension": None, "refer_to": "+1", "no_answer": "x"}, "refer_to"),
        ({"transfer": "refer", "extension": None, "refer_to": "sip:a@b", "no_answer": "x",
          "whisper": "x"}, "whisper"),
        ({"transfer": "attended", "extension": None, "dial": "user/1", "no_answer": "x",
          "whisper": "{number}"}, "number"),
        ({"transfer": "attended", "extension": None, "dial": "user/1", "no_answer": "x",
          "on_no_answer": "billing"}, "circle"),
        ({"max_transfers_per_hour": "5"}, "busy"),
        ({"max_transfers_per_hour": "0", "busy": "x"}, "max_transfers"),
    ],
)  # fmt: skip
def test_a_destination_that_can_not_be_is_refused_with_its_line(
    tmp_path: Path, change: dict[str, Any], key: str
):
    found = definition()
    billing = found["destinations"]["billing"]
    del billing["hours"], billing["closed"]
    for name, value in change.items():
        if value is None:
            del billing[name]
        else:
            billing[name] = value
    with pytest.raises(BotError, match=r"line \d+: destinations\.billing") as error:
        loaded(tmp_path, found)
    assert key in str(error.value)
