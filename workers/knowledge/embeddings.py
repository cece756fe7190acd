"""Meanings as vectors, by an OpenAI-compatible server: POST /embeddings.

Source: the API reference of OpenAI, "Create embeddings". A question's vector is wanted before the
turn goes on, so it has a short time; without it the words alone decide. Passages are embedded when
they are new, and kept by their text.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from workers.breaker import Breaker
from workers.http_provider import Deadline, Provider, ProviderError, parse_json

log = logging.getLogger(__name__)

Vector = npt.NDArray[np.float64]

BATCH = 64
BATCH_S = 30.0
MAX_DIMENSIONS = 8192
MAX_BYTES = 32 * 1024 * 1024
MAX_QUESTION = 1000  # characters


class Embeddings:
    """Threads may share it. breaker: of this server, for the fleet."""

    def __init__(self, provider: Provider, model: str, breaker: Breaker, question_s: float) -> None:
        self._provider = provider
        self._model = model
        self._breaker = breaker
        self._question_s = question_s
        self._kept: dict[str, Vector] = {}

    def question(self, text: str) -> Vector | None:
        """Its vector, of length 1; None where the server is out or slow."""
        if not self._breaker.closed():
            return None
        try:
            (found,) = self._ask([text[:MAX_QUESTION]], self._question_s)
        except ProviderError as error:
            self._failed(error)
            return None
        self._breaker.succeeded()
        return found

    def passages(self, texts: Sequence[str]) -> Vector | None:
        """A row for each; None where the server does not give them all, to be asked again."""
        keys = [hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() for text in texts]
        missing = [n for n, key in enumerate(keys) if key not in self._kept]
        if missing and not self._breaker.closed():
            return None
        fresh: dict[str, Vector] = {}
        try:
            for at in range(0, len(missing), BATCH):
                some = missing[at : at + BATCH]
                vectors = self._ask([texts[n] for n in some], BATCH_S)
                fresh |= {keys[n]: one for n, one in zip(some, vectors, strict=True)}
        except ProviderError as error:
            self._failed(error)
            self._kept |= fresh
            return None
        # What other texts had is forgotten: the passages there are bound it.
        self._kept = {key: fresh[key] if key in fresh else self._kept[key] for key in keys}
        rows = [self._kept[key] for key in keys]
        if not rows or any(row.shape != rows[0].shape for row in rows):
            self._kept.clear()
            return None
        return np.array(rows)

    def probe(self) -> None:
        """If it is time, ask whether the server is back."""
        if self._breaker.closed() or not self._breaker.may_probe():
            return
        try:
            self._ask(["ping"], self._question_s * 4)
        except ProviderError as error:
            if error.counts:
                self._breaker.failed(probe=True)
                return
        self._breaker.succeeded(probe=True)

    def _failed(self, error: ProviderError) -> None:
        log.warning("embeddings: %s; words alone decide", error)
        if error.counts:
            self._breaker.failed()

    def _ask(self, texts: list[str], within_s: float) -> list[Vector]:
        body = {"model": self._model, "input": texts, "encoding_format": "float"}
        deadline = Deadline(within_s)
        with self._provider.post("embeddings", deadline=deadline, json=body) as reply:
            return _vectors(parse_json(b"".join(reply.pieces(MAX_BYTES))), len(texts))


def _vectors(answer: object, count: int) -> list[Vector]:
    """In the order of the texts, each of length 1. Raises ProviderError."""
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list) or len(data) != count:
        raise ProviderError("not as many vectors as texts")
    found: dict[int, Vector] = {}
    for one in data:
        index, raw = (one.get("index"), one.get("embedding")) if isinstance(one, dict) else (0, 0)
        if type(index) is not int or not isinstance(raw, list) or not 0 <= index < count:
            raise ProviderError("something that is no vector")
        if not 0 < len(raw) <= MAX_DIMENSIONS or any(type(x) not in (int, float) for x in raw):
            raise ProviderError("something that is no vector")
        try:
            vector: Vector = np.array(raw, dtype=np.float64)
        except OverflowError:  # a whole number of hundreds of figures
            raise ProviderError("something that is no vector") from None
        longest = float(np.abs(vector).max())
        if longest == 0.0:
            raise ProviderError("a vector without a direction")
        vector = vector / longest  # or the squares may be too large
        found[index] = vector / np.linalg.norm(vector)
    if len(found) != count:
        raise ProviderError("not as many vectors as texts")
    return [found[n] for n in range(count)]
