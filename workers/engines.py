"""Which engines serve a role, and why: what is set, else the best that is at hand; then those
that step in when it fails.

    stt: a whisper model on disk ─▶ an OpenAI-compatible server ─▶ pocketsphinx
    llm: an OpenAI-compatible server (with a strong one beside it) ─▶ the bot's own phrases
    tts: an OpenAI-compatible server ─▶ a piper voice ─▶ flite ─▶ espeak-ng

The first is level 0; a second server (its backup) and the embedded engine, which needs nobody,
are the levels after it. An engine that was asked for by name and can't be had is an error;
`auto` goes on to the next and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import redis

from workers.breaker import Breaker
from workers.messages import Stage
from workers.rate_limit import RateLimit
from workers.settings import PREFIX, Settings
from workers.streams import STAGES

if TYPE_CHECKING:
    from workers.knowledge.library import Library
    from workers.llm.router import EitherBreaker

EMBEDDED: dict[Stage, str] = {"stt": "pocketsphinx", "llm": "intents", "tts": "espeak"}


class EngineError(Exception):
    """The engine that was asked for can't be had; str() names the setting and the cause."""


class Unavailable(Exception):
    """This engine can't be had; str() is the reason."""


@dataclass(slots=True)
class Level:
    """An engine, one line that says why it, its provider's breaker, and the bound on requests to
    it; None: it has none.
    parts: of an engine that stands for several, each with its own breaker."""

    engine: Any
    why: str
    breaker: Breaker | EitherBreaker | None = None
    parts: tuple[Level, ...] = ()
    limit: RateLimit | None = None


Maker = Callable[[Settings], tuple[Any, str]]


def choose(role: Stage, settings: Settings, client: redis.Redis | None = None) -> list[Level]:
    """The role's engines, their models loaded, in the order to try. Raises EngineError.

    client: where the fleet keeps its breakers and rates; None: each breaker is this process' own,
    and no rate is bounded.
    """
    first, why = _first(role, settings)
    found = [_level(role, role, first, why, settings, client)]
    if role == "llm" and settings.llm_strong_url:
        found[0] = _routed(found[0], settings, client)
    if getattr(settings, f"{role}_backup_url"):
        backup, why = _BACKUPS[role](settings)
        found.append(_level(role, f"{role}_backup", backup, why, settings, client))
    embedded = EMBEDDED[role]
    if getattr(settings, f"{role}_embedded") == "on" and first.name != embedded:
        engine, why = MAKERS[role][embedded](settings)
        found.append(Level(engine, why))
    return found


def _routed(local: Level, settings: Settings, client: redis.Redis | None) -> Level:
    """The local model and the strong one, as one level."""
    from workers.llm.router import EitherBreaker, RoutedLlm

    url, model = settings.llm_strong_url, settings.llm_strong_model
    first_token_s = settings.llm_strong_first_token_ms / 1000
    engine, why = _llm_at(
        "LLM_STRONG", url, model, settings.llm_strong_api_key, settings, first_token_s
    )
    strong = _level("llm", "llm_strong", engine, why, settings, client)
    either = EitherBreaker((local.breaker, strong.breaker))
    why = f"{local.why}; by the bot's routes {strong.why}"
    return Level(RoutedLlm(local, strong), why, either, (local, strong))


def providers(levels: Sequence[Level]) -> list[Level]:
    """The levels, or what they consist of: each with a breaker of its own."""
    return [part for level in levels for part in (level.parts or (level,))]


def _level(
    role: Stage,
    prefix: str,
    engine: Any,
    why: str,
    settings: Settings,
    client: redis.Redis | None,
) -> Level:
    provider = getattr(engine, "provider_name", None)
    if provider is None:
        return Level(engine, why)
    name = f"{role}:{provider}"
    open_s = settings.breaker_open_ms / 1000
    per_min = getattr(settings, f"{prefix}_rate_per_min")
    if client is not None and per_min:
        engine.provider.limit = RateLimit(client, name, per_min)
    breaker = Breaker(client, name, settings.breaker_failures, open_s)
    return Level(engine, why, breaker, limit=engine.provider.limit)


def _first(role: Stage, settings: Settings) -> tuple[Any, str]:
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


def unreachable(role: Stage, settings: Settings) -> list[str]:
    """Of the servers that are set for a role, those where nobody answers; for who sets it up.

    A worker starts without them: they may come back, and until then there are other levels.
    """
    wrong = []
    names = [f"{role}_url", f"{role}_backup_url", *(["llm_strong_url"] if role == "llm" else [])]
    for name in names:
        url = getattr(settings, name)
        if not url or (name == f"{role}_url" and getattr(settings, role) not in ("auto", "openai")):
            continue
        try:
            httpx.get(f"{url.rstrip('/')}/models", timeout=settings.connect_timeout_ms / 1000)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            wrong.append(f"{PREFIX}{name.upper()}: does not answer ({type(error).__name__})")
    return wrong


def _server(url: str, name: str) -> str:
    if not url:
        raise Unavailable(f"{PREFIX}{name} is not set")
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
            window_s=settings.whisper_window_s,
        )
    except WhisperUnavailable as error:
        raise Unavailable(str(error)) from None
    return engine, f"faster-whisper with the model {Path(settings.whisper_model).name}"


