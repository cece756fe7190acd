"""How well the intent matcher understands: `python -m tests.measure_understanding [DATA]`.

Without DATA it hears the wishes of energy_wishes.py.

DATA is data_full.json of CLINC150 (Larson et al., 2019, CC BY 3.0, github.com/clinc/oos-eval):
22,500 wishes of 150 kinds written by people, and 1,200 that are none of them. Half of the kinds
are for development: `--fit` finds LOG_ODDS on them. The figures come from the other half.

A bot is made of some intents drawn at random with a few examples each; it hears test wishes of
these, and as many that it does not know: of other intents, and of none.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import ENERGY
from tests.energy_wishes import KNOWN, UNKNOWN
from workers.bot import Bot, load
from workers.llm import matcher
from workers.llm.matcher import ACCEPT, LOG_ODDS, Matcher, Vector, english

MISHEARD = 0.15  # of the words of four letters and more, in a text with recognition errors


@dataclass(frozen=True)
class Round:
    bot: Bot
    known: list[tuple[str, str]]  # text, intent
    unknown: list[str]


class Collection:
    def __init__(self, path: Path) -> None:
        data = json.loads(path.read_text())
        self._wishes: dict[str, dict[str, list[str]]] = {}
        for split in ("train", "test"):
            for text, kind in data[split]:
                self._wishes.setdefault(kind, {}).setdefault(split, []).append(text)
        self._none = {
            "dev": [t for t, _ in data["oos_val"]],
            "test": [t for t, _ in data["oos_test"]],
        }
        kinds = sorted(self._wishes)
        random.Random(1).shuffle(kinds)
        half = len(kinds) // 2
        self._kinds = {"dev": kinds[:half], "test": kinds[half:]}

    def rounds(
        self, part: str, count: int, intents: tuple[int, int], examples: tuple[int, int], seed: int
    ) -> Iterator[Round]:
        rng = random.Random(seed)
        plain = load(ENERGY).model_dump()
        for _ in range(count):
            chosen = rng.sample(self._kinds[part], rng.randint(*intents))
            each = rng.randint(*examples)
            bot = _bot(plain, {k: rng.sample(self._wishes[k]["train"], each) for k in chosen})
            known = [(t, k) for k in chosen for t in rng.sample(self._wishes[k]["test"], 15)]
            others = [k for k in self._kinds[part] if k not in chosen]
            near = [rng.choice(self._wishes[rng.choice(others)]["test"]) for _ in known[::2]]
            far = [rng.choice(self._none[part]) for _ in known[1::2]]
            yield Round(bot, known, near + far)


def _bot(plain: dict[str, Any], examples: dict[str, list[str]]) -> Bot:
    intents = {
        kind: {"examples": said, "answer": "Yes.", "destination": "agent"}
        for kind, said in examples.items()
    }
    item = {"key": "1", "intent": next(iter(intents)), "prompt": "Press 1."}
    menu = plain["menu"] | {"items": [item]}
    return Bot.model_validate(plain | {"slots": {}, "tables": {}, "intents": intents, "menu": menu})


@functools.cache
def _common() -> list[str]:
    known = (w for w in english()._phones if w.isalpha() and len(w) > 2)
    return sorted(known, key=english().weight)[:8000]


@functools.cache
def _heard_for(word: str) -> str:
    """The common word that sounds most like this one."""
    sounds = matcher._pairs(word)

    def shared(other: str) -> float:
        pairs = matcher._pairs(other)
        return 2 * len(sounds & pairs) / (len(sounds) + len(pairs))

    return max((w for w in _common() if w != word), key=shared)


def misheard(text: str, rng: random.Random) -> str:
    """The text with some of its longer words taken for others that sound alike."""
    said = text.split()
    return " ".join(_heard_for(w) if len(w) > 3 and rng.random() < MISHEARD else w for w in said)


def auroc(known: Vector, unknown: Vector) -> float:
    """How often a wish that is known scores higher than one that is not."""
    above = (known[:, None] > unknown).mean() + (known[:, None] == unknown).mean() / 2
    return float(above)


def measure(rounds: list[Round], noisy: bool, title: str) -> None:
    rng = random.Random(3)
    said = (lambda text: misheard(text, rng)) if noisy else str
    right, known, unknown = [], [], []
    spent, count = 0.0, 0
    acted_right = acted_wrong = acted_unknown = 0
    for one in rounds:
        made = Matcher(one.bot)
        texts = [(said(text), kind) for text, kind in one.known]
        texts += [(said(text), "") for text in one.unknown]
        for text, kind in texts:
            began = time.process_time()
            found = made.match(text)
            spent += time.process_time() - began
            count += 1
            if not kind:
                unknown.append(found.score)
                acted_unknown += found.sure
                continue
            known.append(found.score)
            right.append(found.intent == kind)
            acted_right += found.sure and found.intent == kind
            acted_wrong += found.sure and found.intent != kind
    total = len(known)
    scores = np.array(known + unknown)
    truth = np.array([*right, *(False for _ in unknown)])
    bins = [(scores >= low / 10) & (scores < low / 10 + 0.1) for low in range(10)]
    off = sum(abs(scores[b].mean() - truth[b].mean()) * b.mean() for b in bins if b.any())
    print(
        f"{title:28} {total:6} {len(unknown):6}  {np.mean(right):6.1%} {acted_right / total:6.1%}"
        f" {acted_wrong / total:6.1%} {acted_unknown / len(unknown):6.1%}"
        f"  {auroc(np.array(known), np.array(unknown)):.3f}  {off:.3f}  {spent / count * 1e3:.2f}"
    )


def fit(rounds: list[Round]) -> Vector:
    """LOG_ODDS by Newton's method on the likelihood of the right intent, or of none."""
    rng = random.Random(4)
    cases: list[tuple[Vector, Vector]] = []
    for one in rounds:
        made = Matcher(one.bot)
        names = list(one.bot.intents)
        for text, kind in [*one.known, *((t, "") for t in one.unknown)]:
            truth = np.array([float(name == kind) for name in names])
            cases += [(made.evidence(t), truth) for t in (text, misheard(text, rng))]
    weights = np.zeros(len(LOG_ODDS))
    for _ in range(12):
        slope, curve = 1e-3 * weights, 1e-3 * np.eye(len(weights))
        for evidence, truth in cases:
            odds = np.exp(evidence @ weights)
            likely = odds / (1 + odds.sum())
            mean = likely @ evidence
            slope = slope + evidence.T @ (likely - truth) / len(cases)
            curve = curve + ((evidence.T * likely) @ evidence - np.outer(mean, mean)) / len(cases)
        weights = weights - np.linalg.solve(curve, slope)
    return weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--fit", action="store_true", help="find LOG_ODDS on the development half")
    given = parser.parse_args()
    if given.fit and not given.data:
        parser.error("--fit needs DATA")
    collection = Collection(given.data) if given.data else None
    if collection and given.fit:
        print(fit(list(collection.rounds("dev", 24, (3, 16), (4, 12), seed=5))).round(2).tolist())
        return
    print(f"acts on what it believes with {ACCEPT:.0%}")
    print(f"{'':28}  known unknown  right  acted  wrong  false  AUROC  off    ms")
    if collection is None:
        known = [(text, kind) for kind, texts in KNOWN.items() for text in texts]
        rounds = [Round(load(ENERGY), known, list(UNKNOWN))]
        measure(rounds, False, "energy, as written")
        measure(rounds, True, "energy, misheard")
        return
    for part, examples in (("test", 4), ("test", 7), ("test", 15), ("dev", 7)):
        rounds = list(collection.rounds(part, 30, (8, 8), (examples, examples), seed=11))
        for noisy in (False, True):
            how = "misheard" if noisy else "as written"
            measure(rounds, noisy, f"{part}, {examples} examples, {how}")


if __name__ == "__main__":
    main()
