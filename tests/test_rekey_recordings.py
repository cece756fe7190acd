"""Recordings under a new key: the same sound, whatever dies or is deleted meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from eslbot.media import recording
from eslbot.media.recording import MAGIC, header, read, sealed
from eslbot.records import command, keeping, rekey
from eslbot.records.keeping import DRAFT
from eslbot.records.rekey import Rekeyed, rekey_recordings
from eslbot.records.seal import Seal, new_key
from eslbot.records.store import Store
from workers.settings import Settings

OLD, NEW = b"o" * 32, b"n" * 32
NOW = 1_800_000_000.0
SECONDS = [bytes([n, 1]) * 16_000 for n in range(5)]
WHOLE = header(5 * 32_000) + b"".join(SECONDS)


def write(path: Path, key: bytes = OLD, at: float = NOW - 3600, cut: int = 0) -> Path:
    """A recording of five seconds; cut: bytes that a killed process did not write."""
    blocks = [header(0), *SECONDS]
    whole = MAGIC + b"".join(sealed(AESGCM(key), n, block) for n, block in enumerate(blocks))
    path.write_bytes(whole[: len(whole) - cut])
    os.utime(path, (at, at))
    return path


def name(digit: str) -> str:
    return digit * 32 + ".enc"


def test_the_same_is_heard_with_the_new_key_alone_and_is_as_old(tmp_path: Path):
    one = write(tmp_path / name("a"))
    had = write(tmp_path / name("b"), NEW)
    before = had.read_bytes()
    assert rekey_recordings(tmp_path, [NEW, OLD], NOW) == Rekeyed(done=1, had=1)
    assert read(one, [NEW]) == read(had, [NEW]) == WHOLE
    assert had.read_bytes() == before
    assert (one.stat().st_mtime, one.stat().st_mode & 0o777) == (NOW - 3600, 0o600)
    assert rekey_recordings(tmp_path, [NEW, OLD], NOW) == Rekeyed(had=2)
    assert len(list(tmp_path.iterdir())) == 2


def test_what_a_killed_listener_had_written_is_kept(tmp_path: Path):
    one = write(tmp_path / name("a"), cut=10)
    assert rekey_recordings(tmp_path, [NEW, OLD], NOW).done == 1
    assert read(one, [NEW]) == header(4 * 32_000) + b"".join(SECONDS[:4])


def changed(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    os.utime(path, (NOW - 3600,) * 2)


def huge(path: Path) -> None:
    path.write_bytes(MAGIC + b"\xff" * 16)
    os.utime(path, (NOW - 3600,) * 2)


@pytest.mark.parametrize("spoil", [changed, huge, lambda p: p.write_bytes(b"RIFF")])
def test_what_can_not_be_done_is_told_and_left_and_the_others_are_done(
    tmp_path: Path, spoil: Callable[[Path], object]
):
    bad, good = write(tmp_path / name("a")), write(tmp_path / name("b"))
    spoil(bad)
    before = bad.read_bytes()
    found = rekey_recordings(tmp_path, [NEW, OLD], NOW)
    assert (found.done, [one for one, _ in found.failed]) == (1, [bad.name])
    assert bad.read_bytes() == before
    assert read(good, [NEW]) == WHOLE
    assert len(list(tmp_path.iterdir())) == 2


def test_one_that_is_still_written_is_left_to_its_listener(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fresh = write(tmp_path / name("a"), at=NOW - 5)
    grows = write(tmp_path / name("b"))
    original = recording.sealed

    def while_it_grows(key: AESGCM, number: int, block: bytes) -> bytes:
        with grows.open("ab") as file:
            file.write(b"x")
        return original(key, number, block)

    monkeypatch.setattr(rekey, "sealed", while_it_grows)
    assert rekey_recordings(tmp_path, [NEW, OLD], NOW) == Rekeyed(open=2)
    assert read(fresh, [OLD]) == read(grows, [OLD]) == WHOLE


def test_what_is_deleted_meanwhile_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    one = write(tmp_path / name("a"))
    original = recording.sealed

    def while_it_goes(key: AESGCM, number: int, block: bytes) -> bytes:
        one.unlink(missing_ok=True)
        return original(key, number, block)

    monkeypatch.setattr(rekey, "sealed", while_it_goes)
    assert rekey_recordings(tmp_path, [NEW, OLD], NOW) == Rekeyed()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_killed_leaves_nothing_behind(tmp_path: Path):
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    one = write(recordings / name("a"))
    drafts = [write(recordings / f"{name('a')}.{n}{DRAFT}", NEW, cut=99) for n in "12"]
    store = Store(f"sqlite:///{tmp_path / 'records'}", Seal([], b"p" * 32))
    os.utime(drafts[0], (NOW - 5,) * 2)  # another run still writes this one
    settings = Settings(state_dir=str(tmp_path), keep_audio_days=30, keep_text_days=0)
    assert keeping.prune(store, settings, NOW) == (0, 0)
    store.close()
    assert [path.exists() for path in (one, *drafts)] == [True, True, False]
    assert rekey_recordings(recordings, [NEW, OLD], NOW + 60).done == 1
    assert list(recordings.iterdir()) == [one]
    assert read(one, [NEW]) == WHOLE


def test_the_command_says_whether_the_old_key_can_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    old, new = new_key(), new_key()
    settings = Settings(state_dir=str(tmp_path))
    store = Store(f"sqlite:///{tmp_path / 'records'}", Seal([new, old]))
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    write(recordings / name("a"), Seal([old]).audio_keys[0], time.time() - 3600)
    write(recordings / name("b"), at=time.time())
    assert command._rekey(settings, store) == 1
    told = capsys.readouterr()
    assert "1 recordings sealed with the newest key" in told.out
    assert "1 recordings are still being written" in told.err
    (recordings / name("b")).unlink()
    assert command._rekey(settings, store) == 0
    assert "0 recordings sealed with the newest key, 1 were already" in capsys.readouterr().out
    store.close()
