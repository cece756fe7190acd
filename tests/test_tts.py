"""The engines that run here, speaking for real: espeak-ng, flite; piper as far as it can be had."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.speech import BALANCE, PATIENCE_S, median_pitch_hz, same_words, seconds, spoken
from workers.tts.engine import TtsEngine, TtsError
from workers.tts.espeak import EspeakEngine
from workers.tts.flite import FliteEngine
from workers.tts.piper import PiperEngine

HOSTILE = {
    "tags": "<speak>Hello<break time='90s'/><audio src='file:///etc/passwd'/></speak> there",
    "a tag that never ends": "<speak><voice name='",
    "phonemes": "say [[h@'loU]] and [[ and ]] and [[[[",
    "an espeak command": "\x01900S very \x01+99P slow \x0120V now",
    "control characters": "one\x00two\x07\x1b[31mthree\r\nfour\x7f\x9b",
    "lone surrogates": "a \ud800 b \udfff c",
    "emoji": "I am 😀 about 👨\u200d👩\u200d👧\u200d👦 and 🏳️\u200d🌈!",
    "format strings": "%s %n %d ${uuid} {0} $(reboot) `id`",
    "an option": "--help -o /etc/passwd -voice file",
    "right to left": "\u202ehello\u202c \u2066world",
    "private use": "\ue000\uf8ff\U0010ffff\ufffe",
    "a heap of accents": "e" + "\u0301" * 5000,
    "a long word": "a" * 5000,
    "a long number": "9" * 5000,
    "a megabyte": "hello world " * 90_000,
    "a megabyte of nothing": "\x00" * 1_000_000,
    "no words": "... --- !!! ()",
    "nothing": "",
}


@pytest.fixture(scope="module")
def espeak() -> Iterator[EspeakEngine]:
    engine = EspeakEngine()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def flite() -> FliteEngine:
    if reason := FliteEngine.available():
        pytest.skip(f"{reason}: apt-get install flite")
    return FliteEngine()


@pytest.fixture(params=["espeak", "flite"])
def engine(request: pytest.FixtureRequest) -> TtsEngine:
    engine: TtsEngine = request.getfixturevalue(request.param)
    return engine


def test_a_sentence_lasts_as_long_as_a_person_would_take(engine: TtsEngine) -> None:
    assert 3.5 < seconds(spoken(engine, BALANCE)) < 8
    assert 0.2 < seconds(spoken(engine, "Yes.")) < 1


def test_speech_is_loud_enough_and_never_clipped(engine: TtsEngine) -> None:
    samples = np.frombuffer(spoken(engine, BALANCE), "<i2").astype(np.float64)
    level_dbfs = 20 * np.log10(np.sqrt(np.mean(samples**2)) / 32768)
    assert -26 < level_dbfs < -16
    assert np.abs(samples).max() < 0.95 * 32768


def test_a_caller_does_not_wait_through_silence(engine: TtsEngine) -> None:
    for text in (BALANCE, "Please say it again.", "Zeus said so.", "Um, no."):
        samples = np.frombuffer(spoken(engine, text), "<i2").astype(np.int32)
        loud = np.flatnonzero(np.abs(samples) > 160)
        assert loud[0] <= 0.030 * 8000
        assert len(samples) - loud[-1] <= 0.050 * 8000


def test_the_pause_between_two_sentences_stays(engine: TtsEngine) -> None:
    samples = np.frombuffer(spoken(engine, "Thank you. Goodbye."), "<i2").astype(np.int32)
    loud = np.flatnonzero(np.abs(samples) > 160)
    assert np.diff(loud).max() > 0.08 * 8000


def test_pieces_are_whole_samples_and_never_empty(engine: TtsEngine) -> None:
    pieces = list(engine.speak(BALANCE, "en", PATIENCE_S))
    assert len(pieces) > 5
    assert all(pieces) and all(len(piece) % 2 == 0 for piece in pieces)
    assert seconds(pieces[0]) < 0.3


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_whatever_a_model_writes_the_next_sentence_is_as_always(
    engine: TtsEngine, text: str
) -> None:
    before = spoken(engine, "Please hold the line.")
    assert seconds(spoken(engine, text)) <= 600
    assert same_words(spoken(engine, "Please hold the line."), before)


def test_markup_is_not_obeyed(espeak: EspeakEngine) -> None:
    assert seconds(spoken(espeak, "one <break time='90s'/> two")) < 10
    for written, said in (
        ("say [[h@'loU]]", "say   h@'loU"),
        ("\x01400S\x01hello there", "400S hello there"),
        ("<voice name='de'>hello</voice> there", "voice name='de' hello /voice there"),
    ):
        assert same_words(spoken(espeak, written), spoken(espeak, said))


def test_text_without_words_is_no_audio(engine: TtsEngine) -> None:
    for text in ("", "  \n", "...", "\x00\x00", "[[<>]]"):
        assert spoken(engine, text) == b""


def test_an_early_leaver_does_not_spoil_the_next_sentence(engine: TtsEngine) -> None:
    whole = spoken(engine, "Goodbye.")
    for _ in range(5):
        speech = engine.speak(f"{BALANCE} {BALANCE} {BALANCE}", "en", PATIENCE_S)
        assert next(iter(speech))
        speech.close()  # type: ignore[attr-defined]  # GeneratorExit, as from a loop left early
        assert same_words(spoken(engine, "Goodbye."), whole)


def test_many_speakers_at_once_each_get_their_own_words(engine: TtsEngine) -> None:
    texts = [f"This is caller number {n}, and the code is {n * 7919}." for n in range(12)]
    alone = [spoken(engine, text) for text in texts]
    assert not any(same_words(alone[n], alone[n - 1]) for n in range(len(alone)))
    with ThreadPoolExecutor(len(texts)) as threads:
        together = list(threads.map(lambda text: spoken(engine, text), texts))
    for text, one, other in zip(texts, together, alone, strict=True):
        # No two renderings are the same; once in a long while two are unlike.
        assert same_words(one, other) or same_words(one, spoken(engine, text))


def test_a_slow_listener_keeps_nobody_else_waiting(espeak: EspeakEngine) -> None:
    slow = iter(espeak.speak("9 " * 400, "en", PATIENCE_S))
    head = next(slow)
    # Given somebody who has taken one piece of two minutes, the next caller is served whole.
    assert seconds(spoken(espeak, BALANCE)) > 3
    assert seconds(head + b"".join(slow)) > 60


def test_espeak_speaks_the_language_it_is_asked_for(espeak: EspeakEngine) -> None:
    text = "Restaurant information 1985"
    tags = ("en-US", "en-GB", "de", "es", "fr", "pt-BR")
    versions = [spoken(espeak, text, tag) for tag in tags]
    for one, other in itertools.combinations(versions, 2):
        assert not same_words(one, other)
    assert same_words(spoken(espeak, text, "de-AT"), versions[2])
    assert same_words(spoken(espeak, text, "en"), versions[0])
    assert same_words(spoken(espeak, text, "en_us"), versions[0])
    assert seconds(spoken(espeak, "你好，请问有什么可以帮您？", "zh-Hant-TW")) > 1


@pytest.mark.parametrize("language", ["tlh-Qaaa-xx", "q", "", "en\nBREAK", "../../etc", "x" * 5000])
def test_an_unknown_language_is_named_in_the_error(espeak: EspeakEngine, language: str) -> None:
    with pytest.raises(TtsError, match="no voice for language") as raised:
        spoken(espeak, "Hello.", language)
    assert ascii(language[:20])[:-1] in str(raised.value)
    assert str(raised.value).isprintable() and len(str(raised.value)) < 200


def test_flite_says_that_it_speaks_english_only(flite: FliteEngine) -> None:
    with pytest.raises(TtsError, match="not 'de'"):
        spoken(flite, "Guten Tag.", "de")


def test_a_slower_rate_takes_longer_and_another_variant_sounds_different() -> None:
    slow, fast = EspeakEngine(words_per_minute=120), EspeakEngine(words_per_minute=220)
    woman = EspeakEngine("en-us+f3", words_per_minute=220)
    try:
        assert seconds(spoken(slow, BALANCE)) > 1.3 * seconds(spoken(fast, BALANCE))
        for language in ("en", "de"):
            man = spoken(fast, BALANCE, language)
            assert median_pitch_hz(spoken(woman, BALANCE, language)) > 1.3 * median_pitch_hz(man)
    finally:
        for engine in (slow, fast, woman):
            engine.close()


def test_speech_is_cut_at_the_length_that_was_set() -> None:
    engine = EspeakEngine(max_audio_s=3)
    assert seconds(spoken(engine, BALANCE * 5)) == pytest.approx(3, abs=0.1)
    assert seconds(spoken(engine, "Yes.")) < 1
    engine.close()


def test_parameters_that_can_not_be_are_refused() -> None:
    for parameters in (
        {"voice": "../../etc/passwd"},
        {"voice": "en-us\x00"},
        {"words_per_minute": 5000},
        {"volume": 0},
        {"max_chars": 0},
        {"max_audio_s": 10_000},
    ):
        with pytest.raises(ValueError, match="espeak"):
            EspeakEngine(**parameters)
    with pytest.raises(ValueError, match="flite voice"):
        FliteEngine("/nowhere/voice.flitevox")


def test_flite_that_misses_its_deadline_is_killed_and_the_next_sentence_works(
    flite: FliteEngine,
) -> None:
    with pytest.raises(TtsError, match=r"deadline|no free run"):
        list(flite.speak(BALANCE * 20, "en", 0.001))
    assert spoken(flite, BALANCE)


def test_flite_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert FliteEngine.available() == "flite is not installed"
    with pytest.raises(TtsError, match="not installed"):
        FliteEngine()


def test_piper_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voice = tmp_path / "amy.onnx"
    assert PiperEngine.available(voice) == "no piper voice amy.onnx"
    voice.write_bytes(b"not a model")
    assert "no amy.onnx.json beside it" in str(PiperEngine.available(voice))

    config = tmp_path / "amy.onnx.json"
    for broken in ("", "[]", "{}", '{"audio": {"sample_rate": 16000}}', '{"audio": 3}'):
        config.write_text(broken)
        assert "not a voice's config" in str(PiperEngine.available(voice))
    good = {"audio": {"sample_rate": 11025}, "espeak": {"voice": "en-us"}}
    config.write_text(json.dumps(good))
    assert "11025 Hz" in str(PiperEngine.available(voice))

    good["audio"] = {"sample_rate": 22050}
    config.write_text(json.dumps(good))
    monkeypatch.setattr(sys, "path", [])  # no package can be found from here
    monkeypatch.delitem(sys.modules, "piper", raising=False)
    assert PiperEngine.available(voice) == "piper-tts is not installed"
    with pytest.raises(TtsError, match="piper-tts is not installed"):
        PiperEngine(voice)
