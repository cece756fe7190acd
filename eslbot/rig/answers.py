"""What the rig's provider answers, and with what voice: everything names the call and the turn.

llm   "Marker call 1007 turn 2 part 0." "... part 1." "... part 2 last."
tts   such a sentence        ->  its Mark
      a known fixed phrase   ->  Fixed(its index)
      "account 1 0 0 7"      ->  Mark(1007, 19, 7, last): what a bot's own rules answer
      anything else          ->  Fixed(59)
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from eslbot.rig.tones import CALLS, FIXED, RATE_HZ, RULES_TURN, TURNS, Fixed, Mark, encode
from workers.resample import Resampler

SPOKEN_RATE_HZ: Final = 24000  # of OpenAI's response_format pcm
SENTENCES: Final = 3
OTHER: Final = Fixed(FIXED - 1)
LAST_TURN: Final = RULES_TURN - 1  # of the model's own; later ones are counted as this one
NO_CALL: Final = 0  # named where the state of the call holds no account
STATE: Final = "State of this call: "
S_PER_CHARACTER: Final = 0.06
SHORTEST_S, LONGEST_S = 0.6, 4.0
CACHED_TEXTS: Final = 256  # of 192 kB at most

_SENTENCE: Final = re.compile(r"Marker call (\d{1,4}) turn (\d{1,2}) part ([0-7])( last)?\.?")
_DIGITS: Final = {
    "zero": "0", "oh": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5",
    "six": "6", "seven": "7", "eight": "8", "nine": "9",
}  # fmt: skip
_DIGIT_WORD: Final = re.compile(rf"\b({'|'.join(_DIGITS)})\b", re.I)
_BETWEEN_DIGITS: Final = re.compile(r"(?<=\b\d)[ ,-]+(?=\d\b)")
_NUMBER: Final = re.compile(r"\b[1-9]\d{3}\b")
_PERSON: Final = re.compile(r"\b(person|human)\b", re.I)


def sentence(mark: Mark) -> str:
    """What the model says for a mark."""
    last = " last" if mark.last else ""
    return f"Marker call {mark.call} turn {mark.turn} part {mark.part}{last}."


def what(text: str, phrases: Sequence[str]) -> Mark | Fixed:
    """What is heard for a text."""
    text = " ".join(text.split())
    found = _SENTENCE.fullmatch(text)
    if found and int(found[2]) < TURNS:
        return Mark(int(found[1]), int(found[2]), int(found[3]), bool(found[4]))
    if text in phrases:
        return Fixed(phrases.index(text))
    joined = _DIGIT_WORD.sub(lambda word: _DIGITS[word[0].lower()], text)
    number = _NUMBER.search(_BETWEEN_DIGITS.sub("", joined))
    return Mark(int(number[0]), RULES_TURN, 7, True) if number else OTHER


def spoken_s(text: str) -> float:
    """How long a text takes to say, in seconds."""
    return min(max(S_PER_CHARACTER * len(text), SHORTEST_S), LONGEST_S)


def voice(phrases: Sequence[str]) -> Callable[[str], bytes]:
    """text -> L16 mono at SPOKEN_RATE_HZ; the last CACHED_TEXTS are kept."""

    @functools.lru_cache(CACHED_TEXTS)
    def speak(text: str) -> bytes:
        resampler = Resampler(RATE_HZ, SPOKEN_RATE_HZ)
        return resampler.feed(encode(what(text, phrases), spoken_s(text))) + resampler.flush()

    return speak


def call_and_turn(messages: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """(account of the call's state, or NO_CALL; which of the caller's turns this is, from 1)."""
    users = sum(message["role"] == "user" for message in messages)
    state = next(
        (m["content"] for m in messages if m["role"] == "system" and STATE in m["content"]), ""
    )
    try:
        call = int(json.loads(state.partition(STATE)[2].partition("\n")[0])["slots"]["account"])
    except (ValueError, KeyError, TypeError):
        call = NO_CALL
    return call if 0 <= call < CALLS else NO_CALL, min(users, LAST_TURN)


def deltas(messages: Sequence[dict[str, Any]], person: str) -> list[dict[str, Any]]:
    """The pieces of a streamed answer, word by word; or a transfer, if the caller asks for it."""
    said = [message["content"] for message in messages if message["role"] == "user"]
    first = {"role": "assistant"}
    if said and _PERSON.search(said[-1]):
        arguments = json.dumps({"destination": person})
        half = len(arguments) // 2
        functions = [
            {"name": "transfer", "arguments": arguments[:half]}, {"arguments": arguments[half:]},
        ]  # fmt: skip
        return [first, *({"tool_calls": [{"index": 0, "function": one}]} for one in functions)]
    call, turn = call_and_turn(messages)
    marks = [Mark(call, turn, part, part == SENTENCES - 1) for part in range(SENTENCES)]
    words = " ".join(map(sentence, marks)).split(" ")
    return [first, *({"content": word + " "} for word in words)]
