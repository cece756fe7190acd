"""What the log of a call comes to, as the list of calls shows it. Pure: entries in, summary out.

The page of one call tells the whole story, from the same entries: static/story.js.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_WORDS = 200  # characters that are shown of what was said
MAX_SEARCHED = 4000  # characters of a call that a search looks at
SHOWN = (
    "uuid", "began", "last", "caller", "called", "bot", "listener", "state", "words", "who",
    "intent", "turns", "failures", "wait_ms", "turn_outcome",
    "outcome", "reason",
)  # fmt: skip
# Of those intervals the first one that there is says how long the caller waited.
WAITS = ("first_frame_ms", "first_speech_ms")


@dataclass(slots=True)
class Summary:
    """began, last: seconds since 1970. wait_ms: the last turn's, from the caller's last word to
    our first frame."""

    uuid: str
    began: float = 0.0
    last: float = 0.0
    caller: str = ""
    called: str = ""
    bot: str = ""
    listener: str = ""
    state: str = "connecting"
    words: str = ""
    who: str = ""  # whose words: caller or bot
    intent: str = ""
    turns: int = 0
    failures: int = 0
    wait_ms: int | None = None
    turn_outcome: str = ""  # the last one's
    outcome: str = ""
    reason: str = ""
    hung_up: bool = False  # and the log is complete
    text: str = field(default="", repr=False)  # what a search looks at

    @property
    def over(self) -> bool:
        """Our part of the call."""
        return bool(self.outcome)

    def take(self, at: float, what: str, of: Mapping[str, Any]) -> None:
        """One entry of the call's log."""
        self.began = self.began or at
        self.last = at
        told = getattr(self, f"_{what}", None)
        if told is not None:
            told(of)

    def _call(self, of: Mapping[str, Any]) -> None:
        self.caller, self.called = str(of.get("caller_shown", "")), str(of.get("called", ""))
        self.bot, self.listener = str(of.get("bot", "")), str(of.get("listener", ""))
        self._find(f"{self.uuid} {self.caller} {self.called} {self.bot}")

    def _state(self, of: Mapping[str, Any]) -> None:
        self.state = str(of.get("state", ""))

    def _partial(self, of: Mapping[str, Any]) -> None:
        self._say("caller", of.get("text"))

    def _heard(self, of: Mapping[str, Any]) -> None:
        self._say("caller", of.get("text"))
        self._find(str(of.get("text", "")))

    def _said(self, of: Mapping[str, Any]) -> None:
        self._say("bot", of.get("text"))
        self._find(str(of.get("text", "")))

    def _decided(self, of: Mapping[str, Any]) -> None:
        self.intent = str(of.get("intent") or self.intent)
        self._find(self.intent)

    def _turn(self, of: Mapping[str, Any]) -> None:
        if of.get("outcome") in ("merged", "discarded"):
            return
        self.turns += 1
        self.turn_outcome = str(of.get("outcome", ""))
        for name in WAITS:
            if isinstance(of.get(name), int):
                self.wait_ms = of[name]
                return

    def _failed(self, of: Mapping[str, Any]) -> None:
        self.failures += 1

    def _menu(self, of: Mapping[str, Any]) -> None:
        self.reason = str(of.get("reason", ""))

    def _ended(self, of: Mapping[str, Any]) -> None:
        self.outcome, self.reason = str(of.get("outcome", "")), str(of.get("reason", ""))
        self._find(f"{self.outcome} {self.reason}")

    def _hangup(self, of: Mapping[str, Any]) -> None:
        self.hung_up = True

    def _say(self, who: str, text: Any) -> None:
        if text:
            self.who, self.words = who, str(text)[:MAX_WORDS]

    def _find(self, text: str) -> None:
        self.text = f"{self.text} {text.lower()}"[:MAX_SEARCHED]

    def matches(self, query: str) -> bool:
        """Whether all words of the query stand somewhere in the call."""
        return all(word in self.text for word in query.lower().split())

    def shown(self) -> dict[str, Any]:
        """As JSON, for the page."""
        return {name: getattr(self, name) for name in SHOWN}
