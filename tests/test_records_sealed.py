"""Records in a real SQLite and a real PostgreSQL: sealed, kept for a time, forgotten."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import pytest

from eslbot.media.recording import folder
from eslbot.records import keeping, read, rekey
from eslbot.records.fold import Entry
from eslbot.records.seal import MARK, Seal, SealError, new_key
from eslbot.records.seal import load as load_seal
from eslbot.records.store import Store
from tests.recorded import NUMBER, PEPPER, entries, put, whole
from workers.settings import Settings, SettingsError


def bytes_of(folder: Path) -> bytes:
    return b"".join(p.read_bytes() for p in folder.iterdir() if p.is_file())


# -- encryption


def test_with_a_key_no_word_stands_in_the_file(tmp_path: Path):
    plain = Store(f"sqlite:///{tmp_path / 'plain'}", Seal([], PEPPER))
    put(plain, *entries())
    assert b"what is my balance" in bytes_of(tmp_path)  # the search finds what is there
    folder = tmp_path / "sealed"
    folder.mkdir()
    sealed = Store(f"sqlite:///{folder / 'x'}", Seal([new_key()]))
    put(sealed, *entries())
    for word in (b"what is my balance", b"It is zero", b"4271", b"Welcome"):
        assert word not in bytes_of(folder)
    assert whole(sealed)["turns"][0]["heard"] == "what is my balance"


def test_keys_are_rotated(records_url: str):
    old, new = new_key(), new_key()
    put(Store(records_url, Seal([old])), *entries())
    both = Store(records_url, Seal([new, old]))
    assert whole(both)["turns"][0]["said"] == "It is zero."
    with pytest.raises(SealError, match="no key"):
        whole(Store(records_url, Seal([new])))
    with pytest.raises(SealError, match="ESLBOT_RECORDS_KEY_FILE"):
        whole(Store(records_url))
    assert rekey.rekey(both) >= 6
    assert whole(Store(records_url, Seal([new])))["variables"] == {"ai_account": "4271"}


def test_a_caller_is_found_under_each_key(records_url: str):
    old, new = new_key(), new_key()
    store = Store(records_url, Seal([new, old]))
    of_old = [Entry(e.id, e.call, e.leg, e.seq, e.at, e.what, e.listener, e.bot,
                    e.fields | {"caller": Seal([old]).caller(NUMBER)} if e.what == "call"
                    else e.fields) for e in entries()]  # fmt: skip
    put(store, *of_old)
    assert len(read.calls(store, read.Query(caller=NUMBER))) == 1
    assert Seal([new]).caller(NUMBER) != Seal([old]).caller(NUMBER)
    store.close()


def test_what_was_tampered_with_is_noticed(tmp_path: Path):
    path = tmp_path / "x"
    store = Store(f"sqlite:///{path}", Seal([new_key()]))
    put(store, *entries())
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE turns SET heard = substr(heard, 1, 40) || 'A' || substr(heard, 42)"
        )
    with pytest.raises(SealError):
        whole(Store(f"sqlite:///{path}", store.seal))


def test_a_wrong_key_is_told_without_it(tmp_path: Path):
    (tmp_path / "keys").write_text(f"{new_key()}\nnot-a-key\n")
    with pytest.raises(SettingsError, match="ESLBOT_RECORDS_KEY_FILE: key 2") as error:
        load_seal(Settings(state_dir=str(tmp_path), records_key_file=str(tmp_path / "keys")))
    assert "not-a-key" not in str(error.value)
    with pytest.raises(SettingsError, match="No such file"):
        load_seal(Settings(state_dir=str(tmp_path), records_key_file=str(tmp_path / "none")))


def test_without_a_key_all_processes_share_one_secret(tmp_path: Path):
    settings = Settings(state_dir=str(tmp_path / "state"))
    found = {load_seal(settings).caller(NUMBER) for _ in range(3)}
    assert len(found) == 1 and "" not in found
    assert (tmp_path / "state" / "records.pepper").stat().st_mode & 0o777 == 0o600


# -- keeping


def test_what_is_too_old_goes(records_url: str, tmp_path: Path):
    store = Store(records_url, Seal([], PEPPER))
    now = time.time()
    put(store, *entries("old", now - 100 * 86400), *entries("new", now - 80 * 86400))
    settings = Settings(state_dir=str(tmp_path))
    assert keeping.prune(store, settings) == (1, 0)
    assert [c["uuid"] for c in read.calls(store)] == ["new"]
    assert keeping.prune(store, Settings(state_dir=str(tmp_path), keep_text_days=0)) == (0, 0)
    assert read.audit(store)[-1]["what"] == "expired"
    store.close()


def test_recordings_that_can_not_be_deleted_keep_no_words_alive(tmp_path: Path):
    store = Store(f"sqlite:///{tmp_path / 'x.sqlite3'}", Seal([], PEPPER))
    now = time.time()
    put(store, *entries("old", now - 100 * 86400))
    settings = Settings(state_dir=str(tmp_path))
    stuck = folder(settings) / f"{'0' * 32}.wav"
    stuck.mkdir(parents=True)  # not to be unlinked, as a folder that belongs to another user
    os.utime(stuck, (0, 0))
    with pytest.raises(OSError, match="directory"):
        keeping.prune(store, settings)
    assert read.calls(store) == []
    store.close()


def test_a_caller_is_forgotten_with_recordings_and_to_the_last_byte(tmp_path: Path):
    store = Store(f"sqlite:///{tmp_path / 'x.sqlite3'}", Seal([], PEPPER))
    other = [Entry(e.id, e.call, e.leg, e.seq, e.at, e.what, e.listener, e.bot,
                   e.fields | {"caller": "other"} if e.what == "call" else e.fields)
             for e in entries("c2", heard="another one")]  # fmt: skip
    name = "0123456789abcdef" * 2 + ".wav"
    recorded = Entry("r", "c1", "leg", 9, 1002.0, "recording", "", "", {"file": name})
    evil = Entry("r2", "c3", "leg", 9, 1002.0, "recording", "", "", {"file": "../x.sqlite3"})
    caller = entries("c3")[0]
    put(store, *entries(), recorded, *other, evil, caller)
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / name).write_bytes(b"RIFF")
    assert keeping.forget(store, Settings(state_dir=str(tmp_path)), NUMBER) == (2, 1)
    assert not (tmp_path / "recordings" / name).exists() and (tmp_path / "x.sqlite3").exists()
    assert [c["uuid"] for c in read.calls(store)] == ["c2"]
    store.close()
    left = bytes_of(tmp_path)
    assert b"what is my balance" not in left and b"another one" in left
    assert NUMBER.encode() not in left


def test_sealed_text_is_marked():
    seal = Seal([new_key()])
    assert (seal.seal("x") or "").startswith(MARK) and seal.seal(None) is None
    assert seal.open("plain, from before the key") == "plain, from before the key"
