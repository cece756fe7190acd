"""Which engine serves a role, and why: what is set, else the best that is at hand.

    stt: a whisper model on disk ─▶ an OpenAI-compatible server ─▶ pocketsphinx
    llm: an OpenAI-compatible server ─▶ the bot's own phrases (intents)
    tts: an OpenAI-compatible server ─▶ a piper voice ─▶ flite ─▶ espeak-ng

An engine that was asked for by name and can't be had is an error; `auto` goes on to the next
and says why.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from workers.messages import Stage
from workers.settings import PREFIX, Settings
from workers.streams import STAGES


class EngineError(Exception):
    """The engine that was asked for can't be had; str() names the setting and the cause."""


class Unavailable(Exception):
    """This engine can't be had; str() is the reason."""


Maker = Callable[[Settings], tuple[Any, str]]


def choose(role: Stage, settings: Settings) -> tuple[Any, str]:
    """The engine, its model loaded, and one line that says why it. Raises EngineError."""
    makers = MAKERS[role]
    wanted = getattr(settings, role)
    if wanted != "auto":
        try:
            engine, why = makers[wanted](settings)
        except Unavailable as error:
            raise EngineError(f"{PREFIX}{role.upper()}={wanted}: {error}") from None
        return engine, f"{why}, as {PREFIX}{role.upper()} says"
    reasons = []
    for name, make in makers.items():
        try:
            engine, why = make(settings)
        except Unavailable as error:
            reasons.append(f"{name}: {error}")
            continue
        return engine, "; ".join([why, *(f"not {reason}" for reason in reasons)])
    raise EngineError(f"{PREFIX}{role.upper()}=auto: {'; '.join(reasons)}")


def _server(url: str, name: str, settings: Settings) -> str:
    """The URL, if something answers there; whatever it answers, it will be tried in earnest."""
    if not url:
        raise Unavailable(f"{PREFIX}{name} is not set")
    try:
        httpx.get(f"{url.rstrip('/')}/models", timeout=settings.connect_timeout_ms / 1000)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(f"{PREFIX}{name} does not answer ({type(error).__name__})") from None
    return url


def _whisper(settings: Settings) -> tuple[Any, str]:
    if not settings.whisper_model:
        raise Unavailable(f"{PREFIX}WHISPER_MODEL is not set")
    from workers.stt.whisper import WhisperEngine, WhisperUnavailable

    try:
        engine = WhisperEngine(
            settings.whisper_model,
            device=settings.whisper_device,
            compute_type=settings.whisper_compute_type,
            cpu_threads=settings.whisper_threads,
        )
    except WhisperUnavailable as error:
        raise Unavailable(str(error)) from None
    return engine, f"faster-whisper with the model {Path(settings.whisper_model).name}"


def _openai_stt(settings: Settings) -> tuple[Any, str]:
    url = _server(settings.stt_url, "STT_URL", settings)
    from workers.stt.openai import OpenAiStt

    engine = OpenAiStt(
        url,
        settings.stt_model,
        settings.stt_api_key,
        connect_timeout_s=settings.connect_timeout_ms / 1000,
        max_audio_s=settings.max_utterance_s * 2,
    )
    return engine, f"model {settings.stt_model} at {PREFIX}STT_URL"


def _pocketsphinx(settings: Settings) -> tuple[Any, str]:
    from workers.stt.pocketsphinx import PocketsphinxEngine

    engine = PocketsphinxEngine(Path(settings.state_dir) / "stt", max_open=settings.stt_slots)
    return engine, "pocketsphinx with the bot's own phrases"


def _openai_llm(settings: Settings) -> tuple[Any, str]:
    url = _server(settings.llm_url, "LLM_URL", settings)
    from workers.llm.openai import OpenAiLlm

    engine = OpenAiLlm(
        url,
        settings.llm_model,
        settings.llm_api_key,
        connect_timeout_s=settings.connect_timeout_ms / 1000,
        first_token_s=settings.first_token_ms / 1000,
        token_gap_s=settings.token_gap_ms / 1000,
    )
    return engine, f"model {settings.llm_model} at {PREFIX}LLM_URL"


def _intents(settings: Settings) -> tuple[Any, str]:
    from workers.llm.intents import IntentsEngine

    return IntentsEngine(), "the bot's own phrases"


def _openai_tts(settings: Settings) -> tuple[Any, str]:
    url = _server(settings.tts_url, "TTS_URL", settings)
    from workers.tts.openai import OpenAiTts

    engine = OpenAiTts(
        url,
        settings.tts_model,
        settings.tts_voice,
        settings.tts_api_key,
        connect_timeout_s=settings.connect_timeout_ms / 1000,
    )
    return engine, f"voice {settings.tts_voice} at {PREFIX}TTS_URL"


def _piper(settings: Settings) -> tuple[Any, str]:
    if not settings.piper_voice:
        raise Unavailable(f"{PREFIX}PIPER_VOICE is not set")
    from workers.tts.piper import PiperEngine

    reason = PiperEngine.available(Path(settings.piper_voice))
    if reason:
        raise Unavailable(reason)
    return PiperEngine(Path(settings.piper_voice)), f"piper, {Path(settings.piper_voice).stem}"


def _flite(settings: Settings) -> tuple[Any, str]:
    from workers.tts.flite import FliteEngine

    reason = FliteEngine.available()
    if reason:
        raise Unavailable(reason)
    return FliteEngine(), "flite, which is installed"


def _espeak(settings: Settings) -> tuple[Any, str]:
    from workers.tts.espeak import EspeakEngine

    return EspeakEngine(), "espeak-ng, which came along"


MAKERS: dict[Stage, dict[str, Maker]] = {
    "stt": {"whisper": _whisper, "openai": _openai_stt, "pocketsphinx": _pocketsphinx},
    "llm": {"openai": _openai_llm, "intents": _intents},
    "tts": {"openai": _openai_tts, "piper": _piper, "flite": _flite, "espeak": _espeak},
}
assert tuple(MAKERS) == STAGES
