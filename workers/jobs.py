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
from datetime import date
from threading import Lock
from typing import Any

import redis

from workers import logs, streams
from workers.acting import Result, ToolCall
from workers.bot import Bot
from workers.breaker import provider_failed
from workers.cluster import Cluster, wire_to
from workers.engines import Level
from workers.knowledge.library import Library
from workers.llm.engine import LlmEngine, LlmError, Request
from workers.llm.guide import guided
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
from workers.redaction import redact, spoken_names
from workers.sentences import SentenceSplitter
from workers.stt.engine import Expect, Hints, SttEngine, SttError
from workers.tools.runner import Runner
from workers.tts.cache import SpeechCache, wanted
from workers.tts.engine import TtsEngine, TtsError
from workers.tts.shared_sentences import shared_sentences
from workers.wire import Pipe, Wire

log = logging.getLogger(__name__)

SPEECH_PIECE_BYTES = 6400  # 400 ms: few entries, and the first still leaves early
SPEECH_EVERY_S = 0.2  # half of that: the caller never waits for what was made in time
KEPT_PIECE_BYTES = 32_000  # two seconds, of what is at hand
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
    library: Library | None = None  # of an llm worker: its bots' knowledge
    tools: Runner | None = None
    audio: Cluster | None = None  # where turns' streams lie, if not with all else
    shard: redis.Redis | None = None  # whose jobs are taken, if not those of all
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


class Line:
    """A job's way from and to the listener, over a connection that is its own while it runs."""

    def __init__(self, context: Context, turn: Turn, wire: Wire) -> None:
        self.turn = turn
        self.inbox = streams.Inbox(wire, turn, context.stage)
        self._pipe = Pipe(wire)

    def tell(self, *messages: Message) -> None:
        """Messages to the listener, in one round trip."""
        for message in messages:
            streams.publish(self._pipe, self.turn, message)
        self._pipe.execute()


def run(context: Context, turn: Turn) -> None:
    """Do the stage's job of a turn, and tell the listener if that fails."""
    with wire_to(streams.stream_key(turn, context.stage), context.client, context.audio) as wire:
        _run(context, Line(context, turn, wire))


def _run(context: Context, line: Line) -> None:
    turn = line.turn
    name = context.stage
    logs.CALL.set(turn.call)
    try:
        at = context.choose(turn.level)
        level = context.levels[at]
        name = level.engine.name
        line.tell(Started(context.stage, name, at, context.name))
        _work(context, level, line)
    except streams.Cancelled:
        log.debug("%s %s: cancelled", turn.call, turn.epoch)
    except (*EngineErrors, MessageError, NoEngine, streams.InputLost) as error:
        _give_up(context, line, f"{type(error).__name__}: {error}")
    except redis.RedisError:
        raise  # there is nobody to tell
    except Exception as error:
        # The engine's own defect. Its text may hold the caller's words: the type must do.
        _give_up(context, line, f"{name}: {type(error).__name__}")
        raise


def _work(context: Context, level: Level, line: Line) -> None:
    work: dict[Stage, Callable[[Context, Any, Line], bool]]
    work = {"stt": transcribe, "llm": reply, "tts": speak}
    try:
        asked = work[context.stage](context, level.engine, line)
    except EngineErrors as error:
        if level.breaker is not None and provider_failed(error):
            level.breaker.failed()
        raise
    # What was at hand proves nothing of the provider.
    if level.breaker is not None and asked:
        level.breaker.succeeded()


def _give_up(context: Context, line: Line, reason: str) -> None:
    turn = line.turn
    log.warning("%s %s: %s gave up: %s", turn.call, turn.epoch, context.stage, reason)
    line.tell(Failed(context.stage, reason[:200]))


def hints(bot: Bot, asked: str | None, language: str) -> Hints:
    """What the caller is likely to say now that `asked` was asked for; see DialogState."""
    expect: Expect = "text"
    if asked == "confirm":
        expect = "yes_no"
    elif asked in bot.slots and not bot.slots[asked].secret:
        expect = bot.slots[asked].type
    options: list[str] = []
    if expect == "choice" and asked in bot.slots:
        for name, words in bot.slots[asked].options.items():
            options += words or [name.replace("_", " ")]
    elif asked == "which" and bot.intents:
        options = [word for slot in bot.slots.values() for word in slot.called]
    phrases = [example for intent in bot.intents.values() for example in intent.examples]
    return Hints(expect, tuple(phrases), tuple(options), language)


def warm(context: Context, sha: str, slots: int) -> None:
    """Have ready what a bot's first turn would otherwise wait for: language models, vectors."""
    bot = context.bot(sha)
    for level in context.levels:
        for voice in bot.voices:
            if context.stage == "stt":
                # Not every engine hears every language that the bot has been translated to.
                with contextlib.suppress(*((SttError,) if voice is not bot else ())):
                    _warm_stt(level.engine, voice, slots)
            elif context.stage == "llm":
                level.engine.warm(voice)
    if context.library is not None:
        for voice in bot.voices:
            context.library.warm(voice)
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


def transcribe(context: Context, engine: SttEngine, line: Line) -> bool:
    """stt: audio in, partials and the final text out. Whether the engine was asked: always."""
    turn = line.turn
    bot = context.bot(turn.bot).speaking(turn.language)
    utterance = engine.open(hints(bot, turn.state.asked, turn.language))
    told = 0.0
    try:
        for message in line.inbox.messages(turn.listen_s):
            if isinstance(message, AudioEnd):
                break
            if isinstance(message, Audio):
                partial = utterance.feed(message.pcm)
                if partial and time.monotonic() - told > PARTIAL_EVERY_S:
                    told = time.monotonic()
                    line.tell(Partial(partial))
        heard = utterance.finish(turn.answer_s)
    finally:
        utterance.close()
    line.tell(Final(heard.text, heard.confidence))
    return True


