"""Doors: how a call comes in, and what can be done with it.

    FreeSWITCH ── ESL + unicast, mod_audio_stream, mod_audio_fork ── esl.py ─┐
    Asterisk ──── AudioSocket ─────────────────────────────── audiosocket.py ─┼─▶ call.py
    a browser ─── WebSocket ──────────────────────────────────── browser.py ─┘

A call knows its door by what stands here and by nothing else, so that turns, barge-in, the DTMF
menu and the counts are the same behind each of them. docs/doors.md compares them.

    DoorError            the door can't do what was asked, or is disturbed
    └── DoorClosed       the connection is over; str() says how. A hang-up is an ordinary ending
    NotOurs              what comes in is no call for us; why is one of accounts.REFUSALS
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

# Labels of the metrics.
KINDS = ("freeswitch", "stream", "fork", "audiosocket", "browser")
DIGITS = frozenset("0123456789*#ABCD")
REACH = "eslbot_reach_"


class DoorError(Exception):
    """Anything that ends or disturbs a call's connection."""


class DoorClosed(DoorError):
    """The connection is over."""


class NotOurs(Exception):
    """Nothing that came in is handed on. why: one of accounts.REFUSALS; str(): for the log."""

    def __init__(self, why: str, reason: str) -> None:
        super().__init__(reason)
        self.why = why


class Flag(Protocol):
    def is_set(self) -> bool: ...


class Port(Protocol):
    """A door's frames, polled by the clock: nothing here waits; see media/unicast.py."""

    @property
    def started(self) -> bool: ...
    @property
    def frame_bytes(self) -> int: ...
    @property
    def lead_frames(self) -> int:
        """Frames that have to be ahead of time here, at the least."""

    def receive(self) -> bytes: ...
    def send(self, frame: bytes) -> None: ...
    def clear(self) -> None:
        """The bot was interrupted: what was sent and not heard yet is to be dropped, where it can
        be."""

    def close(self) -> None: ...


class Ears(Protocol):
    """What a door tells its call, from any greenlet; nothing here waits."""

    def key(self, digit: str) -> None:
        """One of DIGITS was pressed."""

    def hung_up(self) -> None:
        """The call is over."""

    def over(self, cause: str, disposition: str) -> None:
        """The same, and who ended it; see accounts.BY_CALLER."""

    def media_gone(self, reason: str) -> None:
        """No sound comes or goes any more."""

    def taken(self) -> None:
        """Somebody else has the caller now."""


class Target(Protocol):
    """One of the bot's destinations."""

    @property
    def extension(self) -> str | None:
        """None: the dialplan reaches him in a way of its own, at REACH and his name."""

    @property
    def context(self) -> str: ...


class Door(Protocol):
    """One call's connection. What takes time raises DoorError, or DoorClosed.

    kind: one of KINDS. closed: set when the connection has ended. steady: sound comes without a
    break; where it stays away, media is broken. watched: the other side has a timer, which renew()
    winds up. follows: after a transfer the door still tells how the call ended.
    """

    kind: str
    steady: bool
    watched: bool
    follows: bool

    @property
    def name(self) -> str:
        """For log lines."""

    @property
    def uuid(self) -> str:
        """Of the call, in a UUID's form."""

    @property
    def closed(self) -> Flag: ...

    def arrive(self) -> None:
        """Learn who calls. Raises NotOurs."""

    def attach(self, ears: Ears) -> None:
        """From now on everything is told to ears."""

    def variable(self, name: str) -> str:
        """What the call brought along under this name; "" for nothing."""

    def numbers(self) -> tuple[str, str]:
        """(the caller's, the one called), as far as they are known."""

    def answer(self) -> None: ...

    def media(self) -> Port:
        """Begin with sound both ways. Raises MediaError, too."""

    def renew(self) -> None: ...

    def set_variables(self, values: Mapping[str, str]) -> None:
        """Onto the call, for whoever gets it; does not wait."""

    def transfer(self, name: str, target: Target, values: Mapping[str, str]) -> None:
        """Give the caller to one of the bot's destinations, with these variables for who takes
        him."""

    def native_menu(self) -> None:
        """Give the caller to the switch's own menu."""

    def hang_up(self) -> None: ...

    def let_go(self) -> None:
        """The call is not ours any more; only its end is of interest."""

    def tell(self, what: str, fields: Mapping[str, Any]) -> None:
        """What happens in the call, as in its log; does not wait."""

    def network(self) -> dict[str, int]:
        """`network_ms`, from the wire to the caller's ear, where the other side measures it."""

    def switch_status(self) -> str:
        """What the switch says of its own load; "" where it says nothing."""

    def close(self) -> None:
        """End the connection, not the call."""
