"""Evals: what a file of scenarios may hold, what counts as right, and calls to a whole house."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from eslbot.evals import told
from eslbot.evals.place import Own
from eslbot.evals.run import Run
from eslbot.evals.scenario import Case, ScenarioError, cases, find
from eslbot.evals.seen import Entry, Seen, answered, in_menu
from eslbot.evals.speech import AROUND_S, RATE, Speech
from eslbot.evals.verdict import END, Result
from tests.house import ROOT

SCENARIOS = ROOT / "scenarios"
ENERGY = ROOT / "eslbot" / "bots" / "energy.yaml"
EXAMPLES = ("support", "booking", "reception", "reminder")

# By voice in the tests; `make eval` says all of them. Of two bots: a recogniser keeps the language
# models of no more.
SPOKEN = (
    "support/order-status", "support/recent-charge", "support/barge-in-on-an-answer",
    "support/off-topic-twice", "support/noise-behind-the-caller", "support/silence-then-a-wish",
    "support/nobody-in-billing", "booking/books-a-checkup", "booking/another-day-after-all",
    "booking/toothache-interrupts", "booking/in-the-waiting-room", "booking/wants-to-cancel",
)  # fmt: skip


def write(folder: Path, text: str) -> Path:
    path = folder / "one.yaml"
    path.write_text(text.replace("BOT", str(ENERGY)))
    return path


def one(folder: Path, steps: str, more: str = "") -> Path:
    """A file with one scenario of one step, which begins in line 5."""
    return write(folder, f"bot: BOT\nscenarios:\n  - name: a\n    steps:\n{steps}\n{more}")


# -- the file


@pytest.mark.parametrize(
    ("steps", "line", "key", "cause"),
    [
        ("      - sya: hello", 5, "scenarios.0.steps.0.sya", "unknown key"),
        ("      - say: hello\n        keys: '1'", 5, "scenarios.0.steps.0", "exactly one of"),
        ("      - wait_s: 2", 5, "scenarios.0.steps.0", "exactly one of"),
        ("      - keys: 12a", 5, "scenarios.0.steps.0.keys", "pattern"),
        ("      - keys: '1'\n        noise: {snr_db: 10}", 5, "scenarios.0.steps.0", "belong to"),
        ("      - say: a\n        noise: {snr: 1}", 6, "scenarios.0.steps.0.noise.snr", "unknown"),
        ("      - say: hi\n        interrupt: {}", 6, "scenarios.0.steps.0.interrupt", "after_s"),
        ("      - wav: [no.wav]", 5, "scenarios.0.steps.0", "needs words"),
        ("      - wav: [n.wav]\n        words: n", 5, "scenarios.0.steps.0.wav.0", "no such file"),
        (
            "      - say: hi\n        expect:\n          intent: balances",
            7, "scenarios.0.steps.0.expect.intent", "the bot has no balances",
        ),
        (
            "      - say: hi\n        expect:\n          slots:\n            acount: '1'",
            8, "scenarios.0.steps.0.expect.slots.acount", "the bot has no acount",
        ),
        (
            "      - say: hi\n        expect: {transferred_to: nowhere}",
            6, "scenarios.0.steps.0.expect.transferred_to", "the bot has no nowhere",
        ),
        ("      - silence_s: soon", 5, "scenarios.0.steps.0.silence_s", "valid number"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line_and_key(
    tmp_path: Path, steps: str, line: int, key: str, cause: str
):
    path = one(tmp_path, steps)
    with pytest.raises(ScenarioError) as error:
        cases(path)
    assert str(error.value).startswith(f"{path}: line {line}: {key}: ")
    assert cause in str(error.value)


def test_a_name_stands_once(tmp_path: Path):
    more = "  - name: a\n    steps: [{say: hello}]"
    with pytest.raises(ScenarioError, match=r"line 6: scenarios\.1\.name: a stands there twice"):
        cases(one(tmp_path, "      - say: hello", more))


def test_a_bot_that_is_not_right_is_told_with_the_line_that_names_it(tmp_path: Path):
    path = write(tmp_path, "scenarios: [{name: a, steps: [{say: hi}]}]\nbot: none.yaml\n")
    with pytest.raises(ScenarioError, match=r"line 2: bot: .*none\.yaml: No such file"):
        cases(path)


def test_a_folder_stands_for_the_files_in_it(tmp_path: Path):
    with pytest.raises(ScenarioError, match=r"no \*\.yaml in it"):
        find([tmp_path])
    path = one(tmp_path, "      - say: hi")
    assert find([tmp_path, path]) == [path]


def everything() -> list[Case]:
    return [case for path in find([SCENARIOS]) for case in cases(path)]


def test_the_examples_have_scenarios_of_every_kind():
    found = [case for case in everything() if case.file.stem in EXAMPLES]
    assert len(found) >= 40
    for example in EXAMPLES:
        mine = [case.scenario for case in found if case.file.stem == example]
        steps = [step for scenario in mine for step in scenario.steps]
        assert len(mine) >= 10
        assert any(step.interrupt for step in steps), f"{example}: nobody interrupts"
        assert any(step.silence_s for step in steps), f"{example}: nobody is silent"
        assert any(step.keys for step in steps), f"{example}: nobody keys"
        assert any(step.wav for step in steps), f"{example}: no recording"
        assert any(s.noise for s in mine) or any(s.noise for s in steps), f"{example}: no noise"
        assert all(scenario.expect.model_fields_set for scenario in mine)


# -- what counts as right


def judged(folder: Path, steps: str, seen: Seen, end: Seen | None = None, more: str = "") -> Result:
    (case,) = cases(one(folder, steps, more))
    result = Result(case, steps=[seen], end=end or Seen())
    result.judge()
    return result


def test_each_expectation_is_held_against_what_was_seen(tmp_path: Path):
    steps = """\
      - say: hi
        expect:
          intent: balance
          slots: {account: "4271"}
          said: ["one hundred, and twenty!"]
          not_said: [goodbye]
          variables: {ai_account: "4271"}
          answer_within_s: 1.5
