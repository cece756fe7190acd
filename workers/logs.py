"""How processes log: a line of text, or of JSON with the call's UUID for those who collect them.

What a caller said, or a model, is never logged.
"""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime

# Whose UUID a line belongs to: each greenlet and each thread has its own.
CALL: ContextVar[str] = ContextVar("call", default="")


class JsonLines(logging.Formatter):
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
    if form == "json":
        handler.setFormatter(JsonLines())
    else:
        handler.setFormatter(logging.Formatter("%(levelname).1s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)
