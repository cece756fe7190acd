"""Prompts from disk: a file that is cut, or lies about itself, does no harm."""

from __future__ import annotations

import struct
import wave
from pathlib import Path
from typing import Any

import pytest

from eslbot.prompts import MAX_PROMPT_BYTES, Prompts, read_wav, write_wav
from workers.bot import Bot
from workers.messages import Message, SentencesEnd, Speech, SpeechEnd, Turn

PCM = bytes(range(200))


def written(tmp_path: Path, pcm: bytes = PCM) -> Path:
    path = tmp_path / "prompt.wav"
    write_wav(path, pcm)
    return path


def test_what_is_written_is_read(tmp_path: Path):
    assert read_wav(written(tmp_path)) == PCM


def test_a_file_cut_within_a_sample_gives_whole_samples(tmp_path: Path):
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:-3])
    assert read_wav(path) == PCM[:-4]


def test_a_file_without_end_is_read_to_the_bound(tmp_path: Path):
    path = written(tmp_path, bytes(MAX_PROMPT_BYTES + 1000))
    assert len(read_wav(path)) == MAX_PROMPT_BYTES


def _longer_chunk(raw: bytes) -> bytes:
    return raw[:36] + b"LIST" + struct.pack("<I", 2**31) + raw[36:]


BROKEN = {
    "nothing": lambda raw: b"",
    "half a header": lambda raw: raw[:30],
    "another kind": lambda raw: b"OggS" + raw[4:],
    "a chunk longer than the file": _longer_chunk,
    "no audio": lambda raw: raw[:36],
    "no channels": lambda raw: raw[:22] + b"\0\0" + raw[24:],
    "no bits": lambda raw: raw[:34] + b"\0\0" + raw[36:],
    "floats": lambda raw: raw[:20] + b"\3\0" + raw[22:],
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_prompt_is_refused_by_name(tmp_path: Path, kind: str):
    path = written(tmp_path)
    path.write_bytes(BROKEN[kind](path.read_bytes()))
    with pytest.raises(ValueError, match=r"prompt\.wav"):
        read_wav(path)


@pytest.mark.parametrize("shape", [(1, 2, 16000), (2, 2, 8000), (1, 1, 8000)])
def test_another_format_is_refused_with_the_one_that_is_wanted(
    tmp_path: Path, shape: tuple[int, int, int]
):
    path = tmp_path / "prompt.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(shape[0])
        file.setsampwidth(shape[1])
        file.setframerate(shape[2])
        file.writeframes(PCM)
    with pytest.raises(ValueError, match="not 8000 Hz, mono, 16 bit"):
        read_wav(path)


class Voice:
    """A link whose only worker says everything with the same sound."""

    def out_for(self, call: str) -> str:
        return "here"

    def register(self, call: str, handler: Any) -> None:
        self.handler = handler

    def forget(self, call: str, handler: Any) -> None:
        pass

    def dispatch(self, turn: Turn, stage: str) -> None:
        self.epoch = turn.epoch

    def feed(self, turn: Turn, stage: str, message: Message) -> None:
        if isinstance(message, SentencesEnd):
            for index in (*range(message.count), message.count):  # one more than there are
                self.handler(self.epoch, 0, Speech(index, 0, PCM))
                self.handler(self.epoch, 0, SpeechEnd(index, False))
            self.handler(self.epoch, 0, SpeechEnd(0, True))


def test_a_disk_that_takes_nothing_leaves_prompts_to_be_played(tmp_path: Path, energy: Bot, caplog):
    (tmp_path / "prompts").write_text("in the folder's place")
    prompts = Prompts(tmp_path)
    voice: Any = Voice()
    prompts.render(voice, "here", "espeak", [energy])
    assert prompts.complete(energy)
    assert "prompt not kept" in caplog.text
