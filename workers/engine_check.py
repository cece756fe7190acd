"""What `eslbot check` wants to know of a role's engines, once they are loaded: do providers take
their keys, and does what is set also serve?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from workers.breaker import provider_failed
from workers.engines import EngineError, Level, providers
from workers.jobs import EngineErrors
from workers.messages import Stage
from workers.presence import PROBE_TIMEOUT_S
from workers.settings import PREFIX, Settings

_KEY_REFUSED = re.compile(r"\bstatus (401|403)\b")
_NO_SUCH_MODEL = re.compile(r"\bstatus 404\b")


def look(role: Stage, settings: Settings, levels: Sequence[Level]) -> list[str]:
    """Warnings. Raises EngineError where a provider does not take its key.

    A provider gets the small request that workers send it (a probe), all of them at once.
    """
    asked = [level for level in providers(levels) if level.breaker is not None]
    warnings = _not_used(role, settings, levels)
    if not asked:
        return warnings
    with ThreadPoolExecutor(len(asked)) as pool:
        reasons = list(pool.map(_probe, asked))
    for level, reason in zip(asked, reasons, strict=True):
        if _KEY_REFUSED.search(reason):
            raise EngineError(f"{level.why}: does not take its key ({reason})")
        if reason:
            warnings.append(f"{level.why}: a small request fails: {reason}")
    return warnings


def _probe(level: Level) -> str:
    """Why it failed, or ""; also where only so small a request is refused, as in presence.py."""
    try:
        level.engine.probe(PROBE_TIMEOUT_S)
    except EngineErrors as error:
        reason = str(error)
        known = _KEY_REFUSED.search(reason) or _NO_SUCH_MODEL.search(reason)
        return reason if known or provider_failed(error) else ""
    return ""


def _not_used(role: Stage, settings: Settings, levels: Sequence[Level]) -> list[str]:
    """`auto` goes on to the next engine where a model is not there; that is worth a word."""
    first = levels[0]
    if getattr(settings, role) != "auto":
        return []  # choose() has refused what can't serve
    whisper, voice = settings.whisper_model, settings.piper_voice
    if role == "stt" and whisper and first.engine.name != "whisper":
        return [f"{PREFIX}WHISPER_MODEL is set, and does not serve: {first.why}"]
    if role == "tts" and voice and not Path(voice).is_file():
        return [f"{PREFIX}PIPER_VOICE: {voice}: no such file; {first.why}"]
    return []
