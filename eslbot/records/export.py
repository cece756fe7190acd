"""Conversations as JSONL, for few-shot examples and for fine-tuning.

    chat    {"messages": [{"role": "user", "content": ...}, {"role": "assistant", ...}], ...}
    turns   {"call": ..., "heard": ..., "intent": ..., "slots": {...}, "said": ..., ...}

What is kept is redacted already; the caller's hash, the UUID's channel and slots that hold
placeholders stay what they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from eslbot.accounts import NO_TURNS
from eslbot.records import read
from eslbot.records.store import Store

OF_TURN = ("heard", "intent", "slots", "asked", "action", "said", "outcome", "misses", "keyed")


def lines(store: Store, query: read.Query, limit: int, form: str) -> Iterator[str]:
    """Raises StoreError, SealError. Each call that is exported stands in the audit trail."""
    for one in read.calls(store, query, limit):
        call = read.call(store, one["uuid"], purpose="exported")
        if call is None:
            continue
        turns = [t for t in call["turns"] if t["outcome"] not in NO_TURNS and t["heard"]]
        if form == "turns":
            for turn in turns:
                row = {"call": call["uuid"], "bot": call["bot"], "language": call["language"]}
                yield json.dumps(row | {n: turn[n] for n in OF_TURN}, ensure_ascii=False)
        elif turns:
            yield json.dumps(_chat(call, turns), ensure_ascii=False)


def _chat(call: dict[str, Any], turns: list[dict[str, Any]]) -> dict[str, Any]:
    messages = []
    for turn in turns:
        messages.append({"role": "user", "content": turn["heard"]})
        if turn["said"]:
            messages.append({"role": "assistant", "content": turn["said"]})
    about = {name: call[name] for name in ("bot", "language", "intent", "resolved", "escalated")}
    return {"messages": messages, "metadata": about}
