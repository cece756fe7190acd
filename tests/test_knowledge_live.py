"""An llm worker and its knowledge: a change of the folder is said in the next seconds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import ENERGY, RedisServer, wait_until
from tests.test_workers import Pool
from workers.bot import Bot
from workers.messages import Decision, Final, Sentence, SentencesEnd


@pytest.fixture
def pool(redis_process: RedisServer, tmp_path: Path) -> Iterator[Pool]:
    example = yaml.safe_load(ENERGY.read_text()) | {
        "knowledge": {"folder": "pages"},
        "rules": {"hurry": {"when": {"urgency": "high"}, "variables": {"ai_priority": "high"}}},
    }
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "dogs.md").write_text("# Dogs\n\nDogs are welcome in our office.")
    one = Pool(redis_process, Bot.model_validate(example), tmp_path)
    yield one
    one.stop()


def test_a_changed_page_is_said_without_a_restart(pool: Pool, tmp_path: Path) -> None:
    pool.start("llm", ESLBOT_KNOWLEDGE_DIR=str(tmp_path))
    epochs = itertools.count(1)

    def asked(text: str) -> tuple[str, Decision]:
        number = next(epochs)
        turn = pool.turn(f"call-{number}", number)
        pool.enqueue(turn, "llm")
        pool.feed(turn, "llm", Final(text))
        wait_until(pool.told_one(SentencesEnd, turn.call), 20)
        told = pool.told(turn.call)
        (decision,) = [one for one in told if isinstance(one, Decision)]
        return " ".join(one.text for one in told if isinstance(one, Sentence)), decision

    said, decision = asked("are dogs welcome in the office")
    assert "Dogs are welcome in our office." in said
    assert decision.cited == ("dogs.md#1",)
    (tmp_path / "pages" / "dogs.md").write_text("# Dogs\n\nDogs have to wait outside our office.")
    wait_until(lambda: "wait outside" in asked("are dogs welcome in the office")[0], 30)
    said, decision = asked("it is an emergency are dogs welcome in the office")
    assert decision.mood == {"urgency": "high"}
    assert decision.rules == ("hurry",)
