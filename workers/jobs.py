"""The three jobs of a turn: what RQ calls, by name, and nothing else.

Each is dispatched when the caller begins to speak, waits on its stream for input, and tells the
listener what it makes while it makes it: a partial transcript, a sentence, a piece of speech.
What goes wrong is told as well (Failed). The listener owns the turn and decides: a job knows
nothing of the next stage, nor of another attempt at its own. A job keeps nothing: if its process
dies, the listener has another one do it.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import redis

from workers import streams
from workers.acting import Result, ToolCall
from workers.bot import Bot
from workers.breaker import provider_failed
from workers.engines import Level
from workers.llm.engine import LlmEngine, LlmError, Request
from workers.messages import (
    Audio,
    AudioEnd,
    Decision,
    Failed,
    Final,
    Message,
    MessageError,
    Partial,
    Proceed,
    Sentence,
    SentencesEnd,
    Speech,
    SpeechEnd,
    Stage,
    Started,
    Turn,
    Worked,
    Working,
)
from workers.sentences import SentenceSplitter
from workers.stt.engine import Expect, Hints, SttEngine, SttError
from workers.tools.runner import Runner
from workers.tts.cache import SpeechCache, wanted
from workers.tts.engine import TtsEngine, TtsError
from workers.tts.shared_sentences import shared_sentences

log = logging.getLogger(__name__)

SPEECH_PIECE_BYTES = 6400  # 400 ms: few entries, and the first still leaves early
PARTIAL_EVERY_S = 0.2
MAX_BOTS = 64
EngineErrors = (SttError, LlmError, TtsError)


class NoEngine(Exception):
    """Each engine from the wanted level on has an open breaker."""


@dataclass(slots=True)
class Context:
    """What a worker process has: Redis, its engines, the bots it has seen lately.

    name: of the worker, under which it says that it lives. speech: what a tts worker has spoken.
    tools: of an llm worker.
    """

    client: redis.Redis
    stage: Stage
    levels: list[Level]
    name: str
    speech: SpeechCache
    tools: Runner | None = None
    _bots: OrderedDict[str, Bot] = field(default_factory=OrderedDict)
    _shared: OrderedDict[str, tuple[str, ...]] = field(default_factory=OrderedDict)
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

    def shared(self, sha: str) -> tuple[str, ...]:
        """The sentences of a bot that are the same for all callers; none when it is not there:
        a sentence can be spoken without knowing whose it is."""
        with self._lock:
            if sha in self._shared:
                return self._shared[sha]
        try:
            found = shared_sentences(self.bot(sha))
        except streams.InputLost:
            return ()
        with self._lock:
            self._shared[sha] = found
            while len(self._shared) > MAX_BOTS:
                self._shared.popitem(last=False)
        return found

    def choose(self, level: int) -> int:
        """The first level from this one on whose provider is not known to be out. Raises
        NoEngine."""
        level = min(level, len(self.levels) - 1)
        for at in range(level, len(self.levels)):
            breaker = self.levels[at].breaker
            if breaker is None or breaker.closed():
                return at
        raise NoEngine("all providers are out")

    def tell(self, turn: Turn, *messages: Message) -> None:
        """Messages to the listener, in one round trip."""
        pipe = self.client.pipeline(transaction=False)
        for message in messages:
            streams.publish(pipe, turn, message)
        pipe.execute()


def run(context: Context, turn: Turn) -> None:
    """Do the stage's job of a turn, and tell the listener if that fails."""
    name = context.stage
    try:
        at = context.choose(turn.level)
        level = context.levels[at]
        name = level.engine.name
        inbox = streams.Inbox(context.client, turn, context.stage)
        context.tell(turn, Started(context.stage, name, at, context.name))
        _work(context, level, turn, inbox)
    except streams.Cancelled:
        log.debug("%s %s: cancelled", turn.call, turn.epoch)
    except (*EngineErrors, MessageError, NoEngine, streams.InputLost) as error:
        _give_up(context, turn, f"{type(error).__name__}: {error}")
    except redis.RedisError:
        raise  # there is nobody to tell
    except Exception as error:
        # The engine's own defect. Its text may hold the caller's words: the type must do.
        _give_up(context, turn, f"{name}: {type(error).__name__}")
        raise


def _work(context: Context, level: Level, turn: Turn, inbox: streams.Inbox) -> None:
    work: dict[Stage, Callable[[Context, Any, Turn, streams.Inbox], bool]]
    work = {"stt": transcribe, "llm": reply, "tts": speak}
    try:
        asked = work[context.stage](context, level.engine, turn, inbox)
    except EngineErrors as error:
        if level.breaker is not None and provider_failed(error):
            level.breaker.failed()
        raise
    # What was at hand proves nothing of the provider.
    if level.breaker is not None and asked:
        level.breaker.succeeded()


def _give_up(context: Context, turn: Turn, reason: str) -> None:
    log.warning("%s %s: %s gave up: %s", turn.call, turn.epoch, context.stage, reason)
    context.tell(turn, Failed(context.stage, reason[:200]))


def hints(bot: Bot, asked: str | None, language: str) -> Hints:
    """What the caller is likely to say now that `asked` was asked for; see DialogState."""
    expect: Expect = "text"
    if asked == "confirm":
        expect = "yes_no"
    elif asked in bot.slots and not bot.slots[asked].secret:
        expect = bot.slots[asked].type
    phrases = [example for intent in bot.intents.values() for example in intent.examples]
    return Hints(expect=expect, phrases=tuple(phrases), language=language)


