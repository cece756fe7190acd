"""Knowledge, routes, signals, rules and variants in a bot's file: each mistake is named by its
line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_bot import GOOD, read
from workers.bot import BotError
from workers.bot.agreement import served

# Behind GOOD; its first line is line 47.
SECTIONS = """\
knowledge:
  folder: shop
  sentences: 2
routes:
  - when: {words_from: 20, intents: [status]}
    to: strong
signals:
  anger: [you again]
rules:
  angry:
    when: {anger: high}
    say: I am sorry.
    transfer: desk
    variables: {ai_priority: high}
variants:
  salt: one
  promote: {calls: 100, since: 2026-11-01}
  choices:
    plain: {weight: 2}
    brief:
      greeting: Hi.
      phrases: {goodbye: See you.}
      answers: {status: "{order} is {orders.state}."}
"""


def at(text: str) -> int:
    """The line in which this stands."""
    before, found, _ = (GOOD + SECTIONS).partition(text)
    assert found
    return before.count("\n") + 1


MISTAKES = {
    "an unknown key of knowledge": ("sentences: 2", "sentence: 2", "knowledge.sentence: unknown"),
    "a folder above": ("folder: shop", "folder: ../shop", "knowledge.folder"),
    "a folder from the root": ("folder: shop", "folder: /etc", "knowledge.folder"),
    "a hidden folder": ("folder: shop", "folder: .git", "knowledge.folder"),
    "too many sentences": ("sentences: 2", "sentences: 9", "knowledge.sentences"),
    "a threshold that is none": ("sentences: 2", "sure_from_percent: 0", "sure_from_percent"),
    "an unknown condition of a route": ("words_from: 20", "word_from: 20", "when.word_from"),
    "a route of an intent that there is not": (
        "intents: [status]", "intents: [state]", "routes.0.when.intents: 'state'",
    ),
    "a route without a condition": (
        "{words_from: 20, intents: [status]}", "{}", "routes.0.when: names no condition",
    ),
    "a route to nowhere": ("to: strong", "to: stronger", "routes.0.to"),
    "a number of words that is none": ("words_from: 20", "words_from: many", "when.words_from"),
    "a share over all": ("words_from: 20", "sure_below_percent: 101", "sure_below_percent"),
    "a signal that there is not": ("  anger: [you", "  angre: [you", "signals.angre: unknown"),
    "a signal that is no list": ("[you again]", "you again", "signals.anger"),
    "a strength that there is not": ("{anger: high}", "{anger: very}", "rules.angry.when.anger"),
    "a rule without a condition": ("{anger: high}", "{}", "rules.angry.when: names no condition"),
    "a truth value that is none": ("{anger: high}", "{person: maybe}", "rules.angry.when.person"),
    "a rule named otherwise": ("  angry:\n", "  Angry:\n", "rules.Angry"),
    "a rule that leads nowhere": ("transfer: desk\n    var", "transfer: dest\n    var",
                                  "rules.angry.transfer: 'dest'"),
    "a rule's variable that is a command": (
        "ai_priority: high", "api_hangup_hook: high", "rules.angry.variables",
    ),
    "a rule's variable that is a slot's": (
        "ai_priority: high", "ai_order: high", "rules.angry.variables.ai_order",
    ),
    "a rule's value that is more than a word": (
        "ai_priority: high", "ai_priority: '${api(x)}'", "rules.angry.variables.ai_priority",
    ),
    "a rule's words with a placeholder": (
        "say: I am sorry.", "say: Sorry {order}.", "rules.angry.say",
    ),
    "a salt with a space": ("salt: one", "salt: one two", "variants.salt"),
    "too few calls": ("calls: 100", "calls: 3", "variants.promote.calls"),
    "a day that is none": ("since: 2026-11-01", "since: 2026-13-01", "variants.promote.since"),
    "an unknown key of a variant": ("{weight: 2}", "{wait: 2}", "variants.choices.plain.wait"),
    "a negative weight": ("{weight: 2}", "{weight: -2}", "variants.choices.plain.weight"),
    "a variant's phrase that there is not": (
        "{goodbye: See", "{godbye: See", "variants.choices.brief.phrases.godbye",
    ),
    "a variant's answer to nothing": (
        "answers: {status:", "answers: {state:", "variants.choices.brief.answers.state",
    ),
    "a variant's placeholder that there is not": (
        '"{order} is', '"{colour} is', "variants.choices.brief.answers.status",
    ),
    "a variant's brace that does not close": (
        "greeting: Hi.", 'greeting: "Hi {"', "variants.choices.brief.greeting",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_line_and_key(tmp_path: Path, mistake: str) -> None:
    right, wrong, named = MISTAKES[mistake]
    line = at(right)
    with pytest.raises(BotError) as caught:
        read(tmp_path, (GOOD + SECTIONS).replace(right, wrong, 1))
    said = str(caught.value)
    assert named in said
    assert said.startswith(f"{tmp_path / 'shop.yaml'}: line {line}: "), said
    assert "\n" not in said


def test_one_variant_alone_is_none(tmp_path: Path) -> None:
    cut = SECTIONS[: SECTIONS.index("    brief:")]
    with pytest.raises(BotError, match=r"variants\.choices"):
        read(tmp_path, GOOD + cut)
    none = SECTIONS.replace("{weight: 2}", "{weight: 0}").replace(
        "brief:\n", "brief:\n      weight: 0\n"
    )
    with pytest.raises(BotError, match="all weights are 0"):
        read(tmp_path, GOOD + none)


def test_what_is_right_is_read_as_written(tmp_path: Path) -> None:
    bot = read(tmp_path, GOOD + SECTIONS)
    assert bot.knowledge
    assert (bot.knowledge.folder, bot.rules["angry"].variables) == ("shop", {"ai_priority": "high"})
    assert "I am sorry." in bot.fixed_phrases()
    assert list(served(bot)) == ["plain", "brief"]


def test_all_that_is_wrong_is_told_the_misspelt_first(tmp_path: Path) -> None:
    text = (GOOD + SECTIONS).replace("greeting: Hello.", "greting: Hello.")
    with pytest.raises(BotError) as caught:
        read(tmp_path, text.replace("sentences: 2", "sentences: 9"))
    found = [caught.value, *caught.value.others]
    assert found[0].key == "greting"
    assert {"greeting", "knowledge.sentences"} <= {one.key for one in found}
    assert all(one.line > 0 and one.cause for one in found)
