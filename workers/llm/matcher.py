"""Which of the bot's intents an utterance means, from the examples alone: no model, no network.

    utterance ─▶ words, phones ─▶ four pieces of evidence for each intent ─▶ probability of each,
                                                                             and of none of them

The evidence, each from 0 to 1:

    words      cosine to the intent's closest example, in words and pairs of words
    phones     the same in triples of phones, so that "my ballots" is close to "my balance"
    explained  the share of the utterance that the intent's vocabulary accounts for: a question
               about the weather is not about a bill, though most of its words are the same
    covered    the share of an example that the utterance brings

Each word weighs as much as it is rare in general English. The weights are the unigrams of the
language model, the phones those of the dictionary that come with pocketsphinx. How much each
piece of evidence counts was fitted on half of the intents of a public collection;
docs/understanding.md says how, and what came out on the other half.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from workers.bot import Bot
from workers.spoken import is_number, words

Vector = npt.NDArray[np.float64]

UNKNOWN_LOG10 = -6.0  # probability of a word that general English does not know
COMMON_LOG10 = -1.5  # as frequent as this, or more, and a word says nothing
LEAST_WEIGHT = 0.05
# Rare enough in general English, yet callers wrap any wish in them: words of two fifths of the
# intents of the development half, and those that only occur on the telephone.
WRAPPING = {
    "need", "please", "know", "tell", "want", "get", "let", "could", "give", "find", "help", "go",
    "question", "questions", "ask", "asking", "wonder", "wondering", "call", "calling",
}  # fmt: skip
WRAPPING_WEIGHT = 0.5
MAX_WORDS = 40
ALIKE = 0.55  # of the pairs of phones that two words must share to be heard for each other
ACCEPT = 0.5  # least probability of an intent to act on it
MARGIN = 0.1  # and by how much the next one must be less likely
# Log odds more for an intent about something that was just named: "when will it arrive".
FAVOUR = 1.0

# Log odds of an intent against none: constant, words, phones, explained, covered.
LOG_ODDS = np.array([-6.04, 2.85, 4.34, 4.18, 4.47])

_ENDINGS = (
    (re.compile(r"(?<=[a-z]{2})ies$"), "y"),
    (re.compile(r"(?<=[a-z]{3})(?:ing|ed|es|(?<!s)s|ly)$"), ""),
    (re.compile(r"(?<=[a-z]{2})([bdglmnprt])\1$"), r"\1"),
    (re.compile(r"(?<=[a-z]{2})e$"), ""),
)
_CONTRACTIONS = {
    "n't": " not", "'m": " am", "'s": " is", "'re": " are", "'ve": " have", "'ll": " will",
    "'d": " would",
}  # fmt: skip
_CONTRACTED = re.compile("(?:" + "|".join(_CONTRACTIONS) + ")$")


@dataclass(frozen=True, slots=True)
class Match:
    """What an utterance means.

    score: probability that the intent is meant, 0 to 1. margin: by how much the next intent is
    less likely. explained: share of the utterance in the intent's words. sure: score and margin
    suffice to act on it.
    """

    intent: str | None
    score: float
    margin: float
    explained: float = 0.0

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
                self._phones.setdefault(word, tuple(p.rstrip("012") for p in phones))

    @functools.lru_cache(maxsize=50_000)  # noqa: B019 - one instance per process
    def weight(self, word: str) -> float:
        """Near 0 for a word that everyone says all the time, up to 4.5 for a rare one."""
        if word in WRAPPING:
            return WRAPPING_WEIGHT
        log10 = float(self._to_log10(self._model.prob([word])))
        return max(LEAST_WEIGHT, COMMON_LOG10 - max(log10, UNKNOWN_LOG10))

    def sounds(self, word: str) -> tuple[str, ...]:
        """ARPABET between two marks of the word's edges; an unknown word is spelt."""
        return ("_", *(self._phones.get(word) or tuple(word)), "_")


@functools.cache
def english() -> English:
    return English()


@functools.lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """What charge, charges, charged and charging have in common."""
    for ending, left in _ENDINGS:
        word = ending.sub(left, word)
    return word


def tokens(text: str) -> list[str]:
    """Words, contractions taken apart. A number tells no intent and is left out."""
    found: list[str] = []
    for number, run in itertools.groupby(words(text)[:MAX_WORDS], is_number):
        said = list(run)
        if number and (len(said) > 1 or said[0].isdecimal()):
            continue
        for word in said:
            whole = _CONTRACTED.sub(lambda short: _CONTRACTIONS[short.group()], word)
            found += whole.split()
    return found


def _lexical(heard: list[str]) -> dict[str, float]:
    weight = english().weight
    counts: Counter[str] = Counter()
    for word in heard:
        counts[stem(word)] += weight(word)  # type: ignore[assignment]
    for first, second in itertools.pairwise(heard):
        pair = (weight(first) + weight(second)) / 4
        counts[f"{stem(first)} {stem(second)}"] += pair  # type: ignore[assignment]
    return _unit(counts)


