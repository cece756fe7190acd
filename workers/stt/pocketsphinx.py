"""pocketsphinx: speech-to-text without a model hub, in the bot's own words. English only.

    8 kHz ─▶ cepstra ─▶ decoder ─▶ partial texts ... final text
                           ▲
             the bot's phrases + English, as a language model (language_model.py)

One search serves each kind of answer: digits and yes or no have language models in which those
answers are likely and everything else is still possible, so a caller who is asked for digits
and says "I want to speak to a person" is heard to say so.

Decoders cost memory and time to make, so a bounded number is kept and used again; they hold the
GIL, so calls served by one process take turns.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pocketsphinx

from workers.stt.answers import expected
from workers.stt.cepstra import Cepstra, Floats
from workers.stt.engine import Hints, SttError, Transcript
from workers.stt.language_model import VERSION, English, Phrases, content_hash, mixture, write_whole
from workers.stt.vocabulary import Dictionary, sentences

log = logging.getLogger(__name__)

MAX_AUDIO_S: Final = 60.0
MAX_SEARCHES: Final = 8  # per decoder; a worker serves one bot, which needs three
_FRAMES_AT_ONCE: Final = 50
# The channel's cepstral mean before anything was heard.
_CMN: Final = "40,3,-1"
CONFIG = {"lw": 6.5, "wip": 0.65, "cmn": "live"}
SHARE = {"text": 0.5, "digits": 0.85, "yes_no": 0.7}
BATCH = 0


class _Slot:
    """One decoder and the searches loaded into it. For one utterance at a time."""

    def __init__(self, config: dict[str, object]) -> None:
        self.decoder = pocketsphinx.Decoder(lm=None, loglevel="FATAL", samprate=16000, **config)
        self._searches: OrderedDict[str, None] = OrderedDict()

    def use(self, key: str, model: Path, sounds: dict[str, str]) -> None:
        if key not in self._searches:
            while len(self._searches) >= MAX_SEARCHES:
                self.decoder.remove_search(self._searches.popitem(last=False)[0])
            for word, phones in sounds.items():
                if self.decoder.lookup_word(word) is None:
                    self.decoder.add_word(word, phones, False)
            self.decoder.add_lm_file(key, str(model))
            self._searches[key] = None
        self._searches.move_to_end(key)
        self.decoder.activate_search(key)


class PocketsphinxUtterance:
    """One utterance; see workers.stt.engine."""

    def __init__(self, slot: _Slot, give_back: Callable[[_Slot], None]) -> None:
        self._slot: _Slot | None = slot
        self._give_back = give_back
        self._cepstra = Cepstra()
        self._bytes_left = int(MAX_AUDIO_S * 16000)
        self._partial = ""
        self._open = True
        slot.decoder.set_cmn(_CMN)
        slot.decoder.start_utt()
        self._all: list[Floats] = []

    def feed(self, pcm: bytes) -> str | None:
        decoder = self._decoder()
        pcm = pcm[: self._bytes_left]
        self._bytes_left -= len(pcm)
        frames = self._cepstra.feed(pcm)
        if BATCH:
            self._all.append(frames)
            return None
        if not len(frames):
            return None
        decoder.process_cep(frames.tobytes())
        hypothesis = decoder.hyp()
        text = hypothesis.hypstr if hypothesis else ""
        if text == self._partial:
            return None
        self._partial = text
        return text

    def finish(self, timeout_s: float) -> Transcript:
        decoder = self._decoder()
        rest = self._cepstra.flush()
        if BATCH:
            decoder.process_cep(np.concatenate([*self._all, rest]).tobytes(), full_utt=True)
        elif len(rest):
            decoder.process_cep(rest.tobytes())
        decoder.end_utt()
        self._open = False
        hypothesis = decoder.hyp()
        if hypothesis is None:
            return Transcript("", 0.0)
        return Transcript(hypothesis.hypstr, hypothesis.prob)

    def close(self) -> None:
        slot, self._slot = self._slot, None
        if slot is not None:
            if self._open:
                slot.decoder.end_utt()
            self._give_back(slot)

    def _decoder(self):
        if self._slot is None:
            raise SttError("the utterance is closed")
        return self._slot.decoder


class PocketsphinxEngine:
    name = "pocketsphinx"

    def __init__(self, cache_dir: Path, max_open: int = 4, config=None) -> None:
        self._cache = cache_dir
        self._free: list[_Slot] = []
        self._config = config or CONFIG
        self._lock = threading.Lock()
        self._dictionary = Dictionary()
        self._english = English.load(cache_dir, self._dictionary.sounds)
        self._models = {}

    def open(self, hints: Hints) -> PocketsphinxUtterance:
        key, path, sounds = self._model(hints.expect, hints.phrases)
        slot = self._free.pop() if self._free else _Slot(self._config)
        slot.use(key, path, sounds)
        return PocketsphinxUtterance(slot, self._free.append)

    def _model(self, expect, phrases):
        if (expect, phrases) in self._models:
            return self._models[expect, phrases]
        key = f"{expect}-{content_hash(VERSION, expect, phrases, SHARE)}"
        said = sentences(phrases)
        answers = expected(expect)
        weighted = dict(answers)
        for s in said:
            weighted[s] = weighted.get(s, 0) + (
                1.0 if expect == "text" else 0.3 * sum(answers.values()) / len(said)
            )
        sounds = {
            w: self._dictionary.guess(w) for s in said for w in s if w not in self._dictionary
        }
        path = self._cache / f"{key}.arpa"
        write_whole(
            path,
            lambda to: (
                to.write_text(
                    mixture(
                        self._english,
                        Phrases(weighted, 2 if expect == "digits" else 3),
                        SHARE[expect],
                    )
                )
                and None
            ),
        )
        self._models[expect, phrases] = (key, path, sounds)
        return key, path, sounds
