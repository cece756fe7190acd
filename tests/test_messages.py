"""Messages: what is sent comes back the same, and garbage is refused."""

from __future__ import annotations

import json
import random
from typing import get_args

import pytest

from workers.messages import (
    MAX_PCM_BYTES,
    MAX_TEXT_CHARACTERS,
    Audio,
    AudioEnd,
    Cancel,
    Decision,
    DialogState,
    Failed,
    Final,
    Line,
    Message,
    MessageError,
    Partial,
    Proceed,
    Sentence,
    SentencesEnd,
    Speech,
    SpeechEnd,
    Started,
    Step,
    Turn,
    Worked,
    Working,
    decode,
    encode,
    turn_from_json,
    turn_to_json,
)
from workers.streams import address

STATE = DialogState(
    "balance", {"account": "0042"}, "account", 1, (Step("hours"), Step("order", {"day": "x"})),
    7, {"account": 3}, "billing", "billing: done", "2026-11-21", "de",
)  # fmt: skip
EXAMPLES = [
    Audio(7, bytes(range(256))),
    AudioEnd(),
    Cancel(),
    Started("stt", "pocketsphinx"),
    Partial("what is my"),
    Final("what is my balance", 0.75, keyed=False),
    Final("0042", keyed=True),
    Sentence(1, "Gerne.", "de"),
    Sentence(2, "Your card 4242.", "", "Your card [CARD_1]."),
    Sentence(0, "Ça coûte 4,50 € — d'accord ?"),
    SentencesEnd(3),
    Decision(STATE, "transfer", "billing", "balance"),
    Decision(DialogState()),
    Speech(1, 2, b"\x00\xff" * 160),
    SpeechEnd(1, last=True),
    Working("balance", "0123456789abcdef"),
    Proceed(1, "0123456789abcdef", "call-7", go=True),
    Worked("balance", "ok", 200, 41),
    Failed("llm", "the provider answered 503"),
]


def on_the_wire(fields: dict[str, bytes]) -> dict[bytes, bytes]:
    return {name.encode(): value for name, value in fields.items()}


def test_each_type_of_message_has_an_example_here():
    assert {type(m) for m in EXAMPLES} == set(get_args(Message))


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_what_is_encoded_decodes_to_the_same(message):
    assert decode(on_the_wire(encode(message))) == message


def test_a_turn_survives_json():
    turn = Turn("c" * 36, 3, "eslbot:out:x", "ab12", 30.0, 5.0, "en", STATE,
                (Line("caller", "hello"), Line("bot", "hi")))  # fmt: skip
    assert turn_from_json(turn_to_json(turn)) == turn


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"call": 1}', "[" * 100_000])
def test_what_is_no_turn_is_refused(text):
    with pytest.raises(MessageError):
        turn_from_json(text)


def test_a_field_that_the_reader_does_not_know_is_left_alone():
    fields = on_the_wire(encode(Partial("x"))) | {b"newer": b"1"}
    assert decode(fields) == Partial("x")


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_a_message_without_one_of_its_fields_is_refused(message):
    fields = on_the_wire(encode(message))
    for name in fields:
        with pytest.raises(MessageError):
            decode({k: v for k, v in fields.items() if k != name})


def test_garbage_in_any_field_is_refused_or_read_but_never_anything_else():
    dice = random.Random(4271)
    for _ in range(20_000):
        fields = on_the_wire(encode(dice.choice(EXAMPLES)))
        fields[dice.choice(list(fields))] = dice.randbytes(dice.randrange(12))
        try:
            decode(fields)
        except MessageError:
            continue


@pytest.mark.parametrize(
    ("message", "name", "raw"),
    [
        (Decision(STATE), "state", b'{"intent": 7, "slots": {}, "asked": null, "misses": 0}'),
        (Decision(STATE), "state", b'{"slots": {"account": 4271}}'),
        (Decision(STATE), "state", b'{"slots": ["account"]}'),
        (Decision(STATE), "state", b'{"misses": true}'),
        (Decision(STATE), "state", b'{"intent": "%s"}' % (b"x" * 5000)),
        (Decision(STATE), "state", b"[]"),
        (Decision(STATE), "action", b'"explode"'),
        (Decision(STATE), "destination", b"[1]"),
        (Final("x"), "confidence", b"NaN"),
        (Final("x"), "confidence", b"1e999"),
        (Final("x"), "confidence", b"1" * 400),
        (Final("x"), "confidence", b'"0.5"'),
        (Final("x"), "confidence", b"true"),
        (Failed("llm", "x"), "stage", b'"cook"'),
        (SpeechEnd(0, False), "index", b"0.0"),
    ],
)
def test_a_field_of_another_type_is_refused(message, name, raw):
    fields = on_the_wire(encode(message))
    assert decode(fields) == message
    with pytest.raises(MessageError):
        decode(fields | {name.encode(): raw})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("epoch", "1"), ("epoch", None), ("call", 7), ("listen_s", "soon"), ("listen_s", True),
        ("history", [{"who": "nobody", "text": "x"}]), ("history", [{"who": "bot", "text": 1}]),
        ("history", "none"), ("state", None), ("state", {"slots": {"account": 4271}}),
    ],
)  # fmt: skip
def test_a_turn_with_a_part_of_another_type_is_refused(name, wrong):
    turn = Turn("c", 3, "eslbot:out:x", "ab12", 30.0, 5.0, "en", STATE, (Line("bot", "hi"),))
    values = json.loads(turn_to_json(turn))
    assert turn_from_json(json.dumps(values)) == turn
    with pytest.raises(MessageError):
        turn_from_json(json.dumps(values | {name: wrong}))


@pytest.mark.parametrize("epoch", [b"", b"-1", b"+1", b" 1", b"1_0", b"1.0", b"9" * 5000, b"\xd9"])
def test_an_address_whose_epoch_is_no_number_is_refused(epoch):
    good = {b"call": b"c", b"epoch": b"17", b"attempt": b"2"}
    assert address(good) == ("c", 17, 2)
    for name in (b"epoch", b"attempt"):
        with pytest.raises(MessageError):
            address(good | {name: epoch})


def test_too_much_audio_is_refused_on_both_sides():
    with pytest.raises(MessageError):
        encode(Audio(0, b"\0" * (MAX_PCM_BYTES + 1)))
    fields = on_the_wire(encode(Audio(0, b""))) | {b"pcm": b"\0" * (MAX_PCM_BYTES + 1)}
    with pytest.raises(MessageError):
        decode(fields)


def test_text_is_cut_to_its_bound_and_a_lone_surrogate_does_no_harm():
    sent = encode(Sentence(0, "a\ud800" + "x" * 2 * MAX_TEXT_CHARACTERS))
    heard = decode(on_the_wire(sent))
    assert isinstance(heard, Sentence)
    assert heard.text.startswith("a?x")
    assert len(heard.text) == MAX_TEXT_CHARACTERS
