"""Pieces of text in, whole sentences out."""

from __future__ import annotations

import re

MAX_SENTENCE = 240
_END = re.compile(r"(?<=[.!?])\s+")


class SentenceSplitter:
    def __init__(self) -> None:
        self._rest = ""

    def feed(self, text: str) -> list[str]:
        self._rest += text
        *done, self._rest = _END.split(self._rest)
        return [s for s in (d.strip() for d in done) if s]

    def flush(self) -> list[str]:
        rest, self._rest = self._rest.strip(), ""
        return [rest] if rest else []
