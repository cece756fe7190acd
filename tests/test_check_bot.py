"""eslbot check BOT: exit codes, warnings with line and key, and the same for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from eslbot.check_bot import check_bot
from tests.conftest import ENERGY
from workers.bot import load
from workers.bot.advice import LONG_S, advice


def changed(tmp_path: Path, change: Any) -> Path:
    example = yaml.safe_load(ENERGY.read_text())
    change(example)
    path = tmp_path / "bot.yaml"
    path.write_text(yaml.safe_dump(example, sort_keys=False))
    return path


def colliding(bot: dict[str, Any]) -> None:
    bot["intents"]["hours"]["examples"].append("how much money do I owe you")


def twice(bot: dict[str, Any]) -> None:
    bot["intents"]["hours"]["examples"].append("What is my  balance")


def long(bot: dict[str, Any]) -> None:
    bot["intents"]["hours"]["answer"] = "We are open. " * 40


def unused(bot: dict[str, Any]) -> None:
    bot["slots"]["spare"] = {"type": "text", "ask": "And?", "variable": "ai_spare"}


def unreached(bot: dict[str, Any]) -> None:
    bot["destinations"]["spare"] = bot["destinations"]["agent"]


def not_looked_up(bot: dict[str, Any]) -> None:
    bot["tables"]["spare"] = {"1": {"x": "y"}}


def unknowing(bot: dict[str, Any]) -> None:
    bot["knowledge"] = {"folder": "nowhere"}


def nobodys(bot: dict[str, Any]) -> None:
    bot["variants"] = {"choices": {"a": {}, "b": {"weight": 0}}}


@pytest.mark.parametrize(
    ("change", "key", "cause"),
    [
        (colliding, "intents.hours.examples.5", "taken for balance"),
        (twice, "intents.hours.examples.5", "stands in balance as well"),
        (long, "intents.hours.answer", f"a caller listens to {LONG_S}"),
        (unused, "slots.spare", "no intent asks for it"),
        (unreached, "destinations.spare", "nothing leads there"),
        (not_looked_up, "tables.spare", "no intent looks"),
        (unknowing, "knowledge.folder", "is not there"),
        (nobodys, "variants.choices.b.weight", "nobody gets it"),
    ],
)
def test_what_is_likely_a_mistake_is_told_with_line_and_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Any, key: str, cause: str
) -> None:
    path = changed(tmp_path, change)
    assert check_bot(path, as_json=False) == 1
    *warned, last = capsys.readouterr().out.splitlines()
    (told,) = [one for one in warned if f": {key}: warning: " in one]
    assert cause in told
    line = int(told.split(": line ")[1].split(":")[0])
    assert key.rsplit(".", 1)[-1].strip("0123456789") in path.read_text().splitlines()[line - 1]
    assert last.endswith(f"{len(warned)} warnings")


def test_a_folder_of_knowledge_without_text_is_told(tmp_path: Path) -> None:
    path = changed(tmp_path, unknowing)
    (tmp_path / "nowhere").mkdir()
    (tmp_path / "nowhere" / "empty.md").write_text("\n")
    assert [one.cause for one in advice(load(path), tmp_path)] == [
        f"{tmp_path / 'nowhere'} holds no text"
    ]


def test_for_programs_all_that_is_wrong_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_bot(ENERGY, as_json=True) == 0
    right = json.loads(capsys.readouterr().out)
    assert (right["errors"], right["warnings"]) == ([], [])
    path = changed(tmp_path, long)
    assert check_bot(path, as_json=True) == 1
    (told,) = json.loads(capsys.readouterr().out)["warnings"]
    assert (told["key"], type(told["line"])) == ("intents.hours.answer", int)
    path.write_text("name: Shop\ngreting: Hello.\n")
    assert check_bot(path, as_json=True) == 2
    wrong = json.loads(capsys.readouterr().out)["errors"]
    assert wrong[0] == {"line": 2, "key": "greting", "cause": "unknown key"}
    assert {"name", "menu", "intents"} <= {one["key"] for one in wrong}
    path.write_text("name: [")
    assert check_bot(path, as_json=True) == 2
    assert json.loads(capsys.readouterr().out)["errors"][0]["line"] == 1
