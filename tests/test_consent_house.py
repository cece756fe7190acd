"""Whole calls to a bot that asks before it records, and tells of its calls by webhook.

The listener, the workers, the recorder and the receiver are real; the receiver fails at first.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from eslbot.switch.caller import Caller, Interrupt, Keys, Say
from tests.conftest import ENERGY
from tests.house import PATIENT, House, recording, until
from tests.recordings import spoken
from tests.test_webhooks import SECRET, Receiver

CONSENT = "May we record this call? Please say yes or no."
GREETING = "Good day. How can I help you?"


class Place:
    def __init__(self, house: House, receiver: Receiver, state: Path) -> None:
        self.house, self.receiver, self.state = house, receiver, state

    def recordings(self) -> set[str]:
        folder = self.state / "recordings"
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("house")
    receiver = Receiver()
    receiver.codes = [503]
    raw: dict[str, Any] = yaml.load(ENERGY.read_text(), Loader=yaml.BaseLoader)
    raw |= {"ladder": PATIENT, "greeting": GREETING}
    raw["recording"] = {"consent": CONSENT, "mode": "ask"}
    events = ["call.started", "turn.finished", "call.ended", "call.hung_up"]
    raw["webhooks"] = {"crm": {"url": receiver.url, "events": events, "secret": "crm"}}
    (folder / "bot.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    (folder / "secrets").write_text(f"crm=whsec_{base64.b64encode(SECRET).decode()}\n")
    house = House(folder, folder / "state", ESLBOT_BOT=str(folder / "bot.yaml"),
                  ESLBOT_SHED_LAG_MS="5000",
                  ESLBOT_WEBHOOK_SECRETS_FILE=str(folder / "secrets"))  # fmt: skip
    house.start("redis", "recorder", "stt", "llm", "tts", "listener")
    try:
        house.wait_ready()
        yield Place(house, receiver, folder / "state")
    finally:
        house.stop()
        receiver.server.shutdown()
        receiver.server.server_close()


def asked(place: Place) -> tuple[Any, Caller]:
    """A call whose caller has heard the question out."""
    call = place.house.dial()
    caller = Caller(call)
    caller.wait_bot()
    until(lambda: place.house.said(call) == CONSENT, 20, "the question")
    return call, caller


def yes(voice: str = "rms") -> bytes:
    return spoken(voice, "yes").astype("<i2").tobytes()


@pytest.mark.parametrize("answer", [Keys("1"), Say(yes())], ids=["keyed", "said"])
def test_who_says_yes_is_recorded_and_greeted(place: Place, answer: Keys | Say) -> None:
    before = place.recordings()
    call, caller = asked(place)
    caller.do(answer)
    assert place.house.said(call) == f"{CONSENT} {GREETING}"
    told = dict(place.house.told(call))
    assert "recording" in told
    until(lambda: told["recording"]["file"] in place.recordings() - before, 20, "its recording")
    call.hangup()


@pytest.mark.parametrize(
    "answer", [Keys("2"), Say(spoken("rms", "no").astype("<i2").tobytes())], ids=["keyed", "said"]
)
def test_who_says_no_is_not_recorded_and_served_all_the_same(
    place: Place, answer: Keys | Say
) -> None:
    before = place.recordings()
    call, caller = asked(place)
    caller.do(answer)
    assert place.house.said(call) == f"{CONSENT} {GREETING}"
    caller.do(Say(recording("hours")))
    assert "We are open" in place.house.said(call)
    call.hangup()
    until(lambda: call.where == "hungup", 20, "its end")
    assert "recording" not in dict(place.house.told(call))
    assert place.recordings() == before


def test_another_wish_in_place_of_an_answer_is_no_consent_and_is_served(place: Place) -> None:
    before = place.recordings()
    call, caller = asked(place)
    caller.do(Say(recording("hours")))
    assert "We are open" in place.house.said(call)
    assert "recording" not in dict(place.house.told(call))
    call.hangup()
    assert place.recordings() == before


def test_a_yes_before_the_question_was_heard_is_none(place: Place) -> None:
    before = place.recordings()
    call = place.house.dial()
    caller = Caller(call)
    caller.do(Interrupt(yes(), after_s=0.5))
    until(lambda: GREETING in place.house.said(call), 20, "the greeting")
    assert "recording" not in dict(place.house.told(call))
    call.hangup()
    assert place.recordings() == before


def test_the_receiver_is_told_of_a_call_signed_though_it_failed_at_first(place: Place) -> None:
    call, caller = asked(place)
    caller.do(Keys("2"))
    caller.do(Say(recording("hours")))
    call.hangup()
    receiver = place.receiver

    def mine() -> list[str]:
        return [b["type"] for b in receiver.bodies() if b["data"]["call"] == call.uuid]

    until(lambda: "call.hung_up" in mine(), 60, "the last event")
    told = mine()
    assert told[0] == "call.started"
    assert "turn.finished" in told
    ids = [headers["webhook-id"] for headers, _ in receiver.got]
    assert ids.count(ids[0]) == 2  # answered with 503, and told again under the same id
    assert all(ids.count(one) == 1 for one in ids if one != ids[0])
    for headers, body in receiver.got:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        right = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{right}"
        assert b"when are you open" not in body
