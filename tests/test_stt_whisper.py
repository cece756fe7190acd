"""faster-whisper through its real loading and decoding, on a small generated model."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests import whisper_model
from workers.stt.engine import Hints
from workers.stt.whisper import WhisperEngine, WhisperUnavailable

SENTENCE = "what is my balance"
SECOND = b"\x10\x00" * 8000


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> WhisperEngine:
    folder = tmp_path_factory.mktemp("whisper")
    whisper_model.make(folder, SENTENCE)
    return WhisperEngine(str(folder), device="cpu", cpu_threads=1, fetch=False)


def test_what_the_model_says_is_what_was_heard(engine: WhisperEngine):
    utterance = engine.open(Hints())
    utterance.feed(SECOND)
    heard = utterance.finish(20.0)
    utterance.close()
    assert heard.text.strip() == SENTENCE
    assert 0.0 < heard.confidence <= 1.0


def test_nothing_said_is_nothing_heard(engine: WhisperEngine):
    utterance = engine.open(Hints())
    assert utterance.finish(5.0).text == ""
    utterance.close()


def test_several_utterances_at_once_are_all_heard(engine: WhisperEngine):
    heard: list[str] = []

    def one() -> None:
        utterance = engine.open(Hints())
        utterance.feed(SECOND)
        heard.append(utterance.finish(60.0).text.strip())
        utterance.close()

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert heard == [SENTENCE] * 4


@pytest.mark.parametrize(("window_s", "frames"), [(0, 3000), (10, 1000), (2, 300)])
def test_a_shorter_window_is_encoded_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window_s: int, frames: int
):
    from faster_whisper import WhisperModel

    whisper_model.make(tmp_path, SENTENCE)
    seen: list[int] = []
    encode = WhisperModel.encode

    def look(self: WhisperModel, features):  # type: ignore[no-untyped-def]
        seen.append(features.shape[-1])
        return encode(self, features)

    monkeypatch.setattr(WhisperModel, "encode", look)
    one = WhisperEngine(str(tmp_path), device="cpu", cpu_threads=1, fetch=False, window_s=window_s)
    utterance = one.open(Hints())
    utterance.feed(SECOND)
    assert utterance.finish(20.0).text.strip() == SENTENCE
    utterance.close()
    assert seen == [frames]  # one second of it is speech


@pytest.mark.parametrize("what", ["empty folder", "broken model", "no such path"])
def test_a_model_that_can_not_be_loaded_is_named(tmp_path: Path, what: str):
    folder = tmp_path / "model"
    if what != "no such path":
        folder.mkdir()
    if what == "broken model":
        for name in ("model.bin", "config.json", "tokenizer.json"):
            (folder / name).write_bytes(b"nonsense")
    with pytest.raises(WhisperUnavailable) as caught:
        WhisperEngine(str(folder), device="cpu", fetch=False)
    assert "\n" not in str(caught.value)
