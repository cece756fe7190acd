"""Calls as text: a table of many, and one with what was said and what took how long."""

from __future__ import annotations

import contextlib
import datetime
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eslbot.media.recording import FILE, RecordingError, folder, read
from eslbot.records.store import Store
from workers.settings import Settings

# A turn's parts, each from the end of the one before, with its sign in the waterfall.
PARTS = (
    ("endpoint_ms", "endpoint", "."),
    ("final_ms", "text", "s"),
    ("decision_ms", "decision", "d"),
    ("first_sentence_ms", "first sentence", "l"),
    ("first_speech_ms", "first audio", "v"),
    ("first_frame_ms", "played", "p"),
)
WIDTH = 50
HEADS = ("started", "call", "bot", "intent", "outcome", "turns", "s", "")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line for each call."""
    lines = [HEADS]
    for row in rows:
        marks = "resolved" if row["resolved"] else "escalated" if row["escalated"] else ""
        length = "" if row["handling_s"] is None else f"{row['handling_s']:.0f}"
        lines.append((_day(row["started_at"]), row["uuid"], row["bot"] or "", row["intent"] or "",
                      row["outcome"] or "(going on)", str(row["turn_count"] or 0), length,
                      marks))  # fmt: skip
    widths = [max(len(line[n]) for line in lines) for n in range(len(HEADS))]
    return "\n".join(
        "  ".join(_printable(cell).ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def call(one: Mapping[str, Any]) -> str:
    """The whole call."""
    began = one["started_at"] or 0.0
    lines = [f"call       {one['uuid']}", f"started    {_day(began)}"]
    for name in ("bot", "variant", "language", "intent", "outcome", "reason", "hung_up_by"):
        if one[name]:
            lines.append(f"{name:<10} {_printable(str(one[name]))}")
    if one["handling_s"] is not None:
        lines.append(f"{'took':<10} {one['handling_s']:.1f} s, {one['turn_count']} turns")
    lines += [f"{'resolved':<10} {_yes(one['resolved'])}, escalated {_yes(one['escalated'])}", ""]
    longest = max((_last(turn) for turn in one["turns"]), default=0)
    for at, told in sorted(_told(one, longest), key=lambda pair: pair[0]):
        lines += [f"{at - began:7.1f}  {line}" if n == 0 else f"{'':7}  {line}"
                  for n, line in enumerate(told)]  # fmt: skip
    if one["turns"]:
        signs = ", ".join(f"{sign} {name}" for _, name, sign in PARTS)
        lines += ["", f"from the caller's last word: {signs}"]
    return "\n".join(lines)


def _told(one: Mapping[str, Any], longest: int) -> Iterator[tuple[float, list[str]]]:
    for event in one["events"]:
        fields = event["fields"]
        if event["what"] == "said":
            yield event["at"], [f"bot      {_printable(fields.get('text', ''))}"]
        elif event["what"] not in ("call", "amended"):
            told = " ".join(f"{k}={_printable(str(v))}" for k, v in fields.items() if v)
            lines = [f"({event['what']})  {told}"[:160]]
            if fields.get("cited"):
                lines.append(f"cites    {_printable(', '.join(map(str, fields['cited'])))}"[:160])
            yield event["at"], lines
    for turn in one["turns"]:
        yield turn["opened_at"] or turn["at"], list(_turn(turn, longest))


def _turn(turn: Mapping[str, Any], longest: int) -> Iterator[str]:
    how = "keyed" if turn["keyed"] else "caller"
    yield f"{how:<8} {_printable(turn['heard'] or '-')}"
    if turn["said"] or turn["interrupted"]:
        cut = "  <- interrupted" if turn["interrupted"] else ""
        yield f"{'bot':<8} {_printable(turn['said'] or '')}{cut}"
    facts = [f"turn {turn['number']}", turn["outcome"] or ""]
    facts += [f"{name} {turn[name]}" for name in ("intent", "asked", "misses") if turn[name]]
    facts += [f"{k}={_printable(str(v))}" for k, v in turn["slots"].items()]
    yield f"{'':<8} [{', '.join(facts)}]"
    if turn["tools"]:
        yield f"{'':<8} tools: {_printable(str(turn['tools']))[:160]}"
    if longest and _last(turn):
        yield f"{'':<8} |{_waterfall(turn, longest)}| {_last(turn)} ms"


def _waterfall(turn: Mapping[str, Any], longest: int) -> str:
    bar = ""
    for name, _, sign in PARTS:
        at = turn[name]
        if at is not None:
            end = round(max(0, at) * WIDTH / longest)
            bar = bar.ljust(min(end, WIDTH), sign)
    return bar.ljust(WIDTH)


def _last(turn: Mapping[str, Any]) -> int:
    return max((turn[name] or 0 for name, _, _ in PARTS), default=0)


def write_audio(one: Mapping[str, Any], settings: Settings, store: Store, out: Path) -> int:
    """The recording, decrypted, as a WAV file. Raises SealError."""

    name = one["recording"] or ""
    path = folder(settings) / name
    if not FILE.fullmatch(name) or not path.exists():
        print("eslbot show: there is no recording of it here", file=sys.stderr)
        return 1
    try:
        out.write_bytes(read(path, store.seal.audio_keys))
    except (OSError, RecordingError) as error:
        print(f"eslbot show: {error}", file=sys.stderr)
        return 1
    with store.begin() as connection:
        store.audit(connection, "listened", one["uuid"])
    return 0


def _yes(value: bool | None) -> str:
    return "?" if value is None else "yes" if value else "no"


def _day(at: float | None) -> str:
    with contextlib.suppress(ValueError, OverflowError, OSError):
        return datetime.datetime.fromtimestamp(at or 0).strftime("%Y-%m-%d %H:%M:%S")
    return "?"


def _printable(text: str) -> str:
    """What a caller or a model said, without what a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in text)
