"""How long the caller may be silent, by what was asked and what was heard of it."""

from __future__ import annotations

import pytest

from eslbot.endpointing import Endpointer, SpeechEnded
from eslbot.patience import silence_after_ms, silence_ms
from eslbot.vad import WINDOW_BYTES, WINDOW_MS
from tests.test_understanding import PARCELS
from workers.bot import load
from workers.messages import DialogState
from workers.settings import Settings

SETTINGS = Settings()
USUAL, LONG, SHORT = (
    SETTINGS.endpoint_silence_ms,
    SETTINGS.endpoint_number_ms,
    SETTINGS.endpoint_short_ms,
)
BOT = load(PARCELS)


def asked(slot: str | None) -> DialogState:
    return DialogState("pickup", {}, slot, today="2026-11-21")


@pytest.mark.parametrize(
    ("slot", "silence"),
    [
        (None, USUAL), ("confirm", USUAL), ("street", USUAL), ("size", USUAL), ("order", LONG),
        ("day", LONG), ("hour", LONG), ("sum", LONG), ("nothing", USUAL),
    ],
)  # fmt: skip
def test_a_number_has_more_time(slot: str | None, silence: int) -> None:
    assert silence_ms(SETTINGS, BOT, asked(slot)) == silence


@pytest.mark.parametrize(
    ("slot", "partial", "silence"),
    [
        ("order", "four two seven", LONG),
        ("order", "four two seven one nine", LONG),
        ("order", "four two seven one nine eight", SHORT),
        ("day", "the third", LONG),
        ("day", "the third of december", SHORT),
        ("sum", "twelve", LONG),
        ("sum", "twelve dollars and fifty cents", SHORT),
        ("size", "the large", SHORT),
        ("confirm", "yes", SHORT),
        ("confirm", "no", USUAL),
        (None, "yes", USUAL),
    ],
)
def test_what_is_complete_ends_soon_and_a_no_may_go_on(
    slot: str | None, partial: str, silence: int
) -> None:
    assert silence_after_ms(SETTINGS, BOT, asked(slot), partial) == silence


def ended_after_ms(one: Endpointer, speech_ms: int, quiet_ms: int) -> bool:
    """Whether an utterance ends within so much quiet."""
    window = b"\0" * WINDOW_BYTES
    events = []
    for _ in range(speech_ms // WINDOW_MS):
        events += one.window(window, 1.0)
    for _ in range(quiet_ms // WINDOW_MS):
        events += one.window(window, 0.0)
    return any(isinstance(event, SpeechEnded) for event in events)


def test_the_silence_that_ends_an_utterance_can_change_within_it() -> None:
    one = Endpointer(start=0.5, stop=0.35, min_speech_ms=96, silence_ms=640, preroll_ms=300,
                     max_ms=20_000, chunk_ms=100)  # fmt: skip
    one.silence_ms = LONG
    assert not ended_after_ms(one, 640, 960)  # a pause within a number
    one.silence_ms = SHORT
    assert ended_after_ms(one, 320, 512)  # its last figure
