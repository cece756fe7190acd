"""The event socket's codec: captured conversations byte by byte, and what no switch should send."""

from __future__ import annotations

import itertools
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eslbot import esl
from eslbot.esl import Event, LocalProtocolError, Message, Parser, RemoteProtocolError

CAPTURES = sorted((Path(__file__).parent / "captures").glob("*.from_freeswitch.esl"))
UUID = "639c7676-e4ad-40ba-8fa8-737a69f4b5d3"


def parse(*chunks: bytes) -> list[Message]:
    parser = Parser()
    found = []
    for chunk in chunks:
        parser.receive_data(chunk)
        while (message := parser.next_message()) is not None:
            found.append(message)
    return found


def shape(messages: list[Message]) -> list[tuple[dict[str, str], bytes]]:
    return [(dict(m.headers), m.body) for m in messages]


def whole_messages(data: bytes) -> list[bytes]:
    """The bytes of each message."""
    parser = Parser()
    parser.receive_data(data)
    edges = [0]
    while parser.next_message() is not None:
        edges.append(len(data) - parser.buffered)
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@pytest.mark.parametrize("path", CAPTURES, ids=lambda p: p.name.split(".")[0])
def test_a_captured_conversation_byte_by_byte_is_what_it_is_in_one_piece(path):
    data = path.read_bytes()
    whole = parse(data)
    assert shape(parse(*(bytes([b]) for b in data))) == shape(whole)
    assert whole[0].headers["Event-Name"] == "CHANNEL_DATA"
    assert whole[0].reply == "+OK"
    assert sum(len(m.body) for m in whole) > 0


def test_a_captured_connect_reply_is_decoded():
    (first, *_) = parse(CAPTURES[-1].read_bytes())
    assert len(first.headers) > 160
    assert first.headers["Channel-Read-Codec-Name"] == "PCMU"
    assert first.headers["Channel-Name"] == "sofia/lab/1001@127.0.0.1"
    assert "\r\n" in first.headers["variable_switch_r_sdp"]


def test_captured_keys_and_completions_are_found():
    path = next(p for p in CAPTURES if p.name.startswith("playback"))
    found = [m.event() for m in parse(path.read_bytes()) if m.type == "text/event-plain"]
    keys = [e["DTMF-Digit"] for e in found if e["Event-Name"] == "DTMF"]
    assert keys == ["2", "7", "1", "#"]
    done = [e["Application-UUID"] for e in found if e["Event-Name"] == "CHANNEL_EXECUTE_COMPLETE"]
    assert "44444444-4444-4444-8444-444444444444" in done


def test_a_line_break_in_a_callers_name_makes_no_header():
    body = b"Event-Name: DTMF\nCaller-Caller-ID-Name: x%0AEvent-Name: SPOOF%0A%0A\nA: b\n\n"
    head = b"Content-Length: %d\nContent-Type: text/event-plain\n\n" % len(body)
    (message,) = parse(head + body)
    event = message.event()
    assert event["Event-Name"] == "DTMF"
    assert event["Caller-Caller-ID-Name"] == "x\nEvent-Name: SPOOF\n\n"
    assert set(event) == {"Event-Name", "Caller-Caller-ID-Name", "A"}


@pytest.mark.parametrize(
    "length",
    [b"-1", b"2147483647", b"1000000000", b"", b"10 junk", b"0x10", b"1e3", b"+5", b"9" * 5000],
)
def test_a_content_length_that_is_none_is_refused(length):
    with pytest.raises(RemoteProtocolError):
        parse(b"Content-Length: " + length + b"\nContent-Type: api/response\n\n")


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Length: 3\nContent-Length: 3\n\nabc",
        b"Content-Length: 3\ncontent-length: 5\n\nabc",
        b"no colon here\n\n",
        b"A: b\nno colon\nC: d\n\n",
        b"A: \0\n\n",
        b"A: b\n" * 100_000 + b"\n",
        b"A" * 1_000_000,
        b"A: " + b"b" * 1_000_000 + b"\n\n",
    ],
    ids=["twice", "twice otherwise spelt", "no colon", "one without", "zero", "100000", "endless",
         "long"],
)  # fmt: skip
def test_headers_that_are_none_are_refused(data):
    with pytest.raises(RemoteProtocolError):
        parse(data)


def test_a_header_that_never_ends_is_refused_while_it_comes():
    parser = Parser()
    with pytest.raises(RemoteProtocolError):
        for _ in range(1000):
            parser.receive_data(b"x" * 1000)
            parser.next_message()
    assert parser.buffered <= esl.MAX_HEADER_BYTES + 1000


def test_an_event_has_no_more_headers_than_a_message():
    body = b"".join(b"H%d:\n" % n for n in range(100_000)) + b"\n"
    assert len(body) < esl.MAX_BODY_BYTES
    head = b"Content-Type: text/event-plain\nContent-Length: %d\n\n" % len(body)
    (message,) = parse(head + body)
    with pytest.raises(RemoteProtocolError, match="more than 2000 headers"):
        message.event()


@pytest.mark.parametrize("space", ["\x0b", "\x1f", "\xa0", "\u3000", " "])
def test_a_length_that_a_reader_of_headers_would_see_is_the_one_that_counts(space):
    head = f"Content-Length{space}: 3\nContent-Type: api/response\n\n".encode()
    (message,) = parse(head + b"abc")
    assert message.headers["Content-Length"] == "3"
    assert message.body == b"abc"


