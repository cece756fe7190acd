"""The bot's fixed phrases as audio, on disk: there also when every worker is gone.

    STATE_DIR/prompts/ENGINE/prompt_<sha12>.wav      8 kHz, mono, 16 bit

Rendered once by the tts workers, so that the bot has one voice, and loaded at start. The same
files are what FreeSWITCH's native menu plays.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
import wave
from collections.abc import Iterable, Sequence
from pathlib import Path

import gevent
from gevent.event import Event

from eslbot.link import Link
from workers.bot import Bot
from workers.messages import Failed, Message, Sentence, SentencesEnd, Speech, SpeechEnd, Turn

log = logging.getLogger(__name__)

RATE = 8000
MAX_PROMPT_BYTES = 60 * RATE * 2
RENDER_S = 30.0  # for all phrases of a bot
LEVELS = 3  # engines that are asked for a language, one after another


def prompt_file(text: str) -> str:
    """The file name of a phrase: it follows from the text alone."""
    return f"prompt_{hashlib.sha256(text.encode()).hexdigest()[:12]}.wav"


def read_wav(path: Path) -> bytes:
    """L16 mono 8000 Hz of a WAV file. Raises ValueError when it is something else."""
    try:
        with wave.open(str(path), "rb") as file:
            if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE, 1, 2):
                raise ValueError(f"{path.name}: not 8000 Hz, mono, 16 bit")
            pcm = file.readframes(MAX_PROMPT_BYTES // 2)
    # RuntimeError: a chunk that is longer than the file, by its own header.
    except (wave.Error, EOFError, RuntimeError) as error:
        raise ValueError(f"{path.name}: not a WAV file: {error}") from None
    # Half a sample at the end of a cut file would turn all that is played after it into noise.
    return pcm[: len(pcm) & ~1]


def write_wav(path: Path, pcm: bytes) -> None:
    """Whole or not at all: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with wave.open(str(part), "wb") as file:
        file.setframerate(RATE)
        file.setnchannels(1)
        file.setsampwidth(2)
        file.writeframes(pcm)
    part.replace(path)


def _phrases(bots: Iterable[Bot]) -> list[str]:
    return list(dict.fromkeys(text for bot in bots for text in bot.fixed_phrases()))


class Prompts:
    """Phrase to audio, in all languages of the bot. get() never waits; render() fills what is
    missing. A phrase that is the same in two languages has one voice, that of the first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "prompts"
        self._audio: dict[str, bytes] = {}
        self._epoch = 0
        self._cause = ""  # why something was not rendered

    def get(self, text: str) -> bytes | None:
        return self._audio.get(text)

    def missing(self, bots: Iterable[Bot]) -> list[str]:
        """Of the bots' own languages: without these no call can be taken."""
        return [text for text in _phrases(bots) if text not in self._audio]

    def missing_translations(self, bots: Iterable[Bot]) -> list[str]:
        return self.missing(voice for bot in bots for voice in bot.voices[1:])

    def complete(self, bot: Bot) -> bool:
        """Whether all phrases of the bot in this language are there."""
        return not self.missing([bot])

    def keep(self, bots: Iterable[Bot]) -> None:
        """Forget what none of these bots says; the files stay."""
        said = set(_phrases(voice for bot in bots for voice in bot.voices))
        self._audio = {text: pcm for text, pcm in self._audio.items() if text in said}

    def load(self, engine: str | None, bots: Iterable[Bot]) -> None:
        """Read what is on disk: this engine's, or anyone's when no engine is known."""
        name = re.sub(r"[^a-z0-9-]", "_", engine.lower()) if engine else "*"
        for text in _phrases(voice for bot in bots for voice in bot.voices):
            for path in sorted(self._folder.glob(f"{name}/{prompt_file(text)}")):
                try:
                    self._audio[text] = read_wav(path)
                    break
                except (OSError, ValueError) as error:
                    log.warning("prompt left out: %s", error)

    def render(self, link: Link, listener: str, engine: str, bots: Sequence[Bot]) -> None:
        """Have the tts workers speak what is missing, and keep it on disk.

        Raises TimeoutError when they don't in RENDER_S for each language; what came by then is
        kept. A language that the first engine does not speak is for the next one.
        """
        for bot in bots:
            self._fill(link, listener, engine, bot, bot, levels=1)
        if missing := self.missing(bots):
            raise TimeoutError(f"{len(missing)} prompts could not be rendered: {self._cause}")
        for bot in bots:
            for voice in bot.voices[1:]:
                self._fill(link, listener, engine, bot, voice, LEVELS)
        if missing := self.missing_translations(bots):
            log.warning(
                "%d prompts of translations are not rendered: %s", len(missing), self._cause
            )

    def _fill(
        self, link: Link, listener: str, engine: str, whole: Bot, voice: Bot, levels: int
    ) -> None:
        for level in range(levels):
            texts = self.missing([voice])
            if not texts:
                return
            turn = self._turn(link, listener, whole, voice, level)
            self._cause = self._render(link, engine, turn, texts)

    def _turn(self, link: Link, listener: str, whole: Bot, voice: Bot, level: int) -> Turn:
        self._epoch = max(self._epoch + 1, int(time.time()))
        # A name of its own: two renderings may go on at once.
        name = f"prompts-{listener}-{self._epoch}"
        return Turn(name, self._epoch, link.out_for(name), whole.sha, RENDER_S, RENDER_S,
                    voice.language, level=level)  # fmt: skip

    def _render(self, link: Link, engine: str, turn: Turn, texts: list[str]) -> str:
        """By the engine of the turn's level; why it is not all there, if it is not."""
        folder = self._folder / re.sub(r"[^a-z0-9-]", "_", engine.lower())
        call = turn.call
        parts: dict[int, bytearray] = {}
        done = Event()
        failed: list[str] = []

        def on_message(epoch: int, attempt: int, message: Message) -> None:
            if epoch != turn.epoch:
                return
            if isinstance(message, Speech):
                parts.setdefault(message.index, bytearray()).extend(message.pcm)
            elif isinstance(message, SpeechEnd) and not message.last:
                if not 0 <= message.index < len(texts):
                    return  # of no sentence that was given
                text = texts[message.index]
                self._audio[text] = bytes(parts.pop(message.index, b""))
                try:
                    write_wav(folder / prompt_file(text), self._audio[text])
                except OSError as error:
                    # It can be played all the same; FreeSWITCH's menu and the next start lack it.
                    log.error("prompt not kept: %s: %s", folder, error.strerror)
            elif isinstance(message, SpeechEnd):
                done.set()
            elif isinstance(message, Failed):
                failed.append(message.reason)
                done.set()

        link.register(call, on_message)
        try:
            link.dispatch(turn, "tts")
            for index, text in enumerate(texts):
                link.feed(turn, "tts", Sentence(index, text))
            link.feed(turn, "tts", SentencesEnd(len(texts)))
            with gevent.Timeout(RENDER_S, False):
                done.wait()
        finally:
            link.forget(call, on_message)
        return failed[0] if failed else f"not done in {RENDER_S:.0f} s"
