"""pocketsphinx: speech-to-text without a model hub, in the bot's own words. English only.

    8 kHz ─▶ cepstra ─▶ minus their mean ─▶ decoder ─▶ partial texts ... final text
                                               ▲
                    the bot's phrases + English, as a language model (language_model.py)

Each kind of answer has a language model of its own (answers.py). In those for digits and for yes
or no such answers are likely and everything else is still possible: a caller who is asked for
digits and says "I want to speak to a person" is heard to say so.

Decoders take 30 MB and 20 MB more for each language model in use (measured, resident), so a
bounded number is kept and used again. They hold the GIL: the calls of one process take turns.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pocketsphinx

from workers.stt.answers import model_text
from workers.stt.cepstra import CEPSTRA, Cepstra, Doubles, Floats
from workers.stt.engine import Hints, SttError, Transcript
from workers.stt.language_model import ModelFiles

MAX_AUDIO_S: Final = 60.0  # more of one utterance is not listened to
# Language models in one decoder; a bot needs three, and one for each other kind of answer.
MAX_SEARCHES: Final = 8
_BYTES_PER_S: Final = 16000

# A low word insertion penalty splits digits into short words.
_CONFIG: Final[Mapping[str, Any]] = {"samprate": 16000, "wip": 0.01, "loglevel": "FATAL"}

# Cepstra are heard relative to their mean, which stands for the channel and the voice. Over a
# whole utterance the mean is best, but then nothing could be decoded before its end; pocketsphinx'
# own live mean stands still for the first 5 s and doubles the errors. So: the mean of what was
# heard so far, begun with that of other speech as if 20 frames of it had been heard, and nothing
# is decoded before 40 frames are there. Measured in docs/stt-accuracy.md.
_MEAN: Final = np.array([47, 0, 4, 8, -2, -1, -2, -2, 1, -1, -1, 0, 0], np.float64)
_MEAN_FRAMES: Final = 20
_FIRST_FRAMES: Final = 40
_NO_MEAN: Final = ",".join(["0"] * CEPSTRA)  # for the decoder: it was taken off already

# A telephone cuts most of an s away: what is left sounds like th. Without this "six" was the cause
# of nearly all errors in human digits.
_ON_THE_TELEPHONE: Final = {"six(2)": "TH IH K S"}

# The decoder's second pass, after the end of the audio, takes about 0.4 of the first.
_SECOND_PASS: Final = 0.5


class _Slot:
    """One decoder and the language models loaded into it. For one utterance at a time."""

    def __init__(self) -> None:
        self.decoder = pocketsphinx.Decoder(lm=None, **_CONFIG)
        for word, phones in _ON_THE_TELEPHONE.items():
            self.decoder.add_word(word, phones, False)
        self._searches: OrderedDict[str, None] = OrderedDict()

    def use(self, model: ModelFiles) -> None:
        if model.key not in self._searches:
            while len(self._searches) >= MAX_SEARCHES:
                self.decoder.remove_search(self._searches.popitem(last=False)[0])
            for word, phones in model.pronunciations().items():
                if self.decoder.lookup_word(word) is None:
                    self.decoder.add_word(word, phones, False)
            self.decoder.add_lm_file(model.key, str(model.arpa))
            self._searches[model.key] = None
        self._searches.move_to_end(model.key)
        self.decoder.activate_search(model.key)


class PocketsphinxUtterance:
    """One utterance; see workers.stt.engine."""

    def __init__(self, slot: _Slot, give_back: Callable[[_Slot, bool], None]) -> None:
        self._slot = slot
        self._give_back = give_back
        self._closed = False
        self._decoding = True
        self._cepstra = Cepstra()
        self._bytes_left = int(MAX_AUDIO_S * _BYTES_PER_S)
        self._waiting: list[Floats] = []
        self._sum: Doubles = _MEAN * _MEAN_FRAMES
        self._frames = 0
        self._partial = ""
        self._spent_s = 0.0
        slot.decoder.set_cmn(_NO_MEAN)
        slot.decoder.start_utt()

    def feed(self, pcm: bytes) -> str | None:
        """See workers.stt.engine. Raises SttError after close or finish."""
        self._check()
        pcm = pcm[: self._bytes_left]
        self._bytes_left -= len(pcm)
        began = time.monotonic()
        text = self._partial
        if self._decode(self._cepstra.feed(pcm)):
            text = self._heard().text
        self._spent_s += time.monotonic() - began
        if text == self._partial:
            return None
        self._partial = text
        return text

    def finish(self, timeout_s: float) -> Transcript:
        """See workers.stt.engine. Raises SttError at once if the time will not do."""
        self._check()
        deadline = time.monotonic() + timeout_s
        if timeout_s <= self._spent_s * _SECOND_PASS:
            raise SttError(f"{timeout_s:.1f} s are too few for the rest of the utterance")
        self._decode(self._cepstra.flush(), last=True)
        self._end()
        if time.monotonic() > deadline:
            raise SttError(f"the utterance took longer than {timeout_s:.1f} s to decode")
        return self._heard()

    def close(self) -> None:
        """See workers.stt.engine. The decoder goes back to the engine."""
        if self._closed:
            return
        self._closed = True
        sound = False
        try:
            if self._decoding:
                self._end()
            sound = True
        finally:
            self._give_back(self._slot, sound)

    def _check(self) -> None:
        if self._closed or not self._decoding:
            raise SttError("the utterance has ended")

    def _end(self) -> None:
        self._decoding = False
        try:
            self._slot.decoder.end_utt()
        except RuntimeError as error:
            raise SttError(f"pocketsphinx can't end the utterance: {error}") from None

    def _decode(self, frames: Floats, last: bool = False) -> bool:
        """Whether anything was decoded."""
        self._sum = self._sum + frames.sum(axis=0)
        self._frames += len(frames)
        self._waiting.append(frames)
        if self._frames < _FIRST_FRAMES and not last:
            return False
        due = np.concatenate(self._waiting)
        self._waiting = []
        if not len(due):
            return False
        mean = self._sum / (self._frames + _MEAN_FRAMES)
        try:
            self._slot.decoder.process_cep((due - mean).astype(np.float32).tobytes())
        except RuntimeError as error:
            raise SttError(f"pocketsphinx can't decode: {error}") from None
        return True

    def _heard(self) -> Transcript:
        """Confidence: the posterior of the whole text, per word; never above 1 by rounding."""
        found = self._slot.decoder.hyp()
        text = str(found.hypstr) if found else ""
        if not text:
            return Transcript("", 0.0)
        return Transcript(text, float(min(1.0, found.prob ** (1 / len(text.split())))))


class PocketsphinxEngine:
    """pocketsphinx with the bot's own phrases.

    cache_dir: where language models are kept from one start to the next; made if missing.
    max_open: utterances at once, and so decoders kept.

    The first utterance of a new bot builds its language model (5 s the first time in a new
    cache_dir, 1 s for another bot); prepare() does so beforehand.
    """

    name = "pocketsphinx"

    def __init__(self, cache_dir: Path, max_open: int = 4) -> None:
        if max_open < 1:
            raise ValueError(f"max_open is {max_open}: at least one utterance must be possible")
        self._cache = cache_dir
        self._max_open = max_open
        self._open = 0
        self._free: list[_Slot] = []
        self._lock = threading.Lock()
        self._building = threading.Lock()

    def prepare(self, phrases: tuple[str, ...]) -> None:
        """Build what open() needs for these phrases, whatever is expected. Raises SttError."""
        for expect in ("text", "digits", "yes_no"):
            self._model(Hints(expect, phrases))

    def open(self, hints: Hints) -> PocketsphinxUtterance:
        """Raises SttError: too many open, another language than English, no language model."""
        if hints.language.lower().replace("_", "-").split("-")[0] != "en":
            raise SttError("pocketsphinx is set up for English only")
        with self._lock:
            if self._open >= self._max_open:
                raise SttError(f"{self._max_open} utterances are open already")
            self._open += 1
            slot = self._free.pop() if self._free else None
        try:
            model = self._model(hints)
            slot = slot or _Slot()
            slot.use(model)
            return PocketsphinxUtterance(slot, self._give_back)
        except (RuntimeError, ValueError, OSError) as error:
            self._give_back(slot, sound=False)
            raise SttError(f"pocketsphinx can't start: {error}") from None
        except BaseException:
            self._give_back(slot, sound=False)
            raise

    def _give_back(self, slot: _Slot | None, sound: bool) -> None:
        with self._lock:
            self._open -= 1
            if slot is not None and sound:
                self._free.append(slot)

    def _model(self, hints: Hints) -> ModelFiles:
        try:
            with self._building:
                return ModelFiles.get(
                    self._cache,
                    (hints.expect, *hints.options, *hints.phrases),
                    lambda english, dictionary: model_text(hints, english, dictionary),
                )
        except OSError as error:
            raise SttError(f"no language model: {error}") from None