def warm(context: Context, sha: str, slots: int) -> None:
    """Have ready what a bot's first turn would otherwise wait for: language models, vectors."""
    bot = context.bot(sha)
    for level in context.levels:
        if context.stage == "stt":
            _warm_stt(level.engine, bot, slots)
        elif context.stage == "llm":
            level.engine.warm(bot)
    for name in context.tools.missing(bot) if context.tools else ():
        log.error("bot %s: no secret %s: its tools will fail", bot.name, name)


def _warm_stt(stt: SttEngine, bot: Bot, slots: int) -> None:
    for asked in (None, "confirm", *bot.slots):
        opened = []
        try:
            for _ in range(slots):
                opened.append(stt.open(hints(bot, asked, bot.language)))
        finally:
            for utterance in opened:
                utterance.close()


def transcribe(context: Context, engine: SttEngine, turn: Turn, inbox: streams.Inbox) -> bool:
    """stt: audio in, partials and the final text out. Whether the engine was asked: always."""
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
    context.tell(turn, Final(heard.text, heard.confidence))
    return True


def reply(context: Context, engine: LlmEngine, turn: Turn, inbox: streams.Inbox) -> bool:
    """llm: the caller's text in, a decision and sentences out. Whether the engine was asked:
    always."""
    bot = context.bot(turn.bot)
    final = next(m for m in inbox.messages(turn.listen_s) if isinstance(m, Final))
    request = Request(bot, turn.state, turn.history, final.text, final.keyed, turn.said)
    splitter = SentenceSplitter()
    count = len(turn.said)
    repeated = list(turn.said)  # what an engine that can't go on says once more
    decided = False

    def say(texts: list[str]) -> None:
        nonlocal count
        for text in texts:
            if repeated and repeated.pop(0) == text:
                continue
            repeated.clear()
            context.tell(turn, Sentence(count, text))
            count += 1

    pieces = iter(engine.reply(request, turn.answer_s))
    result: Result | None = None
    while True:
        try:
            piece = next(pieces) if result is None else pieces.send(result)
        except StopIteration:
            break
        result = None
        inbox.check()
        if isinstance(piece, ToolCall):
            say(splitter.flush())
            result = _act(context, turn, inbox, bot, piece)
        elif isinstance(piece, Decision):
            decided = True
            context.tell(turn, piece)
        else:
            say(splitter.feed(piece))
    say(splitter.flush())
    if not decided:
        context.tell(turn, Decision(turn.state))
    context.tell(turn, SentencesEnd(count))
    return True


def _act(
    context: Context, turn: Turn, inbox: streams.Inbox, bot: Bot, call: ToolCall
) -> Result | None:
    """Have a tool run, once the listener says so: the utterance is over then, and no other attempt
    has done it."""
    if context.tools is None or call.tool not in bot.tools:
        return None
    context.tell(turn, Working(call.tool, call.act))
    word = next(
        message
        for message in inbox.messages(turn.listen_s)
        if isinstance(message, Proceed)
        and (message.attempt, message.act) == (turn.attempt, call.act)
    )
    result = Result("unknown")
    if word.go:
        key = f"{word.key}-{call.act}"
        language = turn.state.language or turn.language
        today = turn.state.today
        result = context.tools.run(bot, call.tool, call.arguments, key, language, today)
    context.tell(turn, Worked(call.tool, result.status, result.code, result.ms))
    return result


def speak(context: Context, engine: TtsEngine, turn: Turn, inbox: streams.Inbox) -> bool:
    """tts: sentences in, speech out; those of turn.said are out already. Whether the engine was
    asked."""
    asked = False
    shared = context.shared(turn.bot)
    for message in inbox.messages(turn.listen_s):
        if isinstance(message, SentencesEnd):
            context.tell(turn, SpeechEnd(message.count - 1, last=True))
            return asked
        if not isinstance(message, Sentence) or message.index < len(turn.said):
            continue
        one = wanted(engine, message.text, turn.language, message.text in shared)
        kept = context.speech.get(one)
        if kept is not None:
            _send_whole(context, turn, message.index, kept)
            continue
        asked = True
        # Closed at once when the turn is cancelled; who else listens to it goes on.
        with contextlib.closing(context.speech.speak(engine, one, turn.answer_s)) as pieces:
            _send(context, turn, inbox, message.index, pieces)
    return asked


def _send_whole(context: Context, turn: Turn, index: int, pcm: bytes) -> None:
    """A sentence that is at hand, in one round trip."""
    cuts = range(0, len(pcm), SPEECH_PIECE_BYTES)
    pieces = [Speech(index, n, pcm[at : at + SPEECH_PIECE_BYTES]) for n, at in enumerate(cuts)]
    context.tell(turn, *pieces, SpeechEnd(index, last=False))


def _send(
    context: Context, turn: Turn, inbox: streams.Inbox, index: int, pieces: Iterator[bytes]
) -> None:
    """A sentence while it is made."""
    seq = 0
    rest = b""
    for piece in pieces:
        inbox.check()
        rest += piece
        while len(rest) >= SPEECH_PIECE_BYTES:
            context.tell(turn, Speech(index, seq, rest[:SPEECH_PIECE_BYTES]))
            rest = rest[SPEECH_PIECE_BYTES:]
            seq += 1
        if seq == 0 and rest:  # the first piece at once, however short
            context.tell(turn, Speech(index, seq, rest))
            rest = b""
            seq += 1
    last = [Speech(index, seq, rest)] if rest else []
    context.tell(turn, *last, SpeechEnd(index, last=False))
