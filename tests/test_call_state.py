"""The states of a call: the table is whole, and always has a way out."""

from __future__ import annotations

import pytest

from eslbot.call_state import TABLE, Event, State, TransitionError, after


def test_every_state_stands_in_the_table():
    assert set(TABLE) == set(State)


@pytest.mark.parametrize("state", [s for s in State if s is not State.ENDED])
def test_from_every_state_the_call_can_end(state):
    assert after(state, Event.CLOSE) is State.ENDED


@pytest.mark.parametrize("state", [s for s in State if s not in (State.ENDED, State.LEAVING)])
def test_from_every_state_of_a_conversation_the_caller_can_be_handed_over(state):
    assert after(state, Event.HAND_OVER) is State.LEAVING


@pytest.mark.parametrize(
    "state",
    [State.CONNECTING, State.SPEAKING, State.LISTENING, State.HEARING, State.THINKING],
)
def test_the_assistant_may_fail_at_any_time_and_the_menu_takes_over(state):
    assert after(state, Event.FAIL) is State.MENU


def test_every_state_is_reached():
    reached = {State.CONNECTING} | {to for row in TABLE.values() for to in row.values()}
    assert reached == set(State)


def test_what_is_not_in_the_table_is_an_error():
    with pytest.raises(TransitionError):
        after(State.ENDED, Event.SPEAK)
    with pytest.raises(TransitionError):
        after(State.MENU, Event.ONSET)
