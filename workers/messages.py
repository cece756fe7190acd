"""What crosses the streams, one small dataclass per message, both directions.

    listener ──Audio, AudioEnd──▶ stt ──Partial, Final────────────────────┐
       │ ▲                                                                │
       │ └────────────────────────────────────────────────────────────────┤
       ├──Final──────────────────▶ llm ──Decision, Sentence, SentencesEnd─┤
       └──Sentence, SentencesEnd─▶ tts ──Speech, SpeechEnd────────────────┘

All goes through the listener, which owns the turn: where a stage is tried twice, it alone says
whose result counts. Each stage also says Started and, where it gives up, Failed; Cancel goes
from the listener to a stage. Before llm calls a tool of the bot's it says Working and waits for the
listener's Proceed; what came of it is Worked.

A message is one stream entry: field `t` names its type, the others are its own. Bytes cross
as they are, text as UTF-8, numbers as decimal text, the rest as JSON. On the listener's own
stream an entry carries its address too: `call`, `epoch`, `attempt`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

MAX_TEXT_CHARACTERS = 4000
MAX_PCM_BYTES = 64_000  # four seconds at 8 kHz: no single entry is larger
ALL = -1  # attempts of a turn
# Epoch of a Final that opens a turn: words typed for a call, where nobody speaks (a test, a chat).
TYPED = 0

Stage = Literal["stt", "llm", "tts"]
# tool: what the open intent ends in has to be done first; it never leaves the worker.
Action = Literal["none", "transfer", "menu", "hangup", "tool"]


class MessageError(Exception):
    """An entry that is not one of ours: unknown type, missing or malformed field."""


@dataclass(frozen=True, slots=True)
class Step:
    """An intent that waits for its turn, with what was said along with it."""

    intent: str
    slots: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DialogState:
    """What a call knows so far; the listener keeps it, a Decision replaces it.

    asked: the slot just asked for, "confirm" when a yes or no is awaited, or "which" when it is
    asked which of the slots is wrong.
    misses: turns in a row that were not understood.
    pending: what else the caller wants, in this order, once the open intent is done.
    turns: of the caller, so far. since: the turn in which a slot got its value.
    last: the intent that was done last. summary: what was done in this call, in short.
    today: the day of the call, ISO 8601; language: the one it goes on in, None: as it began.
    """

    intent: str | None = None
    slots: dict[str, str] = field(default_factory=dict)
    asked: str | None = None
    misses: int = 0
    pending: tuple[Step, ...] = ()
    turns: int = 0
    since: dict[str, int] = field(default_factory=dict)
    last: str | None = None
    summary: str = ""
    today: str = ""
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the conversation; the bot's own cut to what the caller heard."""

    who: Literal["caller", "bot"]
    text: str


@dataclass(frozen=True, slots=True)
class Audio:
    """Caller's audio, L16 mono 8000 Hz; seq counts from 0 within the utterance."""

    seq: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class AudioEnd:
    """The utterance is over."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Whoever reads this stops work: on attempt so-and-so, or on all of the turn (ALL)."""

    attempt: int = ALL


@dataclass(frozen=True, slots=True)
class Started:
    """A worker took the stage's job. level: of the engine that it works with, 0 the first.
    worker: its name, by which it says that it lives."""

    stage: Stage
    engine: str
    level: int = 0
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Partial:
    """What is recognised so far, the caller still speaking."""

    text: str


@dataclass(frozen=True, slots=True)
class Final:
    """The utterance as text. confidence: 0 to 1. keyed: it was entered by DTMF. private: of the
    call, what stands behind the placeholders of redaction/."""

    text: str
    confidence: float = 1.0
    keyed: bool = False
    private: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence to be spoken; index counts from 0 within the turn.

    language: where it is another than the turn's. outside: what a provider may see of the text;
    None: nobody has looked, and all that could be private is withheld from it.
    """

    index: int
    text: str
    language: str = ""
    outside: str | None = None


@dataclass(frozen=True, slots=True)
class SentencesEnd:
    """No more sentences come; count of those sent."""

    count: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What the turn comes to: the new state, what is expected next, and what to do
    once everything was said. destination names one of the bot's, never a number.

    intent: what the utterance was taken for; state.intent is what is still open of it.
    cited: passages of the bot's knowledge that the answer stands on. route: the model that
    answered, "" where there are no routes. mood: what was noticed of the caller's. rules: those of
    the bot's that acted.
    """

    state: DialogState
    action: Action = "none"
    destination: str | None = None
    intent: str | None = None
    cited: tuple[str, ...] = ()
    route: str = ""
    mood: dict[str, str] = field(default_factory=dict)
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Working:
    """A worker is about to call a tool of the bot, and waits for Proceed. act: names what is to be
    done, the same for each attempt at it."""

    tool: str
    act: str


@dataclass(frozen=True, slots=True)
class Proceed:
    """The listener's word on Working, for one attempt. key: under which it is done. go False: it
    may have been done already, by an attempt that broke off."""

    attempt: int
    act: str
    key: str
    go: bool


@dataclass(frozen=True, slots=True)
class Worked:
    """What became of a tool's call: see acting.Result. code: of HTTP, 0: none came."""

    tool: str
    status: str
    code: int
    ms: int


