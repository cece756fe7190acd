"""What callers are likely to say, as an n-gram model: the bot's phrases, mixed with English.

    p(word | history) = share x p(word | history; phrases)
                      + (1 - share) x p(word | history; English)

Phrases are few, so theirs is an interpolated trigram model (Witten-Bell). English is taken out
of the model that pocketsphinx ships (en-us.lm.bin): its 10,000 commonest words, and the bigrams
among them that matter most. The mixture is written in ARPA's format, which pocketsphinx reads.

Files, each written at once and complete, and none ever changed:

    <cache>/english-<version>.npz    English, the same for all bots; 2 s to make
    <cache>/<expect>-<hash>.arpa     one per bot and kind of answer; 64 at most
    <cache>/<expect>-<hash>.dict     how its words sound that the dictionary lacks
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pocketsphinx
from numpy.typing import NDArray

from workers.stt.vocabulary import Dictionary

VERSION: Final = 1
WORDS: Final = 10_000
BIGRAMS: Final = 60_000
MAX_MODELS: Final = 64  # of 2 MB each; those used least recently go
_HISTORIES: Final = 500
_LOG10_OF_BASE: Final = np.log10(1.0001)  # pocketsphinx counts logarithms in this base
START, END = "<s>", "</s>"

Sentence = tuple[str, ...]
Weighted = Mapping[Sentence, float]


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """A file that is there complete or not at all, whoever else writes it at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
    os.close(handle)
    try:
        write(Path(name))
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class English:
    """words, and log10 of their probabilities; bigrams as (previous, word) indices and log10."""

    words: list[str]
    unigram: NDArray[np.float64]
    pairs: NDArray[np.int32]
    bigram: NDArray[np.float64]

    @classmethod
    def load(cls, cache: Path, dictionary: Iterable[str]) -> English:
        """From the cache; else made and put there."""
        path = cache / f"english-{VERSION}.npz"
        if not path.is_file():
            write_whole(path, lambda to: cls._make(dictionary)._save(to))
        with np.load(path, allow_pickle=False) as held:
            words = [str(word) for word in held["words"]]
            return cls(words, held["unigram"], held["pairs"], held["bigram"])

    def _save(self, path: Path) -> None:
        np.savez(
            path,
            words=np.array(self.words),
            unigram=self.unigram,
            pairs=self.pairs,
            bigram=self.bigram,
        )

    @classmethod
    def _make(cls, dictionary: Iterable[str]) -> English:
        source = pocketsphinx.NGramModel.readfile(pocketsphinx.get_model_path("en-us/en-us.lm.bin"))

        def log10(*words: str) -> float:  # the word first, then what was before it
            return float(source.prob(words) * _LOG10_OF_BASE)

        known = sorted(((log10(word), word) for word in set(dictionary)), reverse=True)[:WORDS]
        words = [word for _, word in known] + [END]
        unigram = np.array([log10(word) for word in words])
        words.append(START)
        unigram = np.append(unigram, -99.0)
        histories = [*range(_HISTORIES), len(words) - 1]
        worth = np.empty((len(histories), len(words) - 1))
        bigram = np.empty_like(worth)
        for row, history in enumerate(histories):
            before = words[history]
            bigram[row] = [log10(word, before) for word in words[:-1]]
            # How much is lost if this pair is forgotten: p(history) p(word|history) log(gain).
            weight = unigram[history] if before != START else unigram[words.index(END)]
            worth[row] = 10 ** (weight + bigram[row]) * (bigram[row] - unigram[:-1])
        rows, columns = np.unravel_index(np.argsort(-worth, axis=None)[:BIGRAMS], worth.shape)
        pairs = np.stack([np.array(histories)[rows], columns], axis=1).astype(np.int32)
        return cls(words, unigram, pairs, bigram[rows, columns])


class Phrases:
    """An interpolated trigram model of sentences, each with a weight."""

    def __init__(self, sentences: Weighted, order: int = 3) -> None:
        self.counts: list[dict[Sentence, Counter[str]]] = [defaultdict(Counter) for _ in range(3)]
        for sentence, weight in sentences.items():
            words = (START, *sentence, END)
            for at in range(1, len(words)):
                for length in range(min(at, order - 1) + 1):
                    self.counts[length][words[at - length : at]][words[at]] += weight  # type: ignore[assignment]
        self.words = set(self.counts[0][()])

    def prob(self, word: str, history: Sentence) -> float:
        """Witten-Bell: a history with many followers trusts its shorter one more."""
        if not self.words:
            return 0.0
        shorter = self.prob(word, history[1:]) if history else 0.0
        seen = self.counts[len(history)].get(history)
        if not seen:
            return shorter
        total = float(seen.total())
        if not history:
            return seen[word] / total
        return (seen[word] + len(seen) * shorter) / (total + len(seen))