def _phonetic(heard: list[str]) -> dict[str, float]:
    counts: Counter[str] = Counter()
    for word in heard:
        sounds = english().sounds(word)
        weight = english().weight(word) / math.sqrt(len(sounds))
        for n in range(len(sounds) - 2):
            counts["-".join(sounds[n : n + 3])] += weight  # type: ignore[assignment]
    return _unit(counts)


def _unit(counts: Counter[str]) -> dict[str, float]:
    norm = math.sqrt(sum(v * v for v in counts.values()))
    return {k: v / norm for k, v in counts.items()} if norm else {}


@functools.lru_cache(maxsize=20_000)
def _pairs(word: str) -> frozenset[tuple[str, str]]:
    return frozenset(itertools.pairwise(english().sounds(word)))


def alike(heard: str, meant: str) -> float:
    """1 for the same word in another form, less for one that sounds like it, else 0."""
    if stem(heard) == stem(meant):
        return 1.0
    one, other = _pairs(heard), _pairs(meant)
    if len(one) <= 3:  # two phones: nearly everything short sounds like it
        return 0.0
    shared = 2 * len(one & other) / (len(one) + len(other))
    return shared if shared >= ALIKE else 0.0


class _Space:
    """Vectors of one kind of feature, an example in each row."""

    def __init__(self, vectors: list[dict[str, float]]) -> None:
        self._at = {f: n for n, f in enumerate(sorted({f for v in vectors for f in v}))}
        self._rows = np.zeros((len(vectors), len(self._at)))
        for row, vector in enumerate(vectors):
            for feature, weight in vector.items():
                self._rows[row, self._at[feature]] = weight

    def cosines(self, vector: dict[str, float]) -> Vector:
        known = [(self._at[f], w) for f, w in vector.items() if f in self._at]
        if not known:
            return np.zeros(len(self._rows))
        columns = [column for column, _ in known]
        found: Vector = self._rows[:, columns] @ np.array([weight for _, weight in known])
        return found


class Matcher:
    """One bot's. Nothing in it changes once it is built: threads may share it."""

    def __init__(self, bot: Bot) -> None:
        owned = [(n, tokens(e)) for n, i in enumerate(bot.intents.values()) for e in i.examples]
        examples = [words_ for _, words_ in owned]
        self._names = list(bot.intents)
        self._owner = np.array([n for n, _ in owned])
        self._lexical = _Space([_lexical(e) for e in examples])
        self._phonetic = _Space([_phonetic(e) for e in examples])
        self._vocabulary = sorted({w for e in examples for w in e})
        column = {w: n for n, w in enumerate(self._vocabulary)}
        # What share of each example each word of the vocabulary is.
        self._shares = np.zeros((len(examples), len(column)))
        # Whose words they are: an intent's row is True at its own.
        self._whose = np.zeros((len(self._names), len(column)), bool)
        for row, (intent, example) in enumerate(owned):
            total = sum(english().weight(w) for w in set(example))
            for word in set(example):
                self._shares[row, column[word]] = english().weight(word) / total
                self._whose[intent, column[word]] = True
        self._alike = functools.lru_cache(maxsize=4096)(self._alike_to_all)

    def _alike_to_all(self, heard: str) -> Vector:
        return np.array([alike(heard, word) for word in self._vocabulary])

    def _closest(self, per_example: Vector) -> Vector:
        found = np.zeros(len(self._names))
        np.maximum.at(found, self._owner, per_example)
        return found

    def evidence(self, text: str) -> Vector:
        """Intents x (1, words, phones, explained, covered)."""
        heard = tokens(text)
        found = np.zeros((len(self._names), len(LOG_ODDS)))
        found[:, 0] = 1.0
        if not heard or not self._vocabulary:
            return found
        single = list(dict.fromkeys(heard))
        alike_ = np.array([self._alike(word) for word in single])
        weights = np.array([english().weight(word) for word in single])
        found[:, 1] = self._closest(self._lexical.cosines(_lexical(heard)))
        found[:, 2] = self._closest(self._phonetic.cosines(_phonetic(heard)))
        explained = (alike_[:, None, :] * self._whose).max(axis=2)
        found[:, 3] = weights @ explained / weights.sum()
        found[:, 4] = self._closest(self._shares @ alike_.max(axis=0))
        return found

    def match(self, text: str, favoured: Collection[str] = ()) -> Match:
        """The likeliest intent. Match.intent is None when the text has no words at all."""
        if not tokens(text):
            return Match(None, 0.0, 0.0)
        evidence = self.evidence(text)
        favour = FAVOUR * np.array([name in favoured for name in self._names])
        odds = np.exp(evidence @ LOG_ODDS + favour)
        likely = odds / (1.0 + odds.sum())
        order = np.argsort(-likely)
        best = float(likely[order[0]])
        following = float(likely[order[1]]) if len(order) > 1 else 0.0
        explained = float(evidence[order[0], 3])
        return Match(self._names[order[0]], best, best - following, explained)
