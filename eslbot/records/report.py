"""What to better next: which wishes end at a person, what is asked again, what matched nothing."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any

from eslbot.accounts import NO_TURNS
from eslbot.records import read
from eslbot.records.store import Store

MAX_EACH = 20


def make(store: Store, query: read.Query, limit: int) -> dict[str, Any]:
    """The report as a mapping; it holds what callers said, redacted, so that it was made stands in
    the audit trail. Raises StoreError, SealError."""
    calls = read.calls(store, query, limit)
    turns: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for turn in read.turns(store, query, limit):
        if turn["outcome"] not in NO_TURNS:
            turns[turn["call"]].append(turn)
    with store.begin() as connection:
        store.audit(connection, "reported", detail=f"{len(calls)} calls")
    ended = [call for call in calls if call["ended_at"] is not None]
    return {
        "calls": len(ended),
        "resolved": sum(bool(call["resolved"]) for call in ended),
        "escalated": sum(bool(call["escalated"]) for call in ended),
        "handling_s": _mean([call["handling_s"] for call in ended]),
        "escalation": _escalation(ended, turns),
        "asked_again": _asked_again(turns),
        "not_understood": _not_understood(turns),
    }


def told(found: dict[str, Any]) -> str:
    """The same for people."""
    calls = found["calls"]
    if not calls:
        return "no call has ended yet"
    lines = [
        f"{calls} calls, {_share(found['resolved'], calls)} resolved, "
        f"{_share(found['escalated'], calls)} escalated, {found['handling_s']:.0f} s each",
        "", "what leads to escalation (the last wish, why, calls of all with it):",
    ]  # fmt: skip
    lines += [f"  {one['calls']:>5} of {one['of']:<5} {one['intent']:<24} {one['reason']}"
              for one in found["escalation"]] or ["  nothing"]  # fmt: skip
    lines += ["", "what is asked again (slot or confirmation, turns of all that asked for it):"]
    lines += [f"  {one['again']:>5} of {one['asked']:<5} {one['what']}"
              for one in found["asked_again"]] or ["  nothing"]  # fmt: skip
    lines += ["", "what matched nothing (times):"]
    lines += [f"  {one['times']:>5}  {_printable(one['heard'])}"
              for one in found["not_understood"]] or ["  nothing"]  # fmt: skip
    return "\n".join(lines)


def _escalation(
    calls: list[dict[str, Any]], turns: dict[str, list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    with_intent = Counter(call["intent"] or "(none)" for call in calls)
    why = Counter(
        (call["intent"] or "(none)", _reason(call, turns[call["uuid"]]))
        for call in calls
        if call["escalated"]
    )
    return [
        {"intent": intent, "reason": reason, "calls": count, "of": with_intent[intent]}
        for (intent, reason), count in why.most_common(MAX_EACH)
    ]


def _reason(call: dict[str, Any], turns: list[dict[str, Any]]) -> str:
    if turns and turns[-1]["misses"]:
        return "not understood"
    return str(call["reason"] or call["outcome"] or "")


def _asked_again(turns: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    asked: Counter[str] = Counter()
    again: Counter[str] = Counter()
    for those in turns.values():
        before = None
        for turn in those:
            now = turn["asked"]
            if now:
                asked[now] += 1
                again[now] += now == before
            before = now
    return [
        {"what": what, "again": count, "asked": asked[what]}
        for what, count in again.most_common(MAX_EACH)
        if count
    ]


def _not_understood(turns: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    heard: Counter[str] = Counter()
    for those in turns.values():
        for turn in those:
            if turn["misses"] and turn["heard"] and not turn["keyed"]:
                heard[re.sub(r"\s+", " ", turn["heard"].lower()).strip(" .?!")] += 1
    return [{"heard": text, "times": count} for text, count in heard.most_common(MAX_EACH)]


def _mean(values: list[float | None]) -> float:
    there = [value for value in values if value is not None]
    return round(sum(there) / len(there), 1) if there else 0.0


def _share(count: int, of: int) -> str:
    return f"{count} ({count * 100 // of} %)"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
