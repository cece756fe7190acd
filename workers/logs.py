"""How processes log: a line of text, or of JSON with the call's UUID for those who collect them.

What a caller said, or a model, is never logged. So of an exception only its kind and where it was
raised are: its text may quote what it failed on.
"""

from __future__ import annotations

import json
import logging
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType

# Whose UUID a line belongs to: each greenlet and each thread has its own.
CALL: ContextVar[str] = ContextVar("call", default="")


MAX_CAUSES = 5

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class Lines(logging.Formatter):
    """Lines of text."""

    def __init__(self) -> None:
        super().__init__("%(levelname).1s %(name)s: %(message)s")

    def formatException(self, ei: ExcInfo) -> str:
        """Where and of which kind, the cause first; without the exceptions' texts."""
        told: list[str] = []
        error = ei[1]
        while error is not None and len(told) < MAX_CAUSES:
            places = "".join(traceback.format_tb(error.__traceback__))
            told.append(f"{places}{type(error).__module__}.{type(error).__qualname__}")
            hidden = None if error.__suppress_context__ else error.__context__
            error = error.__cause__ or hidden
        return "\n".join(reversed(told))


class JsonLines(Lines):
    """One JSON object a line: at, level, logger, message, and where known call and error."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if call := CALL.get():
            line["call"] = call
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


def begin(level: str, form: str) -> None:
    """level and form: ESLBOT_LOG_LEVEL and ESLBOT_LOG_FORMAT."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else Lines())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)