def test_the_end_within_a_message_is_told():
    for data in (b"Content-Length: 10\n\nabc", b"Content-Type: api"):
        parser = Parser()
        parser.receive_data(data)
        assert parser.next_message() is None
        with pytest.raises(RemoteProtocolError):
            parser.receive_eof()


def test_odd_encodings_are_read_without_harm():
    body = b"A: \xff\xfe\nB: %zz%4\nC: %ff\n\n"
    head = b"Content-Length: %d\nContent-Type: text/event-plain\n\n" % len(body)
    event = parse(head + body)[0].event()
    assert event["B"] == "%zz%4"
    assert event["C"] == "\ufffd"
    assert "A" in event


def test_a_hundred_thousand_broken_captures_never_do_worse_than_being_refused():
    dice = random.Random(8084)
    sources = [message for path in CAPTURES for message in whole_messages(path.read_bytes())]
    tokens = [b"\n", b"\n\n", b":", b"\0", b"%0A", b"Content-Length: ", b"-1", b"99999999", b"\xff"]
    refused = 0
    began = time.monotonic()
    for _ in range(100_000):
        data = bytearray(dice.choice(sources))
        for _ in range(dice.randrange(1, 4)):
            at = dice.randrange(len(data) + 1)
            match dice.randrange(3):
                case 0:
                    data[at : at + 1] = bytes([dice.randrange(256)])
                case 1:
                    data[at:at] = dice.choice(tokens)
                case 2:
                    del data[at : at + dice.randrange(1, 40)]
        parser = Parser()
        try:
            parser.receive_data(bytes(data))
            while (message := parser.next_message()) is not None:
                dict(message.headers)
                dict(message.event())
            parser.receive_eof()
        except RemoteProtocolError:
            refused += 1
        assert parser.buffered <= len(data)
    assert 10_000 < refused < 90_000
    print(f"100000 inputs in {time.monotonic() - began:.1f} s, {refused} refused")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_however_it_is_cut_it_reads_the_same(data):
    raw = CAPTURES[0].read_bytes()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    edges = [0, *cuts, len(raw)]
    chunks = [raw[a:b] for a, b in itertools.pairwise(edges)]
    assert shape(parse(*chunks)) == shape(parse(raw))


# -- what we send


@pytest.mark.parametrize(
    "text", ["a\nb", "a\rb", "a\0b", "${x}", "a$b", "a{b", "a}b", "\ud800", "x" * 5000]
)
def test_what_could_be_more_than_one_argument_is_refused(text):
    with pytest.raises(LocalProtocolError) as caught:
        esl.argument(text)
    assert text not in str(caught.value)
    for build in (
        lambda: esl.command("api", text),
        lambda: esl.execute("set", text, UUID),
        lambda: esl.unicast(text, "127.0.0.1", 1),
        lambda: esl.unicast("127.0.0.1", text, 1),
    ):
        with pytest.raises(LocalProtocolError):
            build()


@settings(max_examples=1000, deadline=None)
@given(st.text(max_size=80))
def test_whatever_is_let_through_is_one_command(text):
    try:
        sent = esl.command("api", text)
    except LocalProtocolError:
        return
    assert sent.count(b"\n") == 2
    assert sent.endswith(b"\n\n")
    assert b"${" not in sent


@settings(max_examples=1000, deadline=None)
@given(st.text(max_size=400))
def test_any_text_can_be_made_a_harmless_value(text):
    value = esl.clean_value(text)
    assert len(value) <= esl.MAX_VALUE
    sent = esl.set_variables(UUID, {"ai_street": value})
    assert sent.count(b"\n") == 2
    assert sent.count(b";") == 0


def test_a_value_once_cleaned_stays_as_it_is():
    value = esl.clean_value("x" * (esl.MAX_VALUE - 1) + "; more")
    assert value == "x" * (esl.MAX_VALUE - 1)
    assert esl.clean_value(value) == value


@pytest.mark.parametrize(
    "name",
    ["execute_on_answer", "api_hangup_hook", "sip_h_X-A", "ai_", "ai_A", "ai_x;y", "uuid", ""],
)
def test_a_variable_that_is_a_command_in_disguise_is_refused(name):
    with pytest.raises(LocalProtocolError):
        esl.set_variables(UUID, {name: "1"})


@pytest.mark.parametrize("value", ["a;b", "a|b", "a'b", 'a"b', "a\\b"])
def test_a_value_that_splits_the_list_is_refused(value):
    with pytest.raises(LocalProtocolError):
        esl.set_variables(UUID, {"ai_intent": value})


@pytest.mark.parametrize("bad", ["", "x", UUID + "\n", UUID[:-1], "../../" + UUID])
def test_a_channel_is_named_by_a_uuid_alone(bad):
    with pytest.raises(LocalProtocolError):
        esl.set_variables(bad, {"ai_intent": "x"})


def test_sendmsg_as_it_was_captured():
    sent = esl.execute("playback", "tone_stream://x", "1" * 8 + "-1111-4111-8111-" + "1" * 12, True)
    assert sent == (
        b"sendmsg\ncall-command: execute\nexecute-app-name: playback\n"
        b"execute-app-arg: tone_stream://x\n"
        b"event-uuid: 11111111-1111-4111-8111-111111111111\nevent-lock: true\n\n"
    )
    captured = (CAPTURES[-1].parent / "unicast_dtmf_caller_hangs_up.to_freeswitch.esl").read_bytes()
    assert esl.unicast("127.0.0.1", "127.0.0.1", 60081) in captured


def test_the_first_of_two_headers_counts():
    assert Event(b"A: 1\nA: 2", encoded=False)["A"] == "1"