def reply(context: Context, engine: LlmEngine, line: Line) -> bool:
    """llm: the caller's text in, a decision and sentences out. Whether the engine was asked:
    always."""
    turn = line.turn
    bot = context.bot(turn.bot).speaking(turn.language)
    language = ""
    final = next(m for m in line.inbox.messages(turn.listen_s) if isinstance(m, Final))
    request = Request(bot, turn.state, turn.history, final.text, final.keyed, turn.said,
                      final.private, final.confidence)  # fmt: skip
    splitter = SentenceSplitter()
    count = len(turn.said)
    repeated = list(turn.said)  # what an engine that can't go on says once more
    decided = False

    def new(texts: list[str]) -> list[Message]:
        """Those that were not said yet, as messages."""
        nonlocal count
        found: list[Message] = []
        for text in texts:
            if repeated and repeated.pop(0) == text:
                continue
            repeated.clear()
            found.append(Sentence(count, text, language))
            count += 1
        return found

    pieces = guided(engine, request, turn.answer_s, context.library, turn.interruptions, turn.ruled)
    result: Result | None = None
    while True:
        try:
            piece = next(pieces) if result is None else pieces.send(result)
        except StopIteration:
            break
        result = None
        line.inbox.check()
        if isinstance(piece, ToolCall):
            if sentences := new(splitter.flush()):
                line.tell(*sentences)
            result = _act(context, line, bot, piece)
        elif isinstance(piece, Decision):
            decided = True
            if piece.state.language not in (None, bot.language):
                language = piece.state.language or ""  # from here on, the answer included
            line.tell(piece)
        elif sentences := new(splitter.feed(piece)):
            line.tell(*sentences)
    rest = new(splitter.flush())
    decision = [] if decided else [Decision(turn.state)]
    line.tell(*rest, *decision, SentencesEnd(count))
    return True


def _act(context: Context, line: Line, bot: Bot, call: ToolCall) -> Result | None:
    """Have a tool run, once the listener says so: the utterance is over then, and no other attempt
    has done it."""
    turn = line.turn
    if context.tools is None or call.tool not in bot.tools:
        return None
    line.tell(Working(call.tool, call.act))
    word = next(
        message
        for message in line.inbox.messages(turn.listen_s)
        if isinstance(message, Proceed)
        and (message.attempt, message.act) == (turn.attempt, call.act)
    )
    result = Result("unknown")
    if word.go:
        key = f"{word.key}-{call.act}"
        language = turn.state.language or turn.language
        today = turn.state.today or date.today().isoformat()
        result = context.tools.run(bot, call.tool, call.arguments, key, language, today)
    line.tell(Worked(call.tool, result.status, result.code, result.ms))
    return result


def speak(context: Context, engine: TtsEngine, line: Line) -> bool:
    """tts: sentences in, speech out; those of turn.said are out already. Whether the engine was
    asked."""
    turn = line.turn
    asked = False
    shared = context.shared(turn.bot)
    for message in line.inbox.messages(turn.listen_s):
        if isinstance(message, SentencesEnd):
            line.tell(SpeechEnd(message.count - 1, last=True))
            return asked
        if not isinstance(message, Sentence) or message.index < len(turn.said):
            continue
        language = message.language or turn.language
        text = message.text
        if text not in shared:
            text = _sayable(context, engine, turn, message)
        one = wanted(engine, text, language, message.text in shared)
        kept = context.speech.get(one)
        if kept is not None:
            _send_whole(line, message.index, kept)
            continue
        asked = True
        # Closed at once when the turn is cancelled; who else listens to it goes on.
        with contextlib.closing(context.speech.speak(engine, one, turn.answer_s)) as pieces:
            _send(line, message.index, pieces)
    return asked


def _sayable(context: Context, engine: TtsEngine, turn: Turn, message: Sentence) -> str:
    """Without placeholders; for a provider also without what they would stand for."""
    text = message.text
    if getattr(engine, "provider", None) is not None:
        looked_at = message.outside
        text = redact(context.bot(turn.bot), text) if looked_at is None else looked_at
    return spoken_names(text, turn.language)


def _send_whole(line: Line, index: int, pcm: bytes) -> None:
    """A sentence that is at hand, in one round trip."""
    cuts = range(0, len(pcm), KEPT_PIECE_BYTES)
    pieces = [Speech(index, n, pcm[at : at + KEPT_PIECE_BYTES]) for n, at in enumerate(cuts)]
    line.tell(*pieces, SpeechEnd(index, last=False))


def _send(line: Line, index: int, pieces: Iterator[bytes]) -> None:
    """A sentence while it is made: the first piece at once, however short; then as it comes, a
    few times a second at the most: it is made faster than it is heard."""
    seq = 0
    rest = bytearray()
    next_at = 0.0

    def flush(*more: Message) -> None:
        nonlocal seq, next_at
        found: list[Message] = []
        for at in range(0, len(rest), KEPT_PIECE_BYTES):
            found.append(Speech(index, seq, bytes(rest[at : at + KEPT_PIECE_BYTES])))
            seq += 1
        rest.clear()
        line.tell(*found, *more)
        next_at = time.monotonic() + SPEECH_EVERY_S

    for piece in pieces:
        line.inbox.check()
        rest += piece
        if rest and (seq == 0 or (len(rest) >= SPEECH_PIECE_BYTES and time.monotonic() >= next_at)):
            flush()
    flush(SpeechEnd(index, last=False))