@dataclass(frozen=True, slots=True)
class Speech:
    """Audio of a sentence, L16 mono 8000 Hz; seq counts from 0 within the sentence."""

    index: int
    seq: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class SpeechEnd:
    """Sentence index is complete; last=True: and it was the turn's last one."""

    index: int
    last: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt gave up. reason is for the operator and holds nothing of caller or model."""

    stage: Stage
    reason: str


Message = (
    Audio
    | AudioEnd
    | Cancel
    | Started
    | Partial
    | Final
    | Sentence
    | SentencesEnd
    | Decision
    | Working
    | Proceed
    | Worked
    | Speech
    | SpeechEnd
    | Failed
)


@dataclass(frozen=True, slots=True)
class Turn:
    """What a stage's job is told: whose turn, how it looks to the bot, and its time.

    epoch: grows by one with each turn of a call; an answer with another epoch is not played.
    out: the listener's own stream. bot: the sha under which the definition lies in Redis.
    listen_s: how long the input may take to arrive. answer_s: how long the stage itself may take.
    attempt: counts from 0 within turn and stage. level: 0 the stage's engine, 1 its backup, and
    so on down to the embedded one. said: the sentences of this answer that are out already, from
    an attempt that broke off: llm goes on after them, tts leaves them out. interruptions: how often
    the caller cut the bot off. ruled: rules of the bot that have acted in this call.
    """

    call: str
    epoch: int
    out: str
    bot: str
    listen_s: float
    answer_s: float
    language: str = "en"
    state: DialogState = field(default_factory=DialogState)
    history: tuple[Line, ...] = ()
    attempt: int = 0
    level: int = 0
    said: tuple[str, ...] = ()
    interruptions: int = 0
    ruled: tuple[str, ...] = ()


_TYPES: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Message)}
_HINTS: dict[type[Any], dict[str, Any]] = {
    kind: get_type_hints(kind) for kind in (*get_args(Message), Step, DialogState, Line, Turn)
}


# By type: its name on the wire, and its fields: (name, name on the wire, type).
_LAYOUT: dict[type[Any], tuple[bytes, tuple[tuple[str, bytes, Any], ...]]] = {
    kind: (
        kind.__name__.encode(),
        tuple((name, name.encode(), hint) for name, hint in _HINTS[kind].items()),
    )
    for kind in get_args(Message)
}


def encode(message: Message) -> dict[str, bytes]:
    """The stream entry of a message. Raises MessageError where it is over its bounds."""
    tag, layout = _LAYOUT[type(message)]
    fields = {"t": tag}
    for name, _, hint in layout:
        value = getattr(message, name)
        if hint is bytes:
            if len(value) > MAX_PCM_BYTES:
                raise MessageError(f"{name}: {len(value)} bytes, over {MAX_PCM_BYTES}")
            fields[name] = value
        elif hint is str:
            # Surrogates come from careless JSON of a provider; they have no UTF-8.
            fields[name] = value[:MAX_TEXT_CHARACTERS].encode("utf-8", "replace")
        elif hint is int:
            fields[name] = b"%d" % value
        else:
            fields[name] = json.dumps(value, default=_fields).encode()
    return fields


def decode(entry: Mapping[bytes, bytes]) -> Message:
    """The message of a stream entry; fields it does not know are left alone."""
    kind = _TYPES.get(entry.get(b"t", b"").decode("ascii", "replace"))
    if kind is None:
        raise MessageError("unknown type of message")
    values: list[Any] = []
    try:
        for name, key, hint in _LAYOUT[kind][1]:
            raw = entry[key]
            if hint is bytes:
                if len(raw) > MAX_PCM_BYTES:
                    raise MessageError(f"{kind.__name__}.{name} is over its bound")
                values.append(raw)
            elif hint is str:
                values.append(raw.decode()[:MAX_TEXT_CHARACTERS])
            else:
                values.append(_typed(json.loads(raw), hint))
        message: Message = kind(*values)
    except (KeyError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise MessageError(f"{kind.__name__}: {type(error).__name__}") from None
    return message


def turn_to_json(turn: Turn) -> str:
    return json.dumps(turn, default=_fields)


def turn_from_json(text: str) -> Turn:
    """Raises MessageError."""
    try:
        turn: Turn = _typed(json.loads(text), Turn)
        return turn
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise MessageError(f"Turn: {type(error).__name__}") from None


def _fields(value: Any) -> dict[str, Any]:
    """A dataclass of ours for JSON, without the deep copy that dataclasses.asdict makes."""
    return {name: getattr(value, name) for name in _HINTS[type(value)]}


def _typed(value: Any, hint: Any) -> Any:
    """A JSON value as a field of the declared type. Raises TypeError, ValueError or
    OverflowError where it is another: whoever takes it relies on its type."""
    if hint in (int, bool, str):
        if type(value) is not hint:
            raise TypeError(hint.__name__)
        if hint is str and len(value) > MAX_TEXT_CHARACTERS:
            raise ValueError("too long")
        return value
    if hint is float:
        if type(value) not in (int, float) or not math.isfinite(value):
            raise TypeError("float")
        return float(value)
    if hint in _HINTS:
        if type(value) is not dict:
            raise TypeError(hint.__name__)
        known = {name: _typed(value[name], h) for name, h in _HINTS[hint].items() if name in value}
        return hint(**known)
    origin, of = get_origin(hint), get_args(hint)
    if origin is Literal:
        if value not in of:
            raise ValueError("none of those there are")
        return value
    if origin is dict:
        if type(value) is not dict:
            raise TypeError("dict")
        return {name: _typed(held, of[1]) for name, held in value.items()}
    if origin is tuple:
        if type(value) is not list:
            raise TypeError("list")
        return tuple(_typed(held, of[0]) for held in value)
    # What is left is `X | None`.
    return None if value is None else _typed(value, of[0])