"""
    good = Seen(
        intent="balance", slots={"account": "4271"}, said="One hundred and  twenty dollars.",
        variables={"ai_account": "4271"}, gap_s=1.0,
    )  # fmt: skip
    assert judged(tmp_path, steps, good).wrong(timing=True) == []
    bad = Seen(said="Goodbye.", gap_s=2.0)
    result = judged(tmp_path, steps, bad)
    assert [c.kind for c in result.wrong()] == ["intent", "slot", "said", "not said", "variable"]
    assert [c.kind for c in result.wrong(timing=True)][-1] == "time"
    assert result.count("intent") == (0, 1)


def test_a_call_is_resolved_by_its_end_alone(tmp_path: Path):
    more = "    expect: {transferred_to: agent, outcome: transferred}"
    steps = "      - say: hi\n        expect: {intent: person}"
    there = Seen(transferred_to="agent", outcome="transferred")
    result = judged(tmp_path, steps, Seen(), there, more)
    assert result.resolved
    assert [c.kind for c in result.wrong()] == ["intent"]
    result = judged(tmp_path, steps, Seen(intent="person"), Seen(outcome="open"), more)
    assert not result.resolved
    assert {c.step for c in result.wrong()} == {END}


def test_a_step_that_could_not_be_done_is_wrong(tmp_path: Path):
    result = judged(tmp_path, "      - say: hi", Seen(trouble="no answer in 45 s"))
    assert [c.got for c in result.wrong()] == ["no answer in 45 s"]


@pytest.mark.parametrize(
    ("entries", "done"),
    [
        ([], False),
        ([("said", {"fixed": True})], True),
        ([("heard", {}), ("decided", {}), ("said", {})], False),
        ([("heard", {}), ("said", {}), ("turn", {"outcome": "answered"})], True),
        ([("turn", {"outcome": "merged"})], False),
        ([("turn", {"outcome": "answered", "interrupted": True}), ("interrupted", {})], False),
        ([("said", {"filler": True})], False),
        ([("heard", {}), ("turn", {"outcome": "human"}), ("ended", {})], False),
        ([("turn", {"outcome": "human"}), ("back", {}), ("said", {"fixed": True})], True),
    ],
)
def test_an_answer_is_over_when_nothing_is_under_way(entries: list[Entry], done: bool):
    assert answered(entries) is done


def test_the_menu_has_the_call_until_the_assistant_is_back():
    assert in_menu([("menu", {})])
    assert not in_menu([("menu", {}), ("resumed", {})])


def test_the_table_the_json_and_the_junit_tell_the_same(tmp_path: Path):
    steps = "      - say: hi\n        expect: {intent: balance}"
    seen = Seen(heard=["hi \x00 there"], intent="hours")
    results = [
        judged(tmp_path, steps, seen),
        judged(tmp_path, steps, Seen(intent="balance", gap_s=0.7)),
    ]
    assert "FAILED" in told.row(results[0])
    assert "expected 'balance', got 'hours'" in told.row(results[0])
    summary = told.summary(results)
    assert "scenarios passed   1 of 2 (50.0 %)" in summary
    assert "intents right      1 of 2 (50.0 %)" in summary
    suite = ElementTree.fromstring(told.junit(results))
    assert suite.attrib["failures"] == "1"
    assert [bool(case.findall("failure")) for case in suite] == [True, False]
    assert [one["passed"] for one in json.loads(told.as_json(results))] == [False, True]


# -- the caller's audio


@pytest.mark.parametrize("kind", ["white", "babble"])
def test_noise_has_the_level_that_is_asked_for(tmp_path: Path, kind: str):
    wav = ROOT / "eslbot" / "recordings" / "balance.wav"
    step = f"      - wav: [{wav}]\n        words: what is my balance"
    (plain,) = cases(one(tmp_path, step))
    (noisy,) = cases(one(tmp_path, f"{step}\n        noise: {{kind: {kind}, snr_db: 10}}"))
    speech = Speech(tmp_path / "callers")
    speech.prepare([noisy])
    words = np.frombuffer(speech.audio(plain, plain.scenario.steps[0])[0], "<i2").astype(float)
    pcm, around = speech.audio(noisy, noisy.scenario.steps[0])
    assert around == AROUND_S
    mixed = np.frombuffer(pcm, "<i2").astype(float)
    assert len(mixed) == len(words) + 2 * int(AROUND_S * RATE)
    pad = int(AROUND_S * RATE)
    noise = mixed[pad:-pad] - words
    loud = words[: len(words) // 160 * 160].reshape(-1, 160)
    power = np.mean(loud**2, axis=1)
    level = np.sqrt(np.mean(power[power > power.max() / 100]))
    assert 20 * np.log10(level / np.sqrt(np.mean(noise**2))) == pytest.approx(10, abs=1.5)
    assert speech.audio(noisy, noisy.scenario.steps[0])[0] == pcm  # the same each time


def test_a_voice_that_does_not_exist_is_told(tmp_path: Path):
    run = eslbot("--voice", "nobody", SCENARIOS / "energy.yaml", state=tmp_path)
    assert run.returncode == 2
    assert "callers can't be synthesised" in run.stderr


# -- the command


def eslbot(*arguments: object, state: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "eslbot", "eval", *map(str, arguments)],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "ESLBOT_STATE_DIR": str(state)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_what_is_set_up_wrongly_ends_with_two(tmp_path: Path):
    for arguments, cause in (
        ((one(tmp_path, "      - sya: hello"),), "line 5: scenarios.0.steps.0.sya: unknown key"),
        ((SCENARIOS, "--only", "nowhere"), "no scenario's name holds nowhere"),
        ((SCENARIOS, "--parallel", 0), "--parallel 0: not within 1 to 64"),
        ((SCENARIOS, "--text", "--connect", "127.0.0.1:9"), "REDIS_URL: "),
    ):
        run = eslbot(*arguments, state=tmp_path)
        assert run.returncode == 2
        assert cause in run.stderr


def test_scenarios_are_listed_without_a_call(tmp_path: Path):
    run = eslbot(SCENARIOS, "--only", "reminder", "--list", state=tmp_path)
    assert run.returncode == 0
    assert "reminder/agrees-and-pays" in run.stdout.splitlines()


# -- the examples, called


def call_all(chosen: list[Case], folder: Path, text: bool) -> None:
    speech = Speech(folder / "callers")
    if not text:
        speech.prepare(chosen)
    own = Own(chosen, folder, folder / "state", 1 if text else 6, "embedded")
    try:
        own.start()
        results = Run(own.dial, own.client, speech, text=text).all(chosen, 8, lambda one: None)
    finally:
        own.stop()
    wrong = [told.row(result) for result in results if result.wrong()]
    assert not wrong, "\n" + "\n".join(wrong)


def test_callers_speak_to_the_examples(tmp_path: Path):
    chosen = [case for case in everything() if case.id in SPOKEN]
    assert len(chosen) == len(SPOKEN)
    call_all(chosen, tmp_path, text=False)


def test_callers_type_to_the_examples(tmp_path: Path):
    """The words as they are meant: what is left are the bots, their tools and their rules."""

    def waits(case: Case) -> bool:
        return any((step.silence_s or 0) > 10 for step in case.scenario.steps)

    chosen = [case for case in everything() if case.id not in SPOKEN and not waits(case)]
    assert len(chosen) >= 25
    call_all(chosen, tmp_path, text=True)
