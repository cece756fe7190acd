"""The local server that speaks OpenAI's protocol: asked by our own engines, over a real socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest

from eslbot.prompts import read_wav
from tests.house import RECORDINGS
from workers.bot import Bot
from workers.llm.engine import Request
from workers.llm.openai import OpenAiLlm
from workers.messages import Decision, DialogState
from workers.openai_server import Server
from workers.stt.engine import Hints
from workers.stt.openai import OpenAiStt
from workers.tts.openai import OpenAiTts

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def url(energy: Bot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = Server(0, [energy], tmp_path_factory.mktemp("stt"))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


def phrases(bot: Bot) -> tuple[str, ...]:
    return tuple(example for intent in bot.intents.values() for example in intent.examples)


@pytest.mark.parametrize(
    ("name", "expect", "text"),
    [("hours", "text", "when are you open"), ("account", "digits", "four two seven one")],
)
def test_it_hears_what_is_said(energy: Bot, url: str, name: str, expect: str, text: str):
    engine = OpenAiStt(url, "embedded", "", connect_timeout_s=5, max_audio_s=20)
    utterance = engine.open(Hints(expect, phrases=phrases(energy)))  # type: ignore[arg-type]
    utterance.feed(read_wav(RECORDINGS / f"{name}.wav"))
    assert utterance.finish(PATIENCE_S).text == text
    utterance.close()


def answered(url: str, bot: Bot, state: DialogState, text: str, keyed: bool = False) -> Decision:
    engine = OpenAiLlm(url, "embedded", "", connect_timeout_s=5, first_token_s=PATIENCE_S,
                       token_gap_s=PATIENCE_S)  # fmt: skip
    pieces = list(engine.reply(Request(bot, state, (), text, keyed), PATIENCE_S))
    (decision,) = [one for one in pieces if isinstance(one, Decision)]
    return decision


def test_it_calls_for_the_intent_and_the_value_that_were_said(energy: Bot, url: str):
    asked = answered(url, energy, DialogState(), "what is my balance").state
    assert (asked.intent, asked.asked) == ("balance", "account")
    decision = answered(url, energy, asked, "four two seven one")
    assert decision.state.slots == {"account": "4271"}
    keyed = answered(url, energy, asked, "1234", keyed=True)
    assert keyed.state.slots == {"account": "1234"}


def test_it_makes_nothing_of_what_it_does_not_understand(energy: Bot, url: str):
    first = answered(url, energy, DialogState(), "this conference is locked")
    assert (first.intent, first.action) == (None, "none")
    again = answered(url, energy, first.state, "you have been kicked from this conference")
    assert again.action == "menu"


def test_a_yes_and_a_no_are_those_to_the_question(energy: Bot, url: str):
    slots = {"street": "five market square", "postcode": "60601"}
    state = DialogState("address", slots, "confirm")
    assert answered(url, energy, state, "yes").state.intent is None
    assert answered(url, energy, state, "no").state.asked == "which"
    dropped = answered(url, energy, state, "no never mind").state
    assert (dropped.intent, dropped.slots) == (None, {})


def test_it_calls_for_each_of_several_wishes(energy: Bot, url: str):
    asked = answered(url, energy, DialogState(), "what are your opening hours and my balance")
    assert (asked.state.intent, asked.state.asked) == ("balance", "account")
    state = DialogState("address", {}, "street")
    decision = answered(url, energy, state, "five market square and what are your opening hours")
    assert decision.state.slots == {"street": "five market square"}
    assert [step.intent for step in decision.state.pending] == ["hours"]


def test_it_speaks(url: str):
    engine = OpenAiTts(url, "embedded", "any", "", connect_timeout_s=5)
    pcm = b"".join(engine.speak("When are you open?", "en", PATIENCE_S))
    assert 0.5 < len(pcm) / 16_000 < 5


NO_STATE = (
    b'{"model": "m", "tools": [], "messages": [{"role": "user", "content": "x"},'
    b' {"role": "system", "content": "State of this call: {}"}]}'
)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("chat/completions", b"[]", 400),
        ("chat/completions", b"\xff", 400),
        ("chat/completions", b'{"model": "m", "messages": [], "tools": []}', 400),
        ("chat/completions", NO_STATE, 400),
        ("audio/speech", b'{"model": "m", "input": " "}', 400),
        ("audio/transcriptions", b"no form", 400),
        ("else", b"{}", 404),
    ],
)
def test_nonsense_is_refused_and_the_server_stays(url: str, path: str, body: bytes, status: int):
    assert httpx.post(f"{url}/{path}", content=body, timeout=PATIENCE_S).status_code == status
    assert httpx.get(f"{url}/models", timeout=PATIENCE_S).status_code == 200
