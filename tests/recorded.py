"""A call as recorders get it, for tests of what is kept."""

from __future__ import annotations

import itertools
from typing import Any

from eslbot.records import read
from eslbot.records.fold import Entry
from eslbot.records.seal import Seal
from eslbot.records.store import Store
from eslbot.records.write import write

NUMBER = "+49 30 5550100"
PEPPER = b"p" * 32


def entries(call: str = "c1", at: float = 1000.0, **turn: Any) -> list[Entry]:
    """A call: greeted, one wish served, ended."""
    count = itertools.count(1)

    def one(what: str, **fields: Any) -> Entry:
        n = next(count)
        return Entry(f"{call}-{n}", call, "leg", n, at + n, what, "host-1", "sha", fields)

    wish = {"number": 1, "heard": "what is my balance", "intent": "balance", "misses": 0,
            "open_intent": None, "said": "It is zero.", "outcome": "answered", "keyed": False,
            "slots": {"account": "4271"}, "action": "none", "opened_at": at + 2.0,
            "endpoint_ms": 640, "first_frame_ms": 900, "new_thing": "kept"}  # fmt: skip
    return [
        one("call", bot="energy", language="en", caller=Seal([], PEPPER).caller(NUMBER)),
        one("said", text="Welcome.", fixed=True),
        one("turn", **wish | turn),
        one("ended", outcome="caller gone", reason="over", variables={"ai_account": "4271"}),
        one("hangup", by="caller", cause="NORMAL_CLEARING", end="caller gone"),
    ]


def put(store: Store, *those: Entry) -> None:
    write(store, those, lambda sha: None)


def whole(store: Store, call: str = "c1") -> dict[str, Any]:
    found = read.call(store, call)
    assert found is not None
    return found
