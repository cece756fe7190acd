"""A folder of text as knowledge: cut, found, live, and said. How well: docs/knowledge.md."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.conftest import ENERGY, wait_until
from tests.measure_knowledge import DATA, measure
from tests.provider import Plan, Provider
from workers.bot import Bot
from workers.breaker import Breaker
from workers.http_provider import Provider as Client
from workers.knowledge import passages as cutting
from workers.knowledge.embeddings import Embeddings
from workers.knowledge.index import Index, answer
from workers.knowledge.library import Library
from workers.knowledge.passages import Passage, passages, read, stamp
from workers.llm.engine import Request
from workers.llm.guide import guided
from workers.llm.intents import IntentsEngine
from workers.messages import Decision, DialogState, Line


@pytest.fixture(scope="module")
def bot() -> Bot:
    example = yaml.safe_load(ENERGY.read_text()) | {"knowledge": {"folder": "energy"}}
    return Bot.model_validate(example)


@pytest.fixture(scope="module")
def library() -> Library:
    return Library(DATA)


# -- cutting


def test_a_passage_lies_under_its_headings_and_is_fit_to_be_spoken() -> None:
    text = "# A\nOne **bold** word.\n\n## B\n- first\n- second\n```\n# none\n```\n# C\n\nThree.\n"
    found = passages("x.md", text)
    assert [(one.id, one.title) for one in found] == [
        ("x.md#1", "A"), ("x.md#2", "A: B"), ("x.md#3", "C"),
    ]  # fmt: skip
    assert found[0].text == "One bold word."
    assert "first" in found[1].text and "second" in found[1].text and "`" not in found[1].text


def test_a_long_text_is_cut_at_its_sentences() -> None:
    sentence = "This sentence has some words in it, as many as others have."
    found = passages("long.txt", f"Title\n\n{' '.join([sentence] * 60)}")
    assert len(found) > 3
    assert all(len(one.text) <= cutting.PASSAGE_CHARACTERS + 60 for one in found)
    assert {one.title for one in found} == {"Title"}
    assert sum(len(one.sentences) for one in found) == 60


def test_hidden_files_links_that_lead_out_and_other_kinds_are_left_out(tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", tmp_path / "secret.md"
    (folder / ".git").mkdir(parents=True)
    (folder / "sub").mkdir()
    for name in ("a.md", ".hidden.md", "b.pdf", ".git/c.md", "sub/d.txt"):
        (folder / name).write_text("Some words.")
    outside.write_text("The secret.")
    (folder / "link.md").symlink_to(outside)
    (folder / "up").symlink_to(tmp_path)
    found = stamp(folder)
    assert [name for name, _, _ in found] == ["a.md", "sub/d.txt"]
    assert "secret" not in " ".join(one.text for one in read(folder, found))


def test_what_is_too_large_or_no_text_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "MAX_FILE_BYTES", 1000)
    monkeypatch.setattr(cutting, "MAX_FILES", 4)
    (tmp_path / "a.md").write_bytes(b"\xff\xfe\x00 words here \x1b[2J")
    (tmp_path / "b.md").write_text("x" * 1001)
    (tmp_path / "c.md").write_text("Fine words.")
    (tmp_path / "d.md").write_text("")
    (tmp_path / "e.md").write_text("One too many.")
    found = read(tmp_path, stamp(tmp_path))
    assert [one.id for one in found] == ["a.md#1", "c.md#1"]
    assert all(one.text.isprintable() for one in found)
    assert Index(found).search("fine words", 3)[0].passage.id == "c.md#1"
    assert Index(()).search("anything", 3) == []


# -- finding


def test_the_figures_in_the_docs_hold() -> None:
    for name, noisy in (("energy", False), ("clinic", False), ("clinic", True)):
        found = measure(name, noisy, 0.6)
        assert found["first"] > 0.9
        assert found["among four"] > 0.95
        assert found["said, right"] > 0.75
        assert found["said, wrong"] < 0.05
        assert found["unknown, said"] < 0.06


def test_the_sentences_around_what_was_asked_are_said() -> None:
    passage = Passage("a#1", "Meters", ("First.", "Nothing here.", "The code is six.", "Last."))
    (hit,) = Index([passage]).search("what is the code of the meter", 1)
    assert answer(hit, "what is the code", 1) == ("The code is six.",)
    assert "The code is six." in answer(hit, "what is the code", 2)
    assert answer(hit, "what is the code", 4) == passage.sentences


# -- live


def test_a_change_is_live_and_no_turn_waits_for_it(tmp_path: Path, bot: Bot) -> None:
    folder = tmp_path / "energy"
    folder.mkdir()
    page = folder / "pets.md"
    page.write_text("# Dogs\n\nDogs are welcome in our office.")
    library = Library(tmp_path)
    library.warm(bot)
    question = "are dogs welcome in the office"
    assert "welcome" in library.search(bot, question, False)[0].passage.text
    page.write_text("# Dogs\n\nDogs have to stay outside of our office.")
    os.utime(page, ns=(1, 1))  # an older time is another one as well
    assert "welcome" in library.search(bot, question, False)[0].passage.text
    library.look_again()
    assert "outside" in library.search(bot, question, False)[0].passage.text
    page.unlink()
    library.look_again()
    assert library.search(bot, question, False) == []


def test_a_folder_that_is_not_there_is_empty_until_it_is(tmp_path: Path, bot: Bot) -> None:
    library = Library(tmp_path)
    assert library.search(bot, "how do I read my meter", False) == []
    (tmp_path / "energy").symlink_to(DATA / "energy")
    library.look_again()
    assert library.search(bot, "how do I read my meter", False)


# -- said


def asked(bot: Bot, library: Library, text: str, state: DialogState | None = None,
          history: tuple[Line, ...] = ()) -> tuple[str, Decision]:  # fmt: skip
    request = Request(bot, state or DialogState(), history, text)
    pieces = list(guided(IntentsEngine(), request, 5.0, library))
    (decision,) = [one for one in pieces if isinstance(one, Decision)]
    return "".join(one for one in pieces if isinstance(one, str)), decision


def test_what_no_intent_is_meant_by_is_answered_from_a_passage(bot: Bot, library: Library) -> None:
    said, decision = asked(bot, library, "do you have a night tariff")
    assert "eight cents cheaper" in said
    assert bot.phrases.anything_else in said
    assert decision.cited == ("tariffs.md#3",)
    assert (decision.action, decision.state.misses) == ("none", 0)


def test_an_intent_goes_first_and_what_nobody_knows_is_not_understood(
    bot: Bot, library: Library
) -> None:
    assert "from eight in the morning" in asked(bot, library, "when are you open")[0]
    for text in ("will it rain tomorrow", "can you order me a pizza"):
        said, decision = asked(bot, library, text)
        assert bot.phrases.not_understood in said
        assert decision.cited == ()


def test_a_question_in_between_leaves_the_open_one_open(bot: Bot, library: Library) -> None:
    state = DialogState("balance", asked="account", misses=1)
    said, decision = asked(bot, library, "do you have a night tariff", state)
    assert "eight cents cheaper" in said
    assert said.strip().endswith(bot.slots["account"].ask)
    assert (decision.state.asked, decision.state.intent) == ("account", "balance")


def test_who_asks_is_told_where_it_stands(bot: Bot, library: Library) -> None:
    history = (Line("caller", "do you have a night tariff"), Line("bot", "Yes."))
    said, decision = asked(bot, library, "where does that come from", history=history)
    assert said.startswith("Tariffs: Night tariff.")
    assert decision.cited == ("tariffs.md#3",)


# -- meanings


@pytest.fixture
def server() -> Iterator[Provider]:
    with Provider() as one:
        yield one


def embeddings(server: Provider, question_s: float = 5.0) -> Embeddings:
    client = Client(server.url, "key", connect_timeout_s=1.0)
    return Embeddings(client, "m", Breaker(None, "knowledge:m", 2, 60.0), question_s)


def vectors(*rows: list[Any]) -> bytes:
    return json.dumps({"data": [{"index": n, "embedding": r} for n, r in enumerate(rows)]}).encode()


def test_meanings_and_words_rank_together(tmp_path: Path, server: Provider, bot: Bot) -> None:
    folder = tmp_path / "energy"
    folder.mkdir()
    (folder / "a.md").write_text("# Panels\n\nWe put panels onto your roof.")
    (folder / "b.md").write_text("# Bills\n\nA bill comes each month.")
    server.script = [Plan(body=vectors([3, 0], [0, 2])), Plan(body=vectors([1, 0]))]
    library = Library(tmp_path, embeddings(server))
    library.warm(bot)
    found = library.search(bot, "photovoltaics", True)
    assert found[0].passage.id == "a.md#1"  # no word in common
    assert found[0].score == 0.0  # the words alone say whether it may be read out
    assert [asked.json["input"] for asked in server.seen] == [
        ["Panels\nWe put panels onto your roof.", "Bills\nA bill comes each month."],
        ["photovoltaics"],
    ]
    assert {asked.headers["authorization"] for asked in server.seen} == {"Bearer key"}
    library.search(bot, "photovoltaics", False)
    assert len(server.seen) == 2


def test_a_vector_of_another_length_counts_for_nothing(
    tmp_path: Path, server: Provider, bot: Bot
) -> None:
    (tmp_path / "energy").mkdir()
    (tmp_path / "energy" / "a.md").write_text("# Panels\n\nWe put panels onto your roof.")
    server.script = [Plan(body=vectors([3, 0])), Plan(body=vectors([1, 0, 0]))]
    library = Library(tmp_path, embeddings(server))
    library.warm(bot)
    # The server has another model by now, under the same name.
    assert [hit.passage.id for hit in library.search(bot, "panels", True)] == ["a.md#1"]
    assert len(server.seen) == 2


def test_only_what_is_new_is_embedded(server: Provider) -> None:
    one = embeddings(server)
    server.script = [Plan(body=vectors([1, 0], [0, 1])), Plan(body=vectors([1, 1]))]
    assert one.passages(["a", "b"]) is not None  # of any length
    found = one.passages(["b", "c"])
    assert found is not None
    assert np.allclose(found, [[0, 1], [0.5**0.5, 0.5**0.5]])
    assert server.seen[-1].json["input"] == ["c"]


@pytest.mark.parametrize(
    "body",
    [
        b"{}", b"[]", b"null", b'{"data": []}', vectors([]), vectors(["a"]), vectors([0, 0]),
        vectors([1, 2], [3, 4]), vectors([True]), b'{"data": [{"index": 7, "embedding": [1]}]}',
        b'{"data": [{"index": 0, "embedding": [NaN]}]}', vectors([1.0] * 9000), vectors([10**400]),
    ],
)  # fmt: skip
def test_without_a_good_answer_the_words_alone_decide(server: Provider, body: bytes) -> None:
    server.plan.body = body
    assert embeddings(server).question("anything") is None


def test_a_server_that_is_out_is_left_alone_and_the_words_decide(
    tmp_path: Path, server: Provider, bot: Bot
) -> None:
    (tmp_path / "energy").symlink_to(DATA / "energy")
    server.plan.statuses = [500] * 9
    library = Library(tmp_path, embeddings(server))
    library.warm(bot)
    assert library.search(bot, "what does a kilowatt hour cost", True)[0].score > 0.6
    one = embeddings(server)
    for _ in range(4):
        assert one.question("anything") is None
    count = len(server.seen)
    assert one.question("anything") is None
    assert len(server.seen) == count  # its breaker is open
    wait_until(lambda: library.search(bot, "kilowatt hour cost", True), 5)
