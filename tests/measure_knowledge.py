"""How well questions find their passages: `python -m tests.measure_knowledge [--fit]`.

The collections and the questions lie in tests/data/knowledge, written by the authors; few.
LOG_ODDS were fitted on `energy` (`--fit`); `clinic` was not used for it.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import numpy as np
import yaml

from tests.conftest import ENERGY
from tests.energy_wishes import KNOWN
from tests.measure_understanding import auroc, misheard
from workers.bot import Bot
from workers.knowledge.index import Index, asked_for
from workers.knowledge.library import Library
from workers.knowledge.passages import read, stamp
from workers.llm.engine import Request
from workers.llm.guide import guided
from workers.llm.intents import IntentsEngine
from workers.messages import Decision, DialogState

DATA = Path(__file__).parent / "data" / "knowledge"
Case = tuple[str, str]  # question, heading that answers it, "" where none does


def collection(name: str) -> tuple[Index, list[Case]]:
    folder = DATA / name
    told = yaml.safe_load((DATA / "questions.yaml").read_text())[name]
    cases = [(text, title) for title, texts in told["answered"].items() for text in texts]
    cases += [(text, "") for text in told["unanswered"]]
    found = Index(read(folder, stamp(folder)))
    titles = {passage.title.rsplit(": ", 1)[-1] for passage in found.passages}
    assert {title for _, title in cases if title} <= titles
    return found, cases


def measure(name: str, noisy: bool, least: float) -> dict[str, float]:
    """Shares of 1; `ms`: of CPU for one question."""
    found, cases = collection(name)
    rng = random.Random(3)
    first, among, said, wrong, false = [], [], [], [], []
    known, unknown = [], []
    spent = 0.0
    for text, title in cases:
        heard = misheard(text, rng) if noisy else text
        began = time.process_time()
        hits = found.search(heard, 4)
        spent += time.process_time() - began
        titles = [hit.passage.title.rsplit(": ", 1)[-1] for hit in hits]
        sure = bool(hits) and hits[0].score >= least
        score = hits[0].score if hits else 0.0
        if not title:
            false.append(sure)
            unknown.append(score)
            continue
        known.append(score)
        first.append(titles[:1] == [title])
        among.append(title in titles)
        said.append(sure and first[-1])
        wrong.append(sure and not first[-1])
    return {
        "first": float(np.mean(first)), "among four": float(np.mean(among)),
        "said, right": float(np.mean(said)), "said, wrong": float(np.mean(wrong)),
        "unknown, said": float(np.mean(false)),
        "AUROC": auroc(np.array(known), np.array(unknown)), "ms": spent / len(cases) * 1e3,
    }  # fmt: skip


def fit(name: str) -> list[float]:
    """Logistic regression: does the best passage answer?"""
    found, cases = collection(name)
    rng = random.Random(4)
    rows, truth = [], []
    for text, title in cases:
        for heard in (text, misheard(text, rng)):
            for hit in found.search(heard, 1):
                n = found.passages.index(hit.passage)
                words = asked_for(heard)
                scores = found.bm25(words)
                rows.append(found.evidence(words, n, scores))
                truth.append(hit.passage.title.rsplit(": ", 1)[-1] == title)
    x, y = np.array(rows), np.array(truth, float)
    weights = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-(x @ weights)))
        slope = x.T @ (p - y) + 0.1 * weights
        curve = (x.T * (p * (1 - p))) @ x + 0.1 * np.eye(len(weights))
        weights -= np.linalg.solve(curve, slope)
    return [round(float(w), 2) for w in weights]


def through_the_engine() -> dict[str, float]:
    """Questions to `energy` as a bot with its intents answers them; and its own wishes."""
    example = yaml.safe_load(ENERGY.read_text()) | {"knowledge": {"folder": "energy"}}
    bot, library, engine = Bot.model_validate(example), Library(DATA), IntentsEngine()
    found, cases = collection("energy")
    titles = {one.id: one.title.rsplit(": ", 1)[-1] for one in found.passages}

    def decided(text: str) -> Decision:
        request = Request(bot, DialogState(), (), text)
        return next(p for p in guided(engine, request, 5.0, library) if isinstance(p, Decision))

    known: list[str] = []
    false = 0
    for text, title in cases:
        one = decided(text)
        by = titles[one.cited[0]] if one.cited else "an intent" if one.intent else "nothing"
        if title:
            known.append("right" if by == title else by if not one.cited else "wrong")
        else:
            false += bool(one.cited)
    wishes = [(text, kind) for kind, texts in KNOWN.items() for text in texts]
    taken = sum(bool(decided(text).cited) for text, _ in wishes)
    shares = {f"answered: {by}": known.count(by) / len(known)
              for by in ("right", "wrong", "an intent", "nothing")}  # fmt: skip
    return shares | {"unknown, said": false / (len(cases) - len(known)),
                     "wishes, taken": taken / len(wishes)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit", action="store_true", help="find LOG_ODDS on `energy`")
    if parser.parse_args().fit:
        print(fit("energy"))
        return
    for name in ("energy", "clinic"):
        for noisy in (False, True):
            for least in (0.4, 0.5, 0.6):
                found = measure(name, noisy, least)
                how = "misheard" if noisy else "as written"
                shown = "  ".join(f"{k} {v:.3f}" for k, v in found.items())
                print(f"{name:7} {how:10} from {least:.0%}  {shown}")
    print("energy.yaml with its intents  ", end="")
    print("  ".join(f"{k} {v:.3f}" for k, v in through_the_engine().items()))


if __name__ == "__main__":
    main()
