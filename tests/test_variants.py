"""Variants: who gets which, how they do, and when one is promoted."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from sqlalchemy import insert

from eslbot import evidence, promotion
from eslbot.evidence import Ended, Tally, mean_apart, share, share_apart, student, tallies, winner
from eslbot.records import schema
from eslbot.records.store import Store
from eslbot.served import Served, draw
from eslbot.variants import promote_by_evidence, sufficient
from tests.conftest import ENERGY, RedisServer
from tests.house import ROOT
from workers.bot import Bot, load
from workers.settings import load as load_settings

VARIANTS = {
    "salt": "one",
    "promote": {"calls": 50},
    "choices": {
        "plain": {"weight": 3},
        "brief": {
            "greeting": "Yes?",
            "phrases": {"goodbye": "Bye."},
            "answers": {"hours": "Nine to five."},
        },
    },
}


@pytest.fixture(scope="module")
def bot(tmp_path_factory: pytest.TempPathFactory) -> Bot:
    path = tmp_path_factory.mktemp("bot") / "bot.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(ENERGY.read_text()) | {"variants": VARIANTS}))
    return load(path)


# -- who gets which


def test_a_variant_is_the_bot_with_its_own_words_and_a_sha_of_its_own(bot: Bot) -> None:
    bots = Served(bot, list).now.bots
    plain, brief = bots["plain"], bots["brief"]
    assert (brief.greeting, brief.phrases.goodbye) == ("Yes?", "Bye.")
    assert brief.intents["hours"].answer == "Nine to five."
    assert brief.intents["balance"] == plain.intents["balance"]
    assert plain.greeting == bot.greeting
    assert len({bot.sha, plain.sha, brief.sha}) == 3
    assert Bot.model_validate_json(brief.model_dump_json()).sha == brief.sha
    assert {"Yes?", "Nine to five."} <= set(brief.fixed_phrases())


def test_callers_are_shared_out_by_weight_and_each_keeps_his_variant() -> None:
    weights = {"a": 3, "b": 1, "never": 0}
    drawn = {str(n): draw(weights, "salt", str(n)) for n in range(4000)}
    counts = Counter(drawn.values())
    assert counts["a"] + counts["b"] == 4000
    assert 900 < counts["b"] < 1100
    assert all(draw(weights, "salt", one) == name for one, name in drawn.items())
    moved = sum(draw(weights, "other", one) != name for one, name in drawn.items())
    assert 1200 < moved < 1800  # another salt draws anew: 2 x 3/4 x 1/4 of them change


def test_calls_without_a_number_are_drawn_each_by_itself(bot: Bot) -> None:
    served = Served(bot, list)
    for number in ("", "anonymous"):
        names = {served.choose(number, f"call-{n}")[0] for n in range(40)}
        assert names == {"plain", "brief"}
    assert len({served.choose("+1 555 0100", f"call-{n}")[0] for n in range(40)}) == 1


def test_a_promoted_variant_is_everybodys_unless_the_file_has_it_no_more(bot: Bot) -> None:
    served = Served(bot, list)
    served.promoted = "brief"
    assert {served.choose("", f"call-{n}")[0] for n in range(40)} == {"brief"}
    served.promoted = "gone"
    assert {served.choose("", f"call-{n}")[0] for n in range(40)} == {"plain", "brief"}


# -- how they do


@pytest.mark.parametrize(
    ("p", "freedom", "table"),
    [(0.975, 1, 12.706), (0.975, 2, 4.303), (0.975, 3, 3.182), (0.975, 5, 2.571),
     (0.975, 10, 2.228), (0.975, 30, 2.042), (0.995, 7, 3.499), (0.95, 4, 2.132),
     (0.9995, 12, 4.318)],
)  # fmt: skip
def test_students_quantile_is_that_of_the_tables(p: float, freedom: float, table: float) -> None:
    assert student(p, freedom) == pytest.approx(table, abs=6e-4)


def test_intervals_are_those_of_the_papers() -> None:
    # Newcombe (1998), table II (a): 56 of 70 and 48 of 80.
    found = share_apart([True] * 56 + [False] * 14, [True] * 48 + [False] * 32, 0.95)
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    # Newcombe (1998) on single proportions, method 3: 81 of 263, 15 of 148, 0 of 20.
    assert share(81, 263, 0.95)[1:] == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert share(15, 148, 0.95)[1:] == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert share(0, 20, 0.95)[1:] == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_a_handful_of_calls_breaks_nothing() -> None:
    assert share(0, 0, 0.95)[1:] == (0.0, 1.0)
    assert not share_apart([], [True], 0.95).apart
    assert not mean_apart([1.0], [2.0, 3.0], 0.95).apart
    assert mean_apart([2.0, 2.0], [1.0, 1.0], 0.95).apart
    found = tallies([Ended("a", True, False, None), Ended("a", False, True, float("nan"))])
    assert (len(found["a"]), found["a"].handling_s) == (2, [])
    assert winner({}, ["a", "b"], 20, 0.95) == ""


def calls(rng: random.Random, **resolved: float) -> dict[str, Tally]:
    return tallies(
        Ended(name, rng.random() < p, False, rng.gauss(60, 10))
        for _ in range(800)
        for name, p in resolved.items()
    )


def test_variants_that_are_alike_are_promoted_no_more_often_than_was_asked_for() -> None:
    rng = random.Random(7)
    rounds = 400
    promoted = sum(
        bool(winner(calls(rng, a=0.6, b=0.6), ["a", "b"], 50, 0.9)) for _ in range(rounds)
    )
    assert promoted / rounds < 0.1 + 3 * (0.1 * 0.9 / rounds) ** 0.5


def test_the_better_one_is_found_and_only_looks_that_were_due_count() -> None:
    rng = random.Random(8)
    assert winner(calls(rng, a=0.55, b=0.75), ["a", "b"], 50, 0.95) == "b"
    some = calls(rng, a=0.2, b=0.9)
    cut = {
        name: Tally(t.resolved[:49], t.escalated[:49], t.handling_s[:49])
        for name, t in some.items()
    }
    assert winner(cut, ["a", "b"], 50, 0.95) == ""
    assert winner(some, ["a", "b", "unheard"], 50, 0.95) == ""


def test_a_variant_that_nobody_gets_is_not_promoted_and_none_without_a_rival(bot: Bot) -> None:
    found = calls(random.Random(9), plain=0.4, brief=0.6, old=0.95)
    assert bot.variants is not None
    old = bot.variants.choices["plain"].model_copy(update={"weight": 0})
    choices = {**bot.variants.choices, "old": old}

    def chosen(**weights: int) -> str:
        some = {name: one.model_copy(update={"weight": weights[name]} if name in weights else {})
                for name, one in choices.items()}  # fmt: skip
        tried = bot.variants.model_copy(update={"choices": some}) if bot.variants else None
        return sufficient(bot.model_copy(update={"variants": tried}), found)

    assert chosen() == "brief"  # not the old one, however well it did
    assert chosen(plain=0) == ""  # brief has nobody left to be better than
    assert chosen(old=1) == "old"


def test_no_variant_has_calls_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "MAX_CALLS", 3)
    found = tallies(Ended("a", True, True, 1.0) for _ in range(9))
    assert (len(found["a"]), len(found["a"].handling_s)) == (3, 3)


# -- promoting


def test_a_promotion_holds_and_who_said_so_is_kept_in_bounds(client: redis.Redis) -> None:
    assert promotion.promoted(client, "shop") == ""
    for n in range(promotion.MAX_LOG + 5):
        promotion.promote(client, "shop", f"v{n}", "told to" * 100)
    assert promotion.promoted(client, "shop") == f"v{promotion.MAX_LOG + 4}"
    log = promotion.history(client, "shop")
    assert len(log) == promotion.MAX_LOG
    assert log[0]["variant"] == f"v{promotion.MAX_LOG + 4}"
    assert len(log[0]["why"]) == 200
    promotion.promote(client, "shop", "", "told to")
    assert promotion.promoted(client, "shop") == ""
    for wrong in ("no JSON", "[]", '{"variant": 7}', '{"variant": "no name\\n"}'):
        client.lpush(promotion.key("shop"), wrong)
        assert promotion.promoted(client, "shop") == ""


@pytest.fixture
def command(tmp_path: Path, bot: Bot, shared_redis: RedisServer, client: redis.Redis) -> Any:
    """eslbot variants, on records of its own."""
    example = yaml.safe_load(ENERGY.read_text()) | {"variants": VARIANTS}
    (tmp_path / "bot.yaml").write_text(yaml.safe_dump(example, sort_keys=False))
    url = f"sqlite:///{tmp_path / 'records.sqlite3'}"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environ = {"ESLBOT_BOT": str(tmp_path / "bot.yaml"), "REDIS_URL": shared_redis.url,
                   "ESLBOT_RECORDS_URL": url, "ESLBOT_STATE_DIR": str(tmp_path)}  # fmt: skip
        return subprocess.run(
            [sys.executable, "-m", "eslbot", "variants", *arguments],
            cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    run.store = Store(url)  # type: ignore[attr-defined]
    return run


def write(store: Store, **resolved: float) -> None:
    rng = random.Random(5)
    with store.begin() as connection:
        for n in range(120):
            for name, p in resolved.items():
                served = rng.random() < p
                row = {"uuid": f"{name}-{n}", "bot": "energy", "variant": name,
                       "started_at": 1e9 + n, "ended_at": 1e9 + n + 60,
                       "resolved": served, "escalated": not served,
                       "handling_s": rng.gauss(60, 10)}  # fmt: skip
                connection.execute(insert(schema.calls).values(row))


def test_the_command_reports_promotes_and_withdraws(command: Any, client: redis.Redis) -> None:
    empty = command()
    assert (empty.returncode, "does not suffice yet" in empty.stdout) == (0, True), empty.stderr
    write(command.store, plain=0.4, brief=0.9, another=1.0)
    told = command()
    assert told.returncode == 0, told.stderr
    head, plain, brief, apart, *_ = told.stdout.splitlines()
    assert head.split() == ["variant", "calls", "resolved", "escalated", "handling"]
    assert plain.split()[:2] == ["plain", "120"]
    assert brief.split()[:2] == ["brief", "120"]
    assert apart.startswith("brief - plain")
    assert "the evidence suffices: brief" in told.stdout
    assert promotion.promoted(client, "energy") == ""  # it only reports

    assert "promoted: brief" in command("--auto").stdout
    assert promotion.promoted(client, "energy") == "brief"
    assert "withdrawn" in command("--withdraw").stdout
    assert promotion.promoted(client, "energy") == ""
    command("--auto")  # what was withdrawn by hand is not promoted again by itself
    assert promotion.promoted(client, "energy") == ""
    command("--promote", "plain")
    assert promotion.promoted(client, "energy") == "plain"
    wrong = command("--promote", "none")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "there is plain, brief" in wrong.stderr
    later = command("--since", "2002-01-01").stdout.splitlines()
    assert [line.split()[:2] for line in later[1:3]] == [["plain", "0"], ["brief", "0"]]


def test_the_recorder_promotes_what_the_file_asks_for(
    command: Any, tmp_path: Path, client: redis.Redis
) -> None:
    settings = load_settings({"ESLBOT_BOT": str(tmp_path / "bot.yaml")})
    assert promote_by_evidence(settings, command.store, client) == ""
    write(command.store, plain=0.4, brief=0.9)
    assert promote_by_evidence(settings, command.store, client) == "brief"
    (entry,) = promotion.history(client, "energy")
    assert sorted(entry["why"].split(": ")[1].split(", ")) == ["brief 120", "plain 120 calls"]
    assert promote_by_evidence(settings, command.store, client) == ""  # once


def test_a_bot_without_variants_is_told_so(command: Any, tmp_path: Path) -> None:
    (tmp_path / "bot.yaml").write_text(ENERGY.read_text())
    wrong = command()
    assert (wrong.returncode, "has no variants" in wrong.stderr) == (2, True)
