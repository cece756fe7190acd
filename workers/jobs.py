"""The three jobs of a turn: what RQ calls, by name, and nothing else.

Each is dispatched when the caller begins to speak, waits on its stream for input, and passes
on what it makes while it makes it: a partial transcript, a sentence, a piece of speech. What
goes wrong is told to the listener (Failed), which owns the turn and decides; downstream stages
are told to stop (Cancel). A job keeps nothing: if its process dies, the turn's deadline in the
listener passes, and that is all.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock

import redis

from workers import streams
from workers.bot import Bot
from workers.llm.engine import LlmEngine, LlmError, Request
from workers.messages import (
    Audio,
    AudioEnd,
    Cancel,
    Decision,
    Failed,
    Final,
    Message,
    MessageError,
    Partial,
    Sentence,
    SentencesEnd,
    Speech,
    SpeechEnd,
    Stage,
    Started,
    Turn,
)
from workers.sentences import SentenceSplitter
from workers.stt.engine import Expect, Hints, SttEngine, SttError
from workers.tts.engine import TtsEngine, TtsError

log = logging.getLogger(__name__)

SPEECH_PIECE_BYTES = 6400  # 400 ms: few entries, and the first still leaves early
PARTIAL_EVERY_S = 0.2
MAX_BOTS = 64
NEXT: dict[Stage, Stage] = {"stt": "llm", "llm": "tts"}


@dataclass(slots=True)
class Context:
    """What a worker process has: Redis, its engine, the bots it has seen lately."""

    client: redis.Redis
    stage: Stage
    engine: SttEngine | LlmEngine | TtsEngine
    ttl_s: int
    _bots: OrderedDict[str, Bot] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def bot(self, sha: str) -> Bot:
        with self._lock:
            if sha in self._bots:
                self._bots.move_to_end(sha)
                return self._bots[sha]
        bot = streams.get_bot(self.client, sha)
        with self._lock:
            self._bots[sha] = bot
            while len(self._bots) > MAX_BOTS:
                self._bots.popitem(last=False)
        return bot

    def tell(self, turn: Turn, *messages: Message, down: Message | None = None) -> None:
        """Messages to the listener and one down to the next stage, in one round trip."""
        pipe = self.client.pipeline(transaction=False)
        if down is not None and self.stage in NEXT:
            streams.feed(pipe, turn, NEXT[self.stage], down, self.ttl_s)
        for message in messages:
            streams.publish(pipe, turn, message)
        pipe.execute()


def run(context: Context, turn: Turn) -> None:
    """Do the stage's job of a turn, and tell the listener if that fails."""
    work = {"stt": transcribe, "llm": reply, "tts": speak}[context.stage]
    try:
        inbox = streams.Inbox(context.client, turn, context.stage)
        context.tell(turn, Started(context.stage, context.engine.name))
        work(context, turn, inbox)
    except streams.Cancelled:
        context.tell(turn, down=Cancel())
    except (SttError, LlmError, TtsError, MessageError, streams.InputLost) as error:
        _give_up(context, turn, f"{type(error).__name__}: {error}")
    except redis.RedisError:
        raise  # there is nobody to tell
    except Exception as error:
        # The engine's own defect. Its text may hold the caller's words: the type must do.
        _give_up(context, turn, f"{context.engine.name}: {type(error).__name__}")
        raise


def _give_up(context: Context, turn: Turn, reason: str) -> None:
    log.warning("%s %s: %s gave up: %s", turn.call, turn.epoch, context.stage, reason)
    context.tell(turn, Failed(context.stage, reason[:200]), down=Cancel())


def hints(bot: Bot, asked: str | None, language: str) -> Hints:
    """What the caller is likely to say now that `asked` was asked for; see DialogState."""
    expect: Expect = "text"
    if asked == "confirm":
        expect = "yes_no"
    elif asked in bot.slots:
        expect = bot.slots[asked].type
    phrases = [example for intent in bot.intents.values() for example in intent.examples]
    return Hints(expect=expect, phrases=tuple(phrases), language=language)


def warm(context: Context, sha: str, slots: int) -> None:
    """Have ready what a bot's first turn would otherwise wait for: language models, vectors."""
    bot = context.bot(sha)
    if context.stage == "stt":
        stt: SttEngine = context.engine  # type: ignore[assignment]
        for asked in (None, "confirm", *bot.slots):
            opened = []
            try:
                for _ in range(slots):
                    opened.append(stt.open(hints(bot, asked, bot.language)))
            finally:
                for utterance in opened:
                    utterance.close()
    elif context.stage == "llm":
        llm: LlmEngine = context.engine  # type: ignore[assignment]
        llm.warm(bot)


def transcribe(context: Context, turn: Turn, inbox: streams.Inbox) -> None:
    """stt: audio in, partials and the final text out."""
    engine: SttEngine = context.engine  # type: ignore[assignment]
    utterance = engine.open(hints(context.bot(turn.bot), turn.state.asked, turn.language))
    told = 0.0
    try:
        for message in inbox.messages(turn.listen_s):
            if isinstance(message, AudioEnd):
                break
            if isinstance(message, Audio):
                partial = utterance.feed(message.pcm)
                if partial and time.monotonic() - told > PARTIAL_EVERY_S:
                    told = time.monotonic()
                    context.tell(turn, Partial(partial))
        heard = utterance.finish(turn.answer_s)
    finally:
        utterance.close()
    final = Final(heard.text, heard.confidence)
    context.tell(turn, final, down=final)


def reply(context: Context, turn: Turn, inbox: streams.Inbox) -> None:
    """llm: the caller's text in, a decision and sentences out."""
    engine: LlmEngine = context.engine  # type: ignore[assignment]
    bot = context.bot(turn.bot)
    final = next(m for m in inbox.messages(turn.listen_s) if isinstance(m, Final))
    request = Request(bot, turn.state, turn.history, final.text, final.keyed)
    splitter = SentenceSplitter()
    count = 0
    decided = False

    def say(texts: list[str]) -> None:
        nonlocal count
        for text in texts:
            sentence = Sentence(count, text)
            count += 1
            context.tell(turn, sentence, down=sentence)

    for piece in engine.reply(request, turn.answer_s):
        inbox.check()
        if isinstance(piece, Decision):
            decided = True
            context.tell(turn, piece)
        else:
            say(splitter.feed(piece))
    say(splitter.flush())
    if not decided:
        context.tell(turn, Decision(turn.state))
    end = SentencesEnd(count)
    context.tell(turn, end, down=end)


def speak(context: Context, turn: Turn, inbox: streams.Inbox) -> None:
    """tts: sentences in, speech out."""
    engine: TtsEngine = context.engine  # type: ignore[assignment]
    for message in inbox.messages(turn.listen_s):
        if isinstance(message, SentencesEnd):
            context.tell(turn, SpeechEnd(message.count - 1, last=True))
            return
        if not isinstance(message, Sentence):
            continue
        seq = 0
        rest = b""
        for piece in engine.speak(message.text, turn.language, turn.answer_s):
            inbox.check()
            rest += piece
            while len(rest) >= SPEECH_PIECE_BYTES:
                context.tell(turn, Speech(message.index, seq, rest[:SPEECH_PIECE_BYTES]))
                rest = rest[SPEECH_PIECE_BYTES:]
                seq += 1
            if seq == 0 and rest:  # the first piece at once, however short
                context.tell(turn, Speech(message.index, seq, rest))
                rest = b""
                seq += 1
        pieces = [Speech(message.index, seq, rest)] if rest else []
        context.tell(turn, *pieces, SpeechEnd(message.index, last=False))