def mixture(
    english: English, phrases: Phrases, usual_share: float, share_after: Mapping[str, float]
) -> str:
    """The mixed model in ARPA's format.

    usual_share: of the phrases, from 0 to 1; share_after: another one, after certain words.
    """
    share = usual_share
    base = {w: float(p) for w, p in zip(english.words, 10**english.unigram, strict=True)}
    rare = float(10 ** english.unigram[:-2].min())
    unigram = {
        word: share * phrases.prob(word, ()) + (1 - share) * base.get(word, rare)
        for word in {*english.words, *phrases.words} - {START}
    }
    total = sum(unigram.values())
    unigram = {word: p / total for word, p in unigram.items()}

    general: dict[str, dict[str, float]] = defaultdict(dict)
    for (before, word), p in zip(english.pairs.tolist(), english.bigram.tolist(), strict=True):
        general[english.words[before]][english.words[word]] = 10**p
    bigram: dict[str, dict[str, float]] = {}
    for before in {*general, *(h[0] for h in phrases.counts[1])}:
        kept = general.get(before, {})
        # What English's bigrams leave goes to its unigrams.
        left = max(1e-6, 1 - sum(kept.values()))
        left /= max(1e-6, 1 - sum(base[word] for word in kept))
        followers = {*kept, *phrases.counts[1].get((before,), {})}
        share = share_after.get(before, usual_share)
        bigram[before] = {
            word: share * phrases.prob(word, (before,))
            + (1 - share) * kept.get(word, left * base.get(word, rare))
            for word in followers
        }
    back_1 = {before: _back_off(followers, unigram) for before, followers in bigram.items()}

    def two(word: str, before: str) -> float:
        found = bigram.get(before, {}).get(word)
        return found if found is not None else back_1.get(before, 1.0) * unigram[word]

    trigram: dict[Sentence, dict[str, float]] = {}
    back_2: dict[Sentence, float] = {}
    for history, seen in phrases.counts[2].items():
        share = share_after.get(history[1], usual_share)
        lower = {word: two(word, history[1]) for word in seen}
        # Whatever English says here it says with its bigrams.
        made = {
            word: share * phrases.prob(word, history)
            + (lower[word] - share * phrases.prob(word, history[1:]))
            for word in seen
        }
        trigram[history] = {word: max(p, lower[word] * 0.1) for word, p in made.items()}
        back_2[history] = _back_off(trigram[history], lower)
    return _arpa(unigram, bigram, back_1, trigram, back_2)


def _back_off(followers: Mapping[str, float], lower: Mapping[str, float]) -> float:
    left = max(1e-4, 1 - sum(followers.values()))
    return left / max(1e-4, 1 - sum(lower[word] for word in followers))


def _arpa(
    unigram: Mapping[str, float],
    bigram: Mapping[str, Mapping[str, float]],
    back_1: Mapping[str, float],
    trigram: Mapping[Sentence, Mapping[str, float]],
    back_2: Mapping[Sentence, float],
) -> str:
    def log(p: float) -> str:
        return f"{np.log10(max(p, 1e-20)):.4f}"

    ones = [f"-99.0000 {START} {log(back_1.get(START, 1.0))}"]
    ones += [f"{log(p)} {w} {log(back_1.get(w, 1.0))}" for w, p in sorted(unigram.items())]
    twos = [
        f"{log(p)} {before} {word} {log(back_2.get((before, word), 1.0))}"
        for before, followers in sorted(bigram.items())
        for word, p in sorted(followers.items())
    ]
    threes = [
        f"{log(p)} {' '.join(history)} {word}"
        for history, followers in sorted(trigram.items())
        for word, p in sorted(followers.items())
    ]
    head = ["\\data\\", f"ngram 1={len(ones)}", f"ngram 2={len(twos)}", f"ngram 3={len(threes)}"]
    parts: Sequence[str] = [
        *head, "", "\\1-grams:", *ones, "", "\\2-grams:", *twos, "", "\\3-grams:", *threes,
        "", "\\end\\", "",
    ]  # fmt: skip
    return "\n".join(parts)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A language model on disk, and beside it how the words sound that the dictionary lacks."""

    key: str
    arpa: Path

    @classmethod
    def get(
        cls,
        cache: Path,
        parts: tuple[str, ...],
        make: Callable[[English, Dictionary], tuple[str, dict[str, str]]],
    ) -> ModelFiles:
        """What was made of these parts; made now if it is not there. Raises OSError."""
        key = f"{parts[0]}-{hashlib.sha256(repr((VERSION, parts)).encode()).hexdigest()[:24]}"
        files = cls(key, cache / f"{key}.arpa")
        if files.arpa.is_file() and files._dict.is_file():
            os.utime(files.arpa)
            return files
        dictionary = Dictionary()
        text, sounds = make(English.load(cache, dictionary.sounds), dictionary)
        lines = "".join(f"{word} {phones}\n" for word, phones in sounds.items())
        write_whole(files._dict, lambda to: _write(to, lines))
        write_whole(files.arpa, lambda to: _write(to, text))
        for old in sorted(cache.glob("*.arpa"), key=_age)[MAX_MODELS:]:
            old.unlink(missing_ok=True)
            old.with_suffix(".dict").unlink(missing_ok=True)
        return files

    @property
    def _dict(self) -> Path:
        return self.arpa.with_suffix(".dict")

    def pronunciations(self) -> dict[str, str]:
        lines = self._dict.read_text(encoding="utf-8").splitlines()
        return {word: phones for word, _, phones in (line.partition(" ") for line in lines)}


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _age(path: Path) -> float:
    """Seconds since its last use; a file that another process removed meanwhile is oldest."""
    try:
        return -path.stat().st_mtime
    except OSError:
        return 0.0
