"""A call's mailbox: one thing at a time, timers that may be replaced, and a bound."""

from __future__ import annotations

import gevent
import pytest

from eslbot.mailbox import MAX_WAITING, Mailbox


def drain(mailbox: Mailbox, condition: object) -> None:
    with gevent.Timeout(5):
        while not condition():  # type: ignore[operator]
            mailbox.next()


def test_what_was_posted_is_handled_in_order():
    mailbox, seen = Mailbox(), []
    for n in range(5):
        mailbox.post(seen.append, n)
    drain(mailbox, lambda: len(seen) == 5)
    assert seen == [0, 1, 2, 3, 4]


def test_a_timer_runs_once_and_one_that_was_replaced_or_taken_back_does_not():
    mailbox, seen = Mailbox(), []
    mailbox.timer("a", 0.01, lambda: seen.append("old"))
    mailbox.timer("a", 0.02, lambda: seen.append("new"))
    mailbox.timer("b", 0.03, lambda: seen.append("never"))
    mailbox.no_timer("b", "no such")
    mailbox.timer("c", 0.06, lambda: seen.append("last"))
    drain(mailbox, lambda: "last" in seen)
    assert seen == ["new", "last"]


def test_an_action_may_take_back_a_timer_that_is_due_as_well():
    mailbox, seen = Mailbox(), []
    mailbox.timer("first", 0.0, lambda: mailbox.no_timer("second"))
    mailbox.timer("second", 0.0, lambda: seen.append("second"))
    mailbox.timer("end", 0.03, lambda: seen.append("end"))
    drain(mailbox, lambda: "end" in seen)
    assert seen == ["end"]


def test_timers_run_though_events_never_stop():
    mailbox, seen = Mailbox(), []
    mailbox.timer("a", 0.01, lambda: seen.append("timer"))

    def again() -> None:
        mailbox.post(again)

    again()
    drain(mailbox, lambda: seen)


def test_a_full_mailbox_takes_no_more_and_says_so():
    mailbox = Mailbox()
    assert all(mailbox.post(print) for _ in range(MAX_WAITING))
    assert not mailbox.post(print)


def test_what_a_handler_raises_reaches_the_call():
    mailbox = Mailbox()

    def fail() -> None:
        raise KeyError("x")

    mailbox.post(fail)
    with pytest.raises(KeyError):
        mailbox.next()
