"""Routes between two models, and rules about callers' moods. How well: docs/choosing.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.conftest import ENERGY
from tests.measure_moods import measure
from tests.provider import Plan, Provider
from tests.test_knowledge import DATA
from workers import engines
from workers.bot import Bot
from workers.breaker import Breaker
from workers.engines import Level, choose, providers
from workers.knowledge.library import Library
from workers.llm.engine import LlmError, Request
from workers.llm.guide import guided
from workers.llm.intents import IntentsEngine
from workers.llm.marks import Marks
from workers.llm.moods import Mood, labelled, mood
from workers.llm.openai import OpenAiLlm
from workers.llm.router import RoutedLlm
from workers.messages import Decision, DialogState
from workers.sentences import SentenceSplitter
from workers.settings import load as load_settings

RULES = {
    "alarm": {"when": {"urgency": "high"}, "variables": {"ai_priority": "high"}},
    "sorry": {"when": {"anger": "some"}, "say": "I am sorry for the trouble."},
    "angry": {"when": {"anger": "high"}, "transfer": "agent"},
}


def made(**sections: Any) -> Bot:
    return Bot.model_validate(yaml.safe_load(ENERGY.read_text()) | sections)


@pytest.fixture
def server() -> Iterator[Provider]:
    with Provider() as one:
        yield one


@pytest.fixture
def strong() -> Iterator[Provider]:
    with Provider() as one:
        one.plan.words = ["I am ", "strong."]
        yield one


def model(server: Provider) -> OpenAiLlm:
    return OpenAiLlm(server.url, "m", "", connect_timeout_s=1.0, first_token_s=5.0,
                     token_gap_s=5.0)  # fmt: skip


def said(engine: Any, request: Request, **more: Any) -> tuple[str, Decision]:
    pieces = list(guided(engine, request, 10.0, **more))
    (decision,) = [one for one in pieces if isinstance(one, Decision)]
    return "".join(one for one in pieces if isinstance(one, str)), decision


def ask(bot: Bot, text: str, confidence: float = 1.0, **state: Any) -> Request:
    return Request(bot, DialogState(**state), (), text, confidence=confidence)


# -- routes


@pytest.mark.parametrize(
    ("when", "request_", "route"),
    [
        ({"words_from": 6}, {"text": "one two three four five six"}, "strong"),
        ({"words_from": 6}, {"text": "one two three four five"}, "local"),
        ({"wishes_from": 2},
         {"text": "when are you open and please update my address"}, "strong"),
        ({"wishes_from": 2}, {"text": "what is my balance"}, "local"),
        ({"heard_below_percent": 50}, {"text": "hello", "confidence": 0.4}, "strong"),
        ({"heard_below_percent": 50}, {"text": "hello", "confidence": 0.6}, "local"),
        ({"sure_below_percent": 50}, {"text": "do you sell elephants"}, "strong"),
        ({"sure_below_percent": 50}, {"text": "when are you open"}, "local"),
        ({"sure_below_percent": 50}, {"text": "four two", "asked": "account"}, "local"),
        ({"misses_from": 1}, {"text": "hello", "misses": 1}, "strong"),
        ({"misses_from": 1}, {"text": "hello"}, "local"),
        ({"intents": ["billing"]}, {"text": "I have a question about my bill"}, "strong"),
        ({"intents": ["billing"]}, {"text": "four two", "intent": "billing"}, "strong"),
        ({"intents": ["billing"]}, {"text": "when are you open"}, "local"),
        ({"words_from": 2, "misses_from": 1}, {"text": "hello there"}, "local"),
    ],
)  # fmt: skip
def test_a_route_takes_the_turns_that_it_names(
    when: dict[str, Any], request_: dict[str, Any], route: str
) -> None:
    bot = made(routes=[{"when": when}])
    router = RoutedLlm(Level(IntentsEngine(), ""), Level(IntentsEngine(), ""))
    assert router.route(ask(bot, **request_)) == route


def test_the_first_route_that_fits_decides() -> None:
    routes = [{"when": {"intents": ["hours"]}, "to": "local"}, {"when": {"words_from": 2}}]
    router = RoutedLlm(Level(IntentsEngine(), ""), Level(IntentsEngine(), ""))
    assert router.route(ask(made(routes=routes), "when are you open")) == "local"
    assert router.route(ask(made(routes=routes), "something else")) == "strong"


def both(server: Provider, strong: Provider) -> RoutedLlm:
    levels = [
        Level(model(one), "", Breaker(None, name, 2, 60.0))
        for name, one in (("local", server), ("strong", strong))
    ]
    return RoutedLlm(*levels)


def test_the_decision_says_whose_answer_it_is(server: Provider, strong: Provider) -> None:
    bot = made(routes=[{"when": {"words_from": 4}}])
    router = both(server, strong)
    words, decision = said(router, ask(bot, "one two three four"))
    assert (words, decision.route) == ("I am strong.", "strong")
    words, decision = said(router, ask(bot, "one two"))
    assert (words.startswith("We are"), decision.route) == (True, "local")


def test_where_the_strong_one_fails_the_local_one_answers(
    server: Provider, strong: Provider
) -> None:
    bot = made(routes=[{"when": {"words_from": 1}}])
    router = both(server, strong)
    strong.plan.statuses = [401] * 3
    for _ in range(3):
        words, decision = said(router, ask(bot, "hello"))
        assert words.startswith("We are")
        assert decision.route in ("local after strong", "local")
    assert len(strong.seen) == 2  # then its breaker is open


def test_an_answer_that_broke_off_is_not_begun_anew(server: Provider, strong: Provider) -> None:
    bot = made(routes=[{"when": {"words_from": 1}}])
    strong.plan.stop_after = 3
    with pytest.raises(LlmError):
        said(both(server, strong), ask(bot, "hello"))
    assert server.seen == []


def test_where_the_local_one_is_known_to_be_out_the_strong_one_answers(
    server: Provider, strong: Provider
) -> None:
    router = both(server, strong)
    for _ in range(2):
        router.parts[0].breaker.failed()  # type: ignore[union-attr]
    words, decision = said(router, ask(made(), "hello"))
    assert (words, decision.route, server.seen) == ("I am strong.", "strong", [])


def test_both_are_one_level_of_the_ladder_and_probed_each_by_itself(
    server: Provider, strong: Provider
) -> None:
    environ = {"ESLBOT_LLM_URL": server.url, "ESLBOT_LLM_STRONG_URL": strong.url}
    levels = choose("llm", load_settings(environ))
    assert [one.engine.name for one in levels] == ["openai", "intents"]
    local, other, _ = providers(levels)
    assert local.breaker and other.breaker and levels[0].breaker
    for _ in range(3):
        local.breaker.failed()
    assert levels[0].breaker.closed()
    for _ in range(3):
        other.breaker.failed()
    assert not levels[0].breaker.closed()
    strong.server_close()
    strong.shutdown()
    (wrong,) = engines.unreachable("llm", load_settings(environ))
    assert wrong.startswith("ESLBOT_LLM_STRONG_URL")


# -- moods


def test_the_figures_in_the_docs_hold() -> None:
    first = measure("moods.yaml")
    for kind in ("anger", "anger high", "urgency", "urgency high", "person"):
        right, false, missed = first[kind]
        assert missed == 0, kind
        assert false <= 1, kind
        assert right >= 15
    last = measure("moods_last.yaml")
    assert sum(false for _, false, _ in last.values()) <= 1
    assert last["anger"][0] >= 5


def test_what_the_call_was_like_counts_as_well() -> None:
    bot = made()
    assert mood(bot, "that is annoying").anger == "some"
    assert mood(bot, "that is not annoying") == Mood()
    words = "I already told you that is annoying"
    assert mood(bot, words).anger == "some"
    assert mood(bot, words, misses=1).anger == "high"
    assert mood(bot, words, interruptions=3).anger == "high"
    assert mood(bot, "hello", misses=2, interruptions=9).anger == "some"
    assert mood(bot, "no no no").anger == "some"
    assert mood(bot, "four four four") == Mood()


def test_a_bot_has_words_of_its_own() -> None:
    bot = made(signals={"anger": ["so ein mist"], "person": ["Mitarbeiter"]})
    assert mood(bot, "das ist so ein Mist").anger == "high"
    assert mood(bot, "einen mitarbeiter bitte").person
    assert mood(made(), "das ist so ein Mist") == Mood()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("anger=high urgency=none person=no", Mood("high")),
        ("anger=none urgency=some person=yes", Mood("none", "some", True)),
        ("anger=very urgency=none person=no", None),
        ("anger=high transfer=+8821", None),
        ("person=high", None),
        ("2", None),
    ],
)
def test_a_models_label_is_checked(text: str, found: Mood | None) -> None:
    assert labelled(text) == found


# -- rules


def test_a_rule_transfers_in_place_of_an_answer(server: Provider) -> None:
    bot = made(rules=RULES)
    words, decision = said(model(server), ask(bot, "this is unacceptable you thieves"))
    assert words == f"I am sorry for the trouble. {bot.destinations['agent'].say} "
    assert (decision.action, decision.destination) == ("transfer", "agent")
    assert decision.mood == {"anger": "high"}
    assert decision.rules == ("sorry", "angry")
    assert server.seen == []


def test_a_rule_says_something_first_and_once_in_a_call() -> None:
    bot = made(rules=RULES)
    request = ask(bot, "that is annoying when are you open")
    words, decision = said(IntentsEngine(), request)
    assert words.startswith("I am sorry for the trouble. We are open")
    assert (decision.action, decision.rules) == ("none", ("sorry",))
    words, decision = said(IntentsEngine(), request, ruled=("sorry",))
    assert words.startswith("We are open")
    assert decision.rules == ()


def test_keys_and_bots_without_rules_have_no_mood() -> None:
    said_, decision = said(IntentsEngine(), ask(made(), "you stupid machine"))
    assert (decision.mood, decision.rules, "sorry for" in said_) == ({}, (), False)
    request = Request(made(rules=RULES), DialogState("balance", asked="account"), (), "1234", True)
    assert said(IntentsEngine(), request)[1].rules == ()


def test_a_models_label_makes_a_rule_act_and_is_never_spoken(server: Provider) -> None:
    bot = made(rules=RULES)
    server.plan.words = ["[anger=hi", "gh urgency=none", " person=no] We are", " open."]
    words, decision = said(model(server), ask(bot, "wonderful, just wonderful"))
    assert "anger" not in words and "open" not in words
    assert (decision.action, decision.mood) == ("transfer", {"anger": "high"})
    server.plan.words = ["[anger=none urgency=none person=no] We are", " open."]
    words, decision = said(model(server), ask(bot, "wonderful, just wonderful"))
    assert (words.strip(), decision.action, decision.mood) == ("We are open.", "none", {})
    told = " ".join(m["content"] for m in server.seen[-1].json["messages"])
    assert "[anger=A urgency=U person=P]" in told


def test_a_label_that_comes_late_still_transfers(server: Provider) -> None:
    bot = made(rules=RULES)
    server.plan.words = ["Well. ", "[anger=high urgency=none person=no]", " Yes."]
    words, decision = said(model(server), ask(bot, "wonderful"))
    assert "Well." in words
    assert (decision.action, decision.destination) == ("transfer", "agent")


# -- passages in a model's prompt


def test_a_model_is_given_passages_and_cites_them(server: Provider) -> None:
    bot = made(knowledge={"folder": "energy"})
    server.plan.words = ["At night it is ", "cheaper [", "1]. Also [9] and [", "note] this."]
    words, decision = said(model(server), ask(bot, "do you have a night tariff"),
                           library=Library(DATA))  # fmt: skip
    assert words == "At night it is cheaper. Also and [note] this."
    assert decision.cited == ("tariffs.md#3",)
    told = [m["content"] for m in server.seen[0].json["messages"]]
    (note,) = [text for text in told if "[1] Tariffs: Night tariff\nBetween ten" in text]
    # Whatever stands in a passage, it stands between these two.
    assert note.index("\n<passages>\n") < note.index("[1] Tariffs")
    assert note.endswith("\n</passages>")
    assert note.count("</passages>") == 2  # named before


def test_an_answer_of_marks_alone_is_none(server: Provider) -> None:
    bot = made(rules=RULES)
    server.plan.words = ["[anger=none urgency=none person=no]"]
    with pytest.raises(LlmError):
        said(model(server), ask(bot, "hello"))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_marks_may_be_cut_anywhere(size: int) -> None:
    text = "[anger=some urgency=none person=no] Yes [1], at six [2, 3]. Or [maybe] [not."
    marks = Marks(lambda one: labelled(one) is not None)
    found = "".join(marks.feed(text[at : at + size]) for at in range(0, len(text), size))
    assert (found + marks.flush()).strip() == "Yes, at six. Or [maybe] [not."
    assert marks.cited == [1, 2, 3]


def test_a_sentence_that_is_over_is_not_held_back() -> None:
    marks, splitter = Marks(lambda one: False), SentenceSplitter()
    said = [
        splitter.feed(marks.feed(word)) for word in ("We ", "are ", "open [1]. ", "[2] ", "Bye")
    ]
    assert said == [[], [], ["We are open."], [], []]
    assert splitter.feed(marks.flush()) + splitter.flush() == ["Bye"]
    assert marks.cited == [1, 2]


def test_a_bracket_that_does_not_close_is_held_back_only_so_long() -> None:
    marks = Marks(lambda one: False)
    found = marks.feed("[" + "x" * 1000)
    assert len(found) == 1001


def test_a_plan_without_words_is_told_to_be_none(server: Provider) -> None:
    server.script = [Plan(words=[])]
    with pytest.raises(LlmError):
        said(model(server), ask(made(), "hello"))
