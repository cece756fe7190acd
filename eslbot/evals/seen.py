"""What a call's log says of a step, and of the whole call. No I/O.

Entries are (what, fields) as listeners write them, see docs/streams.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

Entry = tuple[str, dict[str, Any]]


@dataclass(slots=True)
class Seen:
    """Of a step, or of a call. gap_s: from the caller's last sound to the bot's first.

    trouble: what kept the step from being done, or from being answered.
    """

    heard: list[str] = field(default_factory=list)
    intent: str | None = None
    decided: bool = False
    slots: dict[str, str] = field(default_factory=dict)
    tools: list[tuple[str, str]] = field(default_factory=list)  # name, status
    cited: list[str] = field(default_factory=list)  # passages, FILE#NUMBER
    recorded: bool = False
    said: str = ""
    gap_s: float | None = None
    trouble: str = ""
    transferred_to: str = ""
    outcome: str = ""
    variables: dict[str, str] = field(default_factory=dict)

    def read(self, entries: Iterable[Entry]) -> None:
        """Take over what these entries tell."""
        said: list[str] = []
        for what, of in entries:
            if what == "heard":
                self.heard.append(str(of.get("text", "")))
            elif what == "decided":
                self.decided = True
                self.intent = of.get("intent")
                self.slots = {k: str(v) for k, v in of.get("slots", {}).items()}
                self.cited += of.get("cited", [])
            elif what == "recording":
                self.recorded = True
            elif what == "tool":
                self.tools.append((str(of.get("name", "")), str(of.get("status", ""))))
            elif what == "said":
                said.append(str(of.get("text", "")))
        self.said = " ".join(said)


def answered(entries: Sequence[Entry]) -> bool:
    """Whether what the caller did was answered, and nothing is under way."""
    done = False
    for what, of in entries:
        if what in ("heard", "interrupted"):
            done = False
        elif what == "turn":
            # A turn that was merged with what followed, or interrupted, has a next one; after one
            # that ends with a person the call leaves, or it is said why not.
            done = of.get("outcome") not in ("merged", "human") and not of.get("interrupted")
        elif what == "said" and of.get("fixed"):
            done = True
    return done


def in_menu(entries: Iterable[Entry]) -> bool:
    """Whether the DTMF menu has the call."""
    inside = False
    for what, _ in entries:
        if what in ("menu", "resumed"):
            inside = what == "menu"
    return inside
