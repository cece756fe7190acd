"""The states of a call and every transition there is: one table.

connecting ─▶ speaking ◀──▶ listening ─▶ hearing ─▶ thinking ─▶ speaking
                  └────────────┴──▲─────────┴──────────┴──▶ menu
                                  └──────── resume ──────────┘
any ─▶ leaving (another extension has the caller) ─▶ ended          any ─▶ ended
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    CONNECTING = "connecting"  # no media yet
    SPEAKING = "speaking"  # the bot speaks, and listens
    LISTENING = "listening"  # it is the caller's turn
    HEARING = "hearing"  # the caller speaks or keys in
    THINKING = "thinking"  # the utterance is over, nothing is heard yet
    MENU = "menu"  # the DTMF menu, without any worker
    LEAVING = "leaving"  # handed over to the dialplan, or hanging up
    ENDED = "ended"


class Event(Enum):
    SPEAK = "the bot begins to speak"
    SAID = "the bot has said all"
    ONSET = "the caller begins to speak or to key in"
    ENDPOINT = "the caller's utterance is over"
    DISCARD = "the onset was nothing"
    FAIL = "the assistant can't go on"
    RESUME = "the caller goes back to the assistant"
    HAND_OVER = "the caller goes elsewhere"
    CLOSE = "the caller or the switch is gone"


_ALWAYS = {Event.HAND_OVER: State.LEAVING, Event.CLOSE: State.ENDED}

TABLE: dict[State, dict[Event, State]] = {
    State.CONNECTING: {Event.SPEAK: State.SPEAKING, Event.FAIL: State.MENU} | _ALWAYS,
    State.SPEAKING: {
        Event.SAID: State.LISTENING,
        Event.ONSET: State.HEARING,
        Event.FAIL: State.MENU,
    }
    | _ALWAYS,
    State.LISTENING: {
        Event.SPEAK: State.SPEAKING,
        Event.ONSET: State.HEARING,
        Event.FAIL: State.MENU,
    }
    | _ALWAYS,
    State.HEARING: {
        Event.ENDPOINT: State.THINKING,
        Event.DISCARD: State.LISTENING,
        Event.FAIL: State.MENU,
    }
    | _ALWAYS,
    State.THINKING: {
        Event.SPEAK: State.SPEAKING,
        Event.ONSET: State.HEARING,
        Event.FAIL: State.MENU,
    }
    | _ALWAYS,
    State.MENU: {Event.RESUME: State.LISTENING} | _ALWAYS,
    State.LEAVING: {Event.CLOSE: State.ENDED},
    State.ENDED: {},
}


class TransitionError(Exception):
    """An event that the state has no transition for: a defect of ours."""


def after(state: State, event: Event) -> State:
    """The state that follows. Raises TransitionError."""
    try:
        return TABLE[state][event]
    except KeyError:
        raise TransitionError(f"{event.name} in {state.name}") from None
