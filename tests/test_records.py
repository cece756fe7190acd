"""Records in a real SQLite and a real PostgreSQL: written once, in any order, and told."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import select, text

from eslbot.records import export, migrations, read, report, schema, show
from eslbot.records.fold import Entry, EntryError, entry
from eslbot.records.seal import Seal
from eslbot.records.store import Store, StoreError, transient
from tests.house import ROOT
from tests.recorded import NUMBER, PEPPER, entries, put, whole
from workers.settings import Settings


def test_a_call_is_read_as_it_happened(store: Store):
    put(store, *entries())
    call = whole(store)
    assert call["bot"] == "energy" and call["outcome"] == "caller gone"
    assert call["variables"] == {"ai_account": "4271"}
    assert (call["resolved"], call["escalated"], call["turn_count"]) == (True, False, 1)
    assert call["handling_s"] == 3.0 and call["hung_up_by"] == "caller"
    (turn,) = call["turns"]
    assert turn["heard"] == "what is my balance" and turn["slots"] == {"account": "4271"}
    assert turn["more"] == {"new_thing": "kept"}
    assert [event["what"] for event in call["events"]] == ["call", "said", "ended", "hangup"]


@pytest.mark.parametrize("seed", range(5))
def test_neither_order_nor_repetition_matter(records_url: str, seed: int):
    store = Store(records_url, Seal([], PEPPER))
    those = [*entries(), *[entries()[n] for n in (0, 2, 3)]]
    amended = Entry("c1-9", "c1", "leg", 9, 1009.0, "amended", "h", "sha",
                    {"number": 1, "text": "now [CARD_1]"})  # fmt: skip
    those.append(amended)
    random.Random(seed).shuffle(those)
    for one in those:
        put(store, one)
    call = whole(store)
    assert [turn["heard"] for turn in call["turns"]] == ["now [CARD_1]"]
    assert (call["resolved"], call["turn_count"], call["handling_s"]) == (True, 1, 3.0)
    assert len(call["events"]) == 5
    store.close()


def test_recorders_that_write_the_same_at_once_write_it_once(records_url: str):
    stores = [Store(records_url, Seal([], PEPPER)) for _ in range(3)]
    put(stores[0])  # the schema
    failed: list[BaseException] = []

    def work(store: Store) -> None:
        try:
            for n in range(10):
                put(store, *entries(f"c{n}"))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    found = read.calls(stores[0])
    assert len(found) == 10 and all(call["turn_count"] == 1 for call in found)
    for store in stores:
        store.close()


@pytest.mark.parametrize(
    ("turns", "menu", "outcome", "resolved", "escalated"),
    [
        ([{}], False, "hung up", True, False),
        ([{"misses": 1, "intent": None}], False, "caller gone", False, False),
        ([{"open_intent": "balance"}], False, "caller gone", False, False),
        ([{}], False, "transferred", False, True),
        ([{}], True, "caller gone", False, True),
        ([{}, {"number": 2, "misses": 1, "intent": None}], False, "hung up", False, False),
        ([{"outcome": "merged"}], False, "hung up", False, False),
        ([], False, "caller gone", False, False),
    ],
)
def test_what_counts_as_resolved_and_as_escalated(
    tmp_path: Path, turns, menu, outcome, resolved, escalated
):
    store = Store(f"sqlite:///{tmp_path / 'x'}")
    those = [e for e in entries() if e.what == "call"]
    made = [next(e for e in entries(**turn) if e.what == "turn") for turn in turns]
    those += made
    if menu:
        those.append(Entry("m", "c1", "leg", 7, 1003.5, "menu", "", "", {"reason": "x"}))
    those.append(Entry("e", "c1", "leg", 8, 1004.0, "ended", "", "", {"outcome": outcome}))
    put(store, *those)
    call = whole(store)
    assert (call["resolved"], call["escalated"]) == (resolved, escalated)


def test_a_call_that_comes_back_is_one_call(store: Store):
    put(store, *entries())
    again = [Entry(f"x{e.id}", e.call, "leg2", e.seq, e.at + 100, e.what, e.listener, e.bot,
                   e.fields) for e in entries()]  # fmt: skip
    put(store, *again)
    call = whole(store)
    assert call["turn_count"] == 2 and call["started_at"] == 1001.0
    assert call["handling_s"] == 103.0


def test_filters(store: Store):
    put(store, *entries("a", 1000.0), *entries("b", 2000.0, intent="bill"))
    found = lambda **of: [c["uuid"] for c in read.calls(store, read.Query(**of))]  # noqa: E731
    assert found() == ["b", "a"]
    assert found(intent="bill") == ["b"] and found(since=1500.0) == ["b"]
    assert found(until=1500.0) == ["a"] and found(uuid="a") == ["a"] and found(uuid="%") == []
    assert found(resolved=True) == ["b", "a"] and found(escalated=True) == []
    assert found(caller="0049305550100") == ["b", "a"] and found(caller="5550100") == []
    assert len(read.calls(store, limit=1)) == 1


def test_who_read_a_call_stands_in_the_audit_trail_which_nobody_can_change(store: Store):
    put(store, *entries())
    read.call(store, "c1", who="anna")
    assert [(row["who"], row["what"], row["call"]) for row in read.audit(store)] == [
        ("anna", "read", "c1")
    ]
    for statement in ("UPDATE audit SET who = 'x'", "DELETE FROM audit"):
        with pytest.raises(StoreError, match="append-only"), store.begin() as connection:
            connection.execute(text(statement))


def test_a_database_is_migrated_once_and_a_newer_one_is_refused(records_url: str):
    for _ in range(2):
        store = Store(records_url)
        with store.begin() as connection:
            version = connection.execute(select(schema.meta.c.value)).scalar()
        assert version == str(len(migrations.STEPS))
        store.close()
    with store.begin() as connection:
        connection.execute(text("UPDATE meta SET value = '99'"))
    newer = Store(records_url)
    with pytest.raises(StoreError, match="version 99"), newer.begin():
        pass


def test_the_migrations_make_what_the_code_takes_for_granted(store: Store):
    with store.begin() as connection:
        for table in schema.metadata.sorted_tables:
            connection.execute(select(table)).all()


def test_text_that_no_database_takes_is_told_from_a_database_that_is_away(store: Store):
    put(store, *entries(heard="nul \0 and \U0001f600", slots={"name": "half \ud800"}))
    turn = whole(store)["turns"][0]
    assert turn["heard"] == "nul  and \U0001f600"
    assert turn["slots"] == {"name": "half ?"}
    away = Store("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(StoreError) as error, away.begin():
        pass
    assert transient(error.value)


@pytest.mark.parametrize(
    "raw",
    [
        {}, {b"id": b"1"}, {b"fields": b"[]"},
        {b"id": b"1", b"call": b"c", b"leg": b"l", b"seq": b"x", b"at": b"1", b"what": b"w",
         b"fields": b"{}"},
        {b"id": b"1", b"call": b"c", b"leg": b"l", b"seq": b"1", b"at": b"nan", b"what": b"w",
         b"fields": b"{}"},
        {b"id": b"1", b"call": b"c", b"leg": b"l", b"seq": b"1", b"at": b"1", b"what": b"turn",
         b"fields": b"{}"},
        {b"id": b"1", b"call": b"\xff", b"leg": b"l", b"seq": b"1", b"at": b"1", b"what": b"w",
         b"fields": b"{}"},
    ],
)  # fmt: skip
def test_an_entry_that_is_not_ours_is_refused(raw):
    with pytest.raises(EntryError):
        entry(raw)


# -- what is told


def test_a_call_is_shown_with_its_timings(store: Store):
    put(store, *entries(heard="what\x1b[31m is it", interrupted=True))
    shown = show.call(whole(store))
    assert "caller   what [31m is it" in shown and "\x1b" not in shown
    assert "It is zero.  <- interrupted" in shown and "| 900 ms" in shown
    bar = next(line for line in shown.splitlines() if "| 900 ms" in line)
    assert bar.count(".") == round(640 * 50 / 900) and bar.count("p") == 50 - bar.count(".")
    assert "c1" in show.table(read.calls(store))


def test_the_report_names_what_to_better(store: Store):
    missed = {"misses": 1, "intent": None, "heard": "Gas  bottle?", "open_intent": None}
    for n in range(3):
        call = entries(f"e{n}", 1000.0 + n, **missed)
        menu = Entry(f"m{n}", f"e{n}", "leg", 9, 1002.9, "menu", "", "", {"reason": "r"})
        put(store, *call, menu)
    asked = [
        Entry(f"t{n}", "a", "leg", n, 1000.0 + n, "turn", "", "",
              {"number": n, "asked": "account", "misses": 0, "outcome": "answered",
               "intent": "balance", "open_intent": "balance", "heard": "x"})
        for n in range(1, 4)
    ]  # fmt: skip
    put(store, *asked, *entries("fine"))
    found = report.make(store, read.Query(), 100)
    assert (found["calls"], found["resolved"], found["escalated"]) == (4, 1, 3)
    assert found["not_understood"] == [{"heard": "gas bottle", "times": 3}]
    assert found["asked_again"] == [{"what": "account", "again": 2, "asked": 3}]
    assert found["escalation"] == [
        {"intent": "(none)", "reason": "not understood", "calls": 3, "of": 3}
    ]
    told = report.told(found)
    assert "3  gas bottle" in told and "2 of 3     account" in told


def test_what_is_exported_can_be_trained_on(store: Store):
    put(store, *entries())
    (line,) = export.lines(store, read.Query(), 10, "chat")
    assert json.loads(line)["messages"] == [
        {"role": "user", "content": "what is my balance"},
        {"role": "assistant", "content": "It is zero."},
    ]
    (line,) = export.lines(store, read.Query(), 10, "turns")
    assert json.loads(line)["slots"] == {"account": "4271"}
    assert [row["what"] for row in read.audit(store)] == ["exported", "exported"]


def test_the_commands(tmp_path: Path):
    store = Store.of(Settings(state_dir=str(tmp_path)))
    those = [Entry(e.id, e.call, e.leg, e.seq, e.at, e.what, e.listener, e.bot,
                   e.fields | {"caller": store.seal.caller(NUMBER)} if e.what == "call"
                   else e.fields) for e in entries()]  # fmt: skip
    put(store, *those)
    store.close()

    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "eslbot", *arguments], cwd=ROOT, capture_output=True, text=True,
            env={"ESLBOT_STATE_DIR": str(tmp_path), **environ}, timeout=60, check=False,
        )  # fmt: skip

    assert run("calls", "--json", "--since", "2001-01-01").stdout == ""
    assert json.loads(run("calls", "--json").stdout)["uuid"] == "c1"
    assert "what is my balance" in run("show", "c").stdout
    assert run("show", "nobody").returncode == 1
    assert "1 calls" in run("report").stdout
    assert run("calls", "--since", "soon").returncode == 2
    assert "ESLBOT_RECORDS_URL" in run("calls", ESLBOT_RECORDS_URL="mysql://x").stderr
    secret = run("calls", ESLBOT_RECORDS_URL="postgresql://u:hunter2@127.0.0.1:1/x")
    assert secret.returncode == 2 and "hunter2" not in secret.stderr + secret.stdout
    assert len(Seal([run("records", "key").stdout.strip()]).audio_keys) == 1
    assert run("forget", NUMBER).stdout == "1 calls and 0 recordings deleted\n"
    assert run("forget", NUMBER).returncode == 1
