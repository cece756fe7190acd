"""Which passage answers a question, and how sure that is: BM25, and four pieces of evidence.

    question ─▶ words ─▶ BM25 over all passages ─▶ the best few ─▶ evidence ─▶ probability
                              meanings, where there are embeddings ──▲

BM25 (bm25s) ranks well, but its scores of two questions can't be compared. So each of the best
few is looked at once more, with the matcher's weights of English words:

    explained   the share of the question that the passage accounts for
    brought     how much of it that is: one rare word tells more than three common ones
    titled      the share of the passage's title that the question brings
    ahead       by how much of its BM25 score the passage leads

How much each of them counts was fitted; docs/knowledge.md says on what, and what came out.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

import bm25s
import numpy as np
import numpy.typing as npt

from workers.knowledge.passages import Passage
from workers.llm.matcher import WRAPPING, alike, english, stem, tokens

Vector = npt.NDArray[np.float64]

logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets itself to DEBUG

CANDIDATES = 8
LEAST_WEIGHT = 1.0  # of a word that BM25 is asked for: less, and everyone says it all the time
MUCH = 8.0  # weight of two rare words: more evidence than this is not needed
FUSE = 60  # of reciprocal rank fusion (Cormack et al., 2009)
# Log odds that the passage answers: constant, explained, brought, titled, ahead.
LOG_ODDS = np.array([-6.49, 3.04, 5.7, 4.07, 1.86])
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")


@dataclass(frozen=True, slots=True)
class Hit:
    """score: probability that this passage answers the question, 0 to 1."""

    passage: Passage
    score: float


def terms(text: str) -> list[str]:
    """Stems of the words of any length of text."""
    return [stem(word) for word in _WORD.findall(text.lower())]


def asked_for(text: str) -> list[str]:
    """The words of a question that tell what it is about."""
    told = [w for w in tokens(text) if w not in WRAPPING]
    return list(dict.fromkeys(w for w in told if english().weight(w) >= LEAST_WEIGHT))


class Index:
    """Passages of a folder. Nothing in it changes once it is built: threads may share it.

    vectors: of the passages, rows of length 1, or None where there are no embeddings.
    """

    def __init__(self, passages: Sequence[Passage], vectors: Vector | None = None) -> None:
        self.passages = tuple(passages)
        self._vectors = vectors
        texts = [terms(f"{one.title} {one.text}") for one in self.passages]
        self._words = [frozenset(_WORD.findall(f"{p.title} {p.text}".lower())) for p in passages]
        self._vocabulary = frozenset(stem for text in texts for stem in text)
        self._spoken = sorted({word for words in self._words for word in words})
        self._bm25: bm25s.BM25 | None = None
        if self._vocabulary:
            self._bm25 = bm25s.BM25(method="lucene")
            self._bm25.index(texts, show_progress=False, leave_progress=False)
        self._sounds_like = functools.lru_cache(maxsize=1024)(self._closest)

    @property
    def embedded(self) -> bool:
        return self._vectors is not None

    def search(self, text: str, count: int, meaning: Vector | None = None) -> list[Hit]:
        """The best passages, the best first. meaning: the question's vector, of length 1."""
        words = asked_for(text)
        if self._bm25 is None or (not words and meaning is None):
            return []
        scores = self.bm25(words)
        order = [int(n) for n in np.argsort(-scores, kind="stable")[:CANDIDATES] if scores[n] > 0]
        hits = {n: Hit(self.passages[n], self._sure(words, n, scores)) for n in order}
        ranked = sorted(hits, key=lambda n: -hits[n].score)
        # Of another length where the server's model is another by now: the words alone decide.
        if (
            meaning is not None
            and self._vectors is not None
            and (meaning.shape == self._vectors.shape[1:])
        ):
            near = np.argsort(-(self._vectors @ meaning), kind="stable")[:CANDIDATES]
            ranked = _fused(ranked, [int(n) for n in near])
        return [hits.get(n, Hit(self.passages[n], 0.0)) for n in ranked[:count]]

    def bm25(self, words: list[str]) -> Vector:
        """Each passage's score."""
        query = [stem(self._sounds_like(word)) for word in words]
        query = [one for one in query if one in self._vocabulary]
        if self._bm25 is None or not query:
            return np.zeros(len(self.passages))
        return np.asarray(self._bm25.get_scores(query), dtype=np.float64)

    def evidence(self, words: list[str], n: int, scores: Vector) -> Vector:
        """(1, explained, brought, titled, ahead) of passage n, each from 0 to 1."""
        weight = english().weight
        passage = self.passages[n]
        title = [w for w in tokens(passage.title.rsplit(": ", 1)[-1]) if weight(w) >= LEAST_WEIGHT]
        matched = {w: max(map(functools.partial(alike, w), self._words[n])) for w in words}
        brought = sum(weight(w) * matched[w] for w in words)
        total = sum(map(weight, words))
        titled = sum(weight(t) for t in title if any(alike(w, t) > 0.8 for w in words))
        others = np.delete(scores, n)
        following = float(others.max()) if len(others) else 0.0
        return np.array([
            1.0,
            brought / total if total else 0.0,
            min(1.0, brought / MUCH),
            titled / sum(map(weight, title)) if title else 0.0,
            max(0.0, 1.0 - following / scores[n]) if scores[n] > 0 else 0.0,
        ])  # fmt: skip

    def _sure(self, words: list[str], n: int, scores: Vector) -> float:
        return float(1.0 / (1.0 + np.exp(-(self.evidence(words, n, scores) @ LOG_ODDS))))

    def _closest(self, word: str) -> str:
        """The word itself, or the one of the passages that it was most likely heard for."""
        if stem(word) in self._vocabulary or not self._spoken:
            return word
        best = max(self._spoken, key=functools.partial(alike, word))
        return best if alike(word, best) > 0.7 else word


def _fused(one: list[int], other: list[int]) -> list[int]:
    """Two rankings as one."""
    points: dict[int, float] = {}
    for ranking in (one, other):
        for rank, n in enumerate(ranking):
            points[n] = points.get(n, 0.0) + 1.0 / (FUSE + rank)
    return sorted(points, key=lambda n: -points[n])


def answer(hit: Hit, text: str, sentences: int) -> tuple[str, ...]:
    """So many sentences of the passage, those around what was asked for."""
    said = hit.passage.sentences
    words = asked_for(text)
    weight = english().weight

    def told(sentence: str) -> float:
        has = _WORD.findall(sentence.lower())
        return sum(weight(w) * max((alike(w, h) for h in has), default=0.0) for w in words)

    starts = range(max(1, len(said) - sentences + 1))
    best = max(starts, key=lambda at: sum(map(told, said[at : at + sentences])))
    return said[best : best + sentences]