def _openai_stt(settings: Settings) -> tuple[Any, str]:
    return _stt_at("STT", settings.stt_url, settings.stt_model, settings.stt_api_key, settings)


def _backup_stt(settings: Settings) -> tuple[Any, str]:
    url, model = settings.stt_backup_url, settings.stt_backup_model
    return _stt_at("STT_BACKUP", url, model, settings.stt_backup_api_key, settings)


def _stt_at(prefix: str, url: str, model: str, key: str, settings: Settings) -> tuple[Any, str]:
    from workers.stt.openai import OpenAiStt

    engine = _made(
        prefix,
        lambda: OpenAiStt(
            _server(url, f"{prefix}_URL"),
            model,
            key,
            connect_timeout_s=settings.connect_timeout_ms / 1000,
            max_audio_s=settings.max_utterance_s * 2,
            retry_percent=settings.retry_percent,
            http2=settings.provider_http2 == "on",
        ),
    )
    return engine, f"model {model} at {PREFIX}{prefix}_URL"


def _made(prefix: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except ValueError as error:
        raise EngineError(f"{PREFIX}{prefix}_URL or _API_KEY: {error}") from None


def _pocketsphinx(settings: Settings) -> tuple[Any, str]:
    from workers.stt.pocketsphinx import PocketsphinxEngine

    engine = PocketsphinxEngine(Path(settings.state_dir) / "stt", max_open=settings.stt_slots)
    return engine, "pocketsphinx with the bot's own phrases"


def _openai_llm(settings: Settings) -> tuple[Any, str]:
    return _llm_at("LLM", settings.llm_url, settings.llm_model, settings.llm_api_key, settings)


def _backup_llm(settings: Settings) -> tuple[Any, str]:
    url, model = settings.llm_backup_url, settings.llm_backup_model
    return _llm_at("LLM_BACKUP", url, model, settings.llm_backup_api_key, settings)


def _llm_at(
    prefix: str,
    url: str,
    model: str,
    key: str,
    settings: Settings,
    first_token_s: float | None = None,
) -> tuple[Any, str]:
    from workers.llm.openai import OpenAiLlm

    engine = _made(
        prefix,
        lambda: OpenAiLlm(
            _server(url, f"{prefix}_URL"),
            model,
            key,
            connect_timeout_s=settings.connect_timeout_ms / 1000,
            first_token_s=first_token_s or settings.first_token_ms / 1000,
            token_gap_s=settings.token_gap_ms / 1000,
            retry_percent=settings.retry_percent,
            http2=settings.provider_http2 == "on",
        ),
    )
    return engine, f"model {model} at {PREFIX}{prefix}_URL"


def _intents(settings: Settings) -> tuple[Any, str]:
    from workers.llm.intents import IntentsEngine

    return IntentsEngine(), "the bot's own phrases"


def _openai_tts(settings: Settings) -> tuple[Any, str]:
    return _tts_at("TTS", settings.tts_url, settings.tts_model, settings.tts_voice,
                   settings.tts_api_key, settings)  # fmt: skip


def _backup_tts(settings: Settings) -> tuple[Any, str]:
    return _tts_at("TTS_BACKUP", settings.tts_backup_url, settings.tts_backup_model,
                   settings.tts_backup_voice, settings.tts_backup_api_key, settings)  # fmt: skip


def _tts_at(
    prefix: str, url: str, model: str, voice: str, key: str, settings: Settings
) -> tuple[Any, str]:
    from workers.tts.openai import OpenAiTts

    engine = _made(
        prefix,
        lambda: OpenAiTts(
            _server(url, f"{prefix}_URL"),
            model,
            voice,
            key,
            connect_timeout_s=settings.connect_timeout_ms / 1000,
            retry_percent=settings.retry_percent,
            http2=settings.provider_http2 == "on",
        ),
    )
    return engine, f"voice {voice} at {PREFIX}{prefix}_URL"


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
_BACKUPS: dict[Stage, Maker] = {"stt": _backup_stt, "llm": _backup_llm, "tts": _backup_tts}
assert tuple(MAKERS) == STAGES


def open_library(settings: Settings, client: redis.Redis | None) -> Library:
    """The knowledge of the bots that an llm worker serves. Raises EngineError."""
    from workers.http_provider import Provider
    from workers.knowledge.embeddings import Embeddings
    from workers.knowledge.library import Library

    root = Path(settings.knowledge_dir or Path(settings.bot).parent)
    if not settings.knowledge_url:
        return Library(root)
    provider = _made(
        "KNOWLEDGE",
        lambda: Provider(
            settings.knowledge_url,
            settings.knowledge_api_key,
            connect_timeout_s=settings.connect_timeout_ms / 1000,
        ),
    )
    model = settings.knowledge_model
    open_s = settings.breaker_open_ms / 1000
    name = f"knowledge:{model}@{provider.host}"
    breaker = Breaker(client, name, settings.breaker_failures, open_s)
    return Library(root, Embeddings(provider, model, breaker, settings.knowledge_timeout_ms / 1000))
