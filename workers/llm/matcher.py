"""Which of the bot's intents an utterance means, from the examples alone: no model, no network.

An utterance and each example become sparse vectors of two kinds of features:

    words         single ones and pairs, each weighing as much as it is rare in general English
    phone triples of the utterance as pronounced, so that "my ballots" is close to "my balance"

The weights come from the unigrams of the language model, the phones from the dictionary, which
both come with pocketsphinx. An intent's score is that of its closest example; rare words of the
utterance that nothing of the intent explains count against it, so that a question about the
weather is not taken for a question about a bill.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from workers.bot import Bot
from workers.spoken import words

UNKNOWN_LOG10 = -6.0  # probability of a word that general English does not know
COMMON_LOG10 = -2.2  # as frequent as this, or more, and a word says nothing
MAX_WORDS = 40
ALIKE = 0.55  # of the pairs of phones that two words share
ACCEPT = 0.44  # least score; docs/understanding.md shows what it costs
MARGIN = 0.04  # least distance to the next intent

_SUFFIX = re.compile(r"(?<=[a-z]{3})(ing|ed|es|s|ly)$")


@dataclass(frozen=True, slots=True)
class Match:
    """score: 0 to 1; margin: to the next intent; sure: both suffice."""

    intent: str | None
    score: float
    margin: float

    @property
    def sure(self) -> bool:
        return self.intent is not None and self.score >= ACCEPT and self.margin >= MARGIN


class English:
    """Word frequencies and pronunciations, as pocketsphinx ships them."""

    def __init__(self) -> None:
        import pocketsphinx

        folder = Path(pocketsphinx.get_model_path()) / "en-us"
        log_math = pocketsphinx.LogMath()
        self._model = pocketsphinx.NGramModel(
            pocketsphinx.Config(), log_math, str(folder / "en-us.lm.bin")
        )
        self._to_log10 = log_math.log_to_log10
        self._phones: dict[str, tuple[str, ...]] = {}
        with (folder / "cmudict-en-us.dict").open(encoding="utf-8") as lines:
            for line in lines:
                word, *phones = line.split()
                self._phones.setdefault(word, tuple(phones))

    @functools.lru_cache(maxsize=50_000)  # noqa: B019 - one instance per process
    def weight(self, word: str) -> float:
        """0 for a word that everyone says all the time, up to about 4 for a rare one."""
        log10 = float(self._to_log10(self._model.prob([word])))
        return max(0.05, COMMON_LOG10 - max(log10, UNKNOWN_LOG10))

    def phones(self, word: str) -> tuple[str, ...]:
        """ARPABET; a word that is not in the dictionary is spelt."""
        return self._phones.get(word) or tuple(word)


@functools.cache
def english() -> English:
    return English()


def stem(word: str) -> str:
    return _SUFFIX.sub("", word)


def features(text: str) -> dict[str, float]:
    """Feature to weight; the squares of each kind sum to 1."""
    lexicon = english()
    tokens = words(text)[:MAX_WORDS]
    lexical: Counter[str] = Counter()
    for token in tokens:
        lexical[stem(token)] += lexicon.weight(token)  # type: ignore[assignment]
    for first, second in itertools.pairwise(tokens):
        pair = (lexicon.weight(first) + lexicon.weight(second)) / 4
        lexical[f"{stem(first)} {stem(second)}"] += pair  # type: ignore[assignment]
    phonetic: Counter[str] = Counter()
    for token in tokens:
        sounds = ("_", *(p.rstrip("012") for p in lexicon.phones(token)), "_")
        for n in range(len(sounds) - 2):
            weight = lexicon.weight(token) / math.sqrt(len(sounds))
            phonetic["/" + "-".join(sounds[n : n + 3])] += weight  # type: ignore[assignment]
    return _unit(lexical) | _unit(phonetic)


@functools.lru_cache(maxsize=20_000)
def _pairs(word: str) -> frozenset[tuple[str, str]]:
    """Pairs of neighbouring phones, the word's edges among them."""
    sounds = ["_", *(p.rstrip("012") for p in english().phones(word)), "_"]
    return frozenset(itertools.pairwise(sounds))


def _dice(one: frozenset[tuple[str, str]], other: frozenset[tuple[str, str]]) -> float:
    return 2 * len(one & other) / (len(one) + len(other))


def _unit(counts: Counter[str]) -> dict[str, float]:
    norm = math.sqrt(sum(v * v for v in counts.values()))
    return {k: v / norm for k, v in counts.items()} if norm else {}


class Matcher:
    """One bot's. Immutable once built: threads may share it."""

    def __init__(self, bot: Bot) -> None:
        examples = [(n, e) for n, i in bot.intents.items() for e in i.examples]
        vectors = [features(text) for _, text in examples]
        self._index = {f: n for n, f in enumerate(sorted({f for v in vectors for f in v}))}
        self._matrix = np.zeros((len(examples), len(self._index)), np.float32)
        for row, vector in enumerate(vectors):
            for feature, weight in vector.items():
                self._matrix[row, self._index[feature]] = weight
        self._names = list(bot.intents)
        self._owner = np.array([self._names.index(name) for name, _ in examples])
        self._vocabulary = [
            {w for e in intent.examples for w in words(e)} for intent in bot.intents.values()
        ]
        self._explains = functools.lru_cache(maxsize=10_000)(self._explain)

    def _explain(self, token: str) -> npt.NDArray[np.float64]:
        """For each intent how well its vocabulary explains a word: 1 the word itself, less for
        one that sounds like it, 0 for none."""
        found = np.zeros(len(self._names))
        sounds = _pairs(token)
        for n, vocabulary in enumerate(self._vocabulary):
            if token in vocabulary or stem(token) in {stem(w) for w in vocabulary}:
                found[n] = 1.0
            elif len(sounds) > 3:
                close = max(_dice(sounds, _pairs(w)) for w in vocabulary)
                found[n] = close if close >= ALIKE else 0.0
        return found

    def match(self, text: str) -> Match:
        """The closest intent. Match.intent is None when nothing is close at all."""
        tokens = words(text)[:MAX_WORDS]
        vector = np.zeros(len(self._index), np.float32)
        for feature, weight in features(text).items():
            at = self._index.get(feature)
            if at is not None:
                vector[at] = weight
        if not vector.any():
            return Match(None, 0.0, 0.0)
        close = self._matrix @ vector / 2
        scores = np.full(len(self._names), -1.0)
        np.maximum.at(scores, self._owner, close)
        weights = {t: english().weight(t) for t in tokens}
        total = sum(weights.values()) or 1.0
        explained = sum(weights[t] * self._explains(t) for t in weights) / total
        scores = 0.55 * scores + 0.45 * explained
        order = np.argsort(-scores)
        best = float(scores[order[0]])
        second = float(scores[order[1]]) if len(order) > 1 else 0.0
        return Match(self._names[order[0]], best, best - second)
