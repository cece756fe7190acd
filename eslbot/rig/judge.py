"""What a caller went through, told from the recording of the bot's side alone.

    bot's side    ▁▁▁████ greeting ████▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁███ part 0 ██▁█ last ██▁▁▁▁▁▁▁▁▁▁
    caller                                  ▟███████▙
    silence       ├─┤                                ├──────┤         ├┤

The silence that counts is the bot's outside the caller's own turn. The caller's own turn is while
the caller speaks or keys; and after the bot has said something complete (the last part of an
answer or a fixed phrase to its end, but a filler is nothing complete), until the bot says more or
the caller's next utterance ends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from eslbot.rig.tones import RULES_TURN, Fixed, Heard, Mark, decode

HOLE_S: Final = 0.2  # frames so late are a hole in a phrase, not its end
COMPLETE_S: Final = 0.1  # so much may be missing of what was heard to its end
RESUMED_S: Final = 0.2  # so much of a part may be heard again where it was taken up again
LATE_S: Final = 0.3  # an answer may go on for so long after it was overtaken: frames on their way

Span = tuple[float, float]  # start, end in seconds of the recording


@dataclass(frozen=True)
class Verdict:
    """heard: the stretches of sound, in order.

    longest_silence_s, silence_at_s: the longest that counts, and where it begins; 0.0 at began_s
        when there was none.
    twice: parts of answers that were said again.
    foreign: marks of other calls.
    late: parts of an answer that were heard when the caller's next utterance was over already.
    answered: a mark of this call was heard.
    fallback: a phrase was heard that stands for the fallback.
    """

    heard: list[Heard]
    longest_silence_s: float
    silence_at_s: float
    twice: list[Mark] = field(default_factory=list)
    foreign: list[Mark] = field(default_factory=list)
    late: list[Mark] = field(default_factory=list)
    answered: bool = False
    fallback: bool = False


def judge(
    bot: NDArray[np.int16],
    caller_spoke: Sequence[Span],
    began_s: float,
    ended_s: float,
    phrases_s: Mapping[int, float],
    part_s: Callable[[Mark], float],
    *,
    own: int,
    not_final: Collection[int] = (),
    fallbacks: Collection[int] = (),
    voices_final: bool = False,
) -> Verdict:
    """All times in seconds of the recording `bot`, which is 8000 Hz.

    caller_spoke: start and end of each of the caller's utterances or key entries, in order; the
        n-th is turn n of the marks, so what the bot takes as one utterance has to be one here.
    began_s, ended_s: of the call. What is beyond the recording's end is silence.
    phrases_s: full length of each Fixed phrase by its index. One that is not in it is taken to
        be complete wherever it ends.
    part_s: full length of an answer's part.
    own: the number of this call. not_final: indexes of fillers. fallbacks: indexes of phrases
        of the fallback.

    voices_final: what is no mark is taken for a whole answer, which it may not be: for an engine
        that can't speak in marks.

    Raises ValueError for times that are not in order.
    """
    _in_order([(began_s, ended_s)], "the call")
    _in_order(caller_spoke, "caller_spoke")
    heard = decode(bot)
    complete = _complete(heard, caller_spoke, phrases_s, part_s, not_final)
    if voices_final:
        complete = [c or one.what is None for c, one in zip(complete, heard, strict=True)]
    owned = [*caller_spoke, *_waiting(heard, complete, caller_spoke, ended_s)]
    silent = _without([(began_s, ended_s)], [(one.start_s, one.end_s) for one in heard])
    counted = _without(silent, owned)
    at_s, until_s = max(counted, key=lambda span: span[1] - span[0], default=(began_s, began_s))
    marks = [one.what for one in heard if isinstance(one.what, Mark)]
    fixed = {one.what.index for one in heard if isinstance(one.what, Fixed)}
    return Verdict(
        heard=heard,
        longest_silence_s=until_s - at_s,
        silence_at_s=at_s,
        twice=_twice(heard, caller_spoke, part_s),
        foreign=list(dict.fromkeys(mark for mark in marks if mark.call != own)),
        late=_late(heard, caller_spoke, own),
        answered=any(mark.call == own for mark in marks),
        fallback=not fixed.isdisjoint(fallbacks),
    )


def _complete(
    heard: Sequence[Heard],
    caller_spoke: Sequence[Span],
    phrases_s: Mapping[int, float],
    part_s: Callable[[Mark], float],
    not_final: Collection[int],
) -> list[bool]:
    """For each stretch, whether the bot had said something complete at its end."""
    so_far: dict[object, float] = defaultdict(float)  # of parts that were taken up again
    found = []
    before: Heard | None = None
    phrase_s = 0.0  # of the phrase, over holes where frames were late
    for one in heard:
        length = one.end_s - one.start_s
        done = False
        goes_on = before is not None and before.what == one.what
        goes_on = goes_on and before is not None and one.start_s - before.end_s <= HOLE_S
        phrase_s = phrase_s + length if goes_on else length
        before = one
        if isinstance(one.what, Fixed):
            length = phrase_s
            full = phrases_s.get(one.what.index, 0.0)
            done = one.what.index not in not_final and length >= full - COMPLETE_S
        elif one.what is not None and one.what.last:
            asked = _asked(one.what, one, caller_spoke)
            so_far[asked] += length
            done = so_far[asked] >= part_s(one.what) - COMPLETE_S
            if done:
                so_far[asked] = 0.0
        found.append(done)
    return found


def _waiting(
    heard: Sequence[Heard],
    complete: Sequence[bool],
    caller_spoke: Sequence[Span],
    ended_s: float,
) -> list[Span]:
    """Where the bot rightly waits for the caller: the next sound ends it, or the utterance."""
    found = []
    starts = [*(one.start_s for one in heard[1:]), ended_s]
    for one, done, next_s in zip(heard, complete, starts, strict=False):
        if done:
            ends = [end for _, end in caller_spoke if end > one.end_s]
            found.append((one.end_s, min([next_s, *ends])))
    return found


def _asked(mark: Mark, one: Heard, caller_spoke: Sequence[Span]) -> object:
    """What makes the same mark the same answer: one that carries no turn answers the utterance
    before it, and may be given again to the next."""
    if mark.turn != RULES_TURN:
        return mark
    return mark, sum(end <= one.start_s for _, end in caller_spoke)


def _twice(
    heard: Sequence[Heard], caller_spoke: Sequence[Span], part_s: Callable[[Mark], float]
) -> list[Mark]:
    stretches: dict[object, list[Heard]] = defaultdict(list)
    for one in heard:
        if isinstance(one.what, Mark):
            stretches[_asked(one.what, one, caller_spoke)].append(one)
    found: list[Mark] = []
    for same in stretches.values():
        mark = same[0].what
        length = sum(one.end_s - one.start_s for one in same)
        if isinstance(mark, Mark) and len(same) > 1 and length > part_s(mark) + RESUMED_S:
            found.append(mark)
    return list(dict.fromkeys(found))


def _late(heard: Sequence[Heard], caller_spoke: Sequence[Span], own: int) -> list[Mark]:
    found = []
    for one in heard:
        mark = one.what
        if not isinstance(mark, Mark) or mark.call != own or mark.turn == RULES_TURN:
            continue
        if mark.turn < len(caller_spoke):
            over_s = caller_spoke[mark.turn][1]  # of utterance turn + 1
            if one.start_s >= over_s or one.end_s > over_s + LATE_S:
                found.append(mark)
    return list(dict.fromkeys(found))


def _without(spans: Sequence[Span], holes: Sequence[Span]) -> list[Span]:
    """What is left of the spans."""
    left = list(spans)
    for start, end in holes:
        cut = [piece for a, b in left for piece in ((a, min(b, start)), (max(a, end), b))]
        left = [(a, b) for a, b in cut if a < b]
    return left


def _in_order(spans: Sequence[Span], name: str) -> None:
    times = [time for span in spans for time in span]
    if not all(one <= other for one, other in pairwise(times)):
        raise ValueError(f"{name}: times that are not in order: {list(spans)}")
