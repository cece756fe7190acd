"""The rungs of a turn, with a link that only writes down: what is tried, when, and what counts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from eslbot.ladder import AHEAD_S, MAX_FILLERS, Climb
from eslbot.turn import Turn
from workers.bot import Bot
from workers.messages import (
    Cancel,
    Decision,
    DialogState,
    Failed,
    Final,
    Sentence,
    SentencesEnd,
    Speech,
    SpeechEnd,
    Started,
)
from workers.messages import Turn as TurnMessage
from workers.retry_budget import RetryBudget


class Notes:
    """Stands in for the link and the call: keeps what they are asked for."""

    def __init__(self, bot: Bot, levels: int = 2) -> None:
        self.bot = bot
        self.uuid = "c"
        self.healthy = True
        self.dispatched: list[tuple[str, int, int, tuple[str, ...]]] = []
        self.fed: list[tuple[str, int, Any]] = []
        self.timers: dict[str, tuple[float, Any]] = {}
        self.failed: list[str] = []
        self.said: list[str] = []
        self._levels = levels
        accounts = SimpleNamespace(rung=lambda rung: None, ai_failed=lambda stage: None)
        self.house = SimpleNamespace(link=self, accounts=accounts, hedges=RetryBudget(10))
        self.playback = SimpleNamespace(seconds_left=0.0, busy=False, starving=True)

    def dispatch(self, turn: TurnMessage, stage: str) -> bool:
        self.dispatched.append((stage, turn.attempt, turn.level, turn.said))
        return True

    def feed(self, turn: TurnMessage, stage: str, message: Any) -> bool:
        self.fed.append((stage, turn.epoch, message))
        return True

    def out_for(self, call: str) -> str:
        return "out"

    def serves(self, call: str) -> bool:
        return self.healthy

    def levels(self, stage: str) -> int:
        return self._levels

    def timer(self, name: str, in_s: float, action: Any) -> None:
        self.timers[name] = (in_s, action)

    def no_timer(self, *names: str) -> None:
        for name in names:
            self.timers.pop(name, None)

    def ring(self, name: str) -> None:
        self.timers.pop(name)[1]()

    def record(self, what: str, **fields: Any) -> None:
        """Not looked at."""

    def fail(self, reason: str) -> None:
        self.failed.append(reason)

    def fill(self, text: str) -> float:
        self.said.append(text)
        return 1.0


class Told:
    """One turn, and what workers say to it."""

    def __init__(self, bot: Bot, levels: int = 2) -> None:
        self.notes = Notes(bot, levels)
        message = TurnMessage("c", 1, "out", bot.sha, 60.0, 20.0)
        self.turn = Turn(message, self.notes)  # type: ignore[arg-type]
        self.climb = Climb(self.notes, self.turn)  # type: ignore[arg-type]
        self.turn.open()

    def hear(self) -> None:
        self.turn.hear(b"\1\0" * 800)
        self.turn.endpoint(0.64)
        self.climb.begin()

    def tell(self, attempt: int, *messages: Any) -> list[bool]:
        taken = []
        for message in messages:
            took = self.climb.takes(attempt, message)
            taken.append(took)
            if took:
                self._take(attempt, message)
                self.climb.progress(message)
        return taken

    def _take(self, attempt: int, message: Any) -> None:
        turn = self.turn
        if isinstance(message, Final):
            turn.recognised(message.text)
        elif isinstance(message, Sentence):
            turn.sentence(message, message)
        elif isinstance(message, SentencesEnd):
            turn.complete()
        elif isinstance(message, Speech):
            turn.speaking = message.index
            turn.received += len(message.pcm)
            turn.work["tts"].attempts[attempt].next_piece = (message.index, message.seq + 1)
        elif isinstance(message, SpeechEnd):
            turn.work["tts"].attempts[attempt].next_piece = (message.index + 1, 0)
            turn.received = 0


@pytest.fixture
def told(energy: Bot) -> Told:
    return Told(energy)


ANSWER = [Decision(DialogState()), Sentence(0, "One."), Sentence(1, "Two."), SentencesEnd(2)]


def test_a_turn_that_goes_well_is_tried_once(told: Told):
    told.hear()
    for stage in ("stt", "llm", "tts"):
        told.tell(0, Started(stage, "e", 0, f"{stage}-w"))  # type: ignore[arg-type]
    assert told.tell(0, Final("hello")) == [True]
    assert all(told.tell(0, *ANSWER))
    assert told.tell(0, Speech(0, 0, b"ab"), SpeechEnd(0, False)) == [True, True]
    assert [d[:3] for d in told.notes.dispatched] == [("stt", 0, 0), ("llm", 0, 0), ("tts", 0, 0)]
    assert ("llm", 1, Final("hello")) in told.notes.fed
    assert ("tts", 1, SentencesEnd(2)) in told.notes.fed
    assert "deadline" not in told.notes.timers


def test_a_mute_worker_is_hedged_and_the_first_result_counts(told: Told):
    told.hear()
    told.notes.ring("budget stt")
    assert told.notes.dispatched[-1][:3] == ("stt", 1, 0)
    assert told.tell(1, Final("hello")) == [True]
    assert told.tell(0, Final("hallo")) == [False]
    assert ("stt", 1, Cancel(0)) in told.notes.fed
    assert [m for s, _, m in told.notes.fed if s == "llm"] == [Final("hello")]


def test_a_slow_engine_and_a_failing_one_lead_to_the_next_engine(told: Told):
    told.hear()
    told.tell(0, Final("hello"))
    told.tell(0, Started("llm", "openai", 0, "llm-1"))
    told.notes.ring("budget llm")
    assert told.notes.dispatched[-1][:3] == ("llm", 1, 1)
    told.tell(1, Failed("llm", "LlmError: status 500"))
    assert told.notes.dispatched[-1][:3] == ("llm", 2, 1)  # no further engine: another worker
    told.tell(2, Failed("llm", "again"))
    assert told.notes.failed == []  # the first may still come
    told.tell(0, Failed("llm", "at last"))
    assert told.notes.failed == ["llm: at last"]


def test_a_failed_attempt_counts_once(told: Told):
    told.hear()
    told.tell(0, Failed("stt", "x"), Failed("stt", "x"))
    assert [d[0] for d in told.notes.dispatched].count("stt") == 2


def test_an_answer_that_breaks_off_goes_on_behind_what_was_heard(told: Told):
    told.hear()
    told.tell(0, Final("hello"), *ANSWER[:2])
    told.tell(0, Speech(0, 0, b"x" * 100))
    told.climb.on_dead({"nobody"})
    told.tell(0, Started("llm", "e", 0, "w1"), Started("tts", "e", 0, "w2"))
    told.climb.on_dead({"w1", "w2"})
    llm, tts = told.notes.dispatched[-2:]
    assert llm == ("llm", 1, 0, ("One.",))
    assert tts == ("tts", 1, 0, ())
    attempt = told.turn.work["tts"].attempts[1]
    assert (attempt.next_piece, attempt.skip) == ((0, 0), 100)
    assert told.tell(1, Sentence(0, "Uno.")) == [False]  # said already
    assert told.tell(1, Sentence(1, "Two.")) == [True]
    assert told.tell(1, Speech(0, 0, b"x" * 200)) == [True]
    assert told.tell(0, Speech(0, 1, b"late")) == [False]


def test_a_piece_of_speech_that_is_missing_is_a_failure(told: Told):
    told.hear()
    told.tell(0, Final("hello"), *ANSWER, Speech(0, 0, b"x"))
    assert told.tell(0, Speech(0, 2, b"x")) == [False]
    assert told.notes.dispatched[-1][:2] == ("tts", 1)


def test_what_redis_says_once_more_is_not_spoken_once_more(told: Told):
    told.hear()
    both = [Sentence(0, "One."), Sentence(1, "Two."), SentencesEnd(2)]
    told.tell(0, Final("hello"), Decision(DialogState()), *both)
    said = [Speech(0, 0, b"x"), SpeechEnd(0, False), Speech(1, 0, b"y")]
    assert told.tell(0, *said) == [True, True, True]
    assert told.tell(0, *said) == [False, False, False]
    assert told.tell(0, Speech(1, 1, b"z"), SpeechEnd(1, False)) == [True, True]
    assert told.tell(0, SpeechEnd(1, True)) == [True]


def test_fillers_are_said_while_there_is_nothing_better_in_their_turn(told: Told):
    told.hear()
    for _ in range(3):
        told.notes.ring("filler")
    first, second = told.notes.bot.ladder.filler.say
    assert told.notes.said == [first, second, first]
    assert told.notes.timers["filler"][0] == 1.0 + told.notes.bot.ladder.filler.again_ms / 1000
    told.tell(0, Final("hello"), *ANSWER, Speech(0, 0, b"x"))
    told.notes.playback.starving = False
    told.notes.ring("filler")
    assert len(told.notes.said) == 3
    told.tell(0, SpeechEnd(0, False), Speech(1, 0, b"x"), SpeechEnd(1, True))
    assert "filler" not in told.notes.timers


def test_nobody_is_put_off_for_ever(told: Told):
    told.hear()
    while "filler" in told.notes.timers:
        told.notes.ring("filler")
        assert len(told.notes.said) <= MAX_FILLERS
    assert len(told.notes.said) == MAX_FILLERS


def test_of_two_attempts_the_one_that_answers_first_goes_on_alone(told: Told):
    told.hear()
    told.tell(0, Final("hello"))
    told.notes.ring("budget llm")  # mute: another worker is asked
    assert told.notes.dispatched[-1][:2] == ("llm", 1)
    assert told.tell(1, Decision(DialogState()), Sentence(0, "One.")) == [True, True]
    assert told.tell(0, Decision(DialogState()), Sentence(1, "Uno.")) == [False, False]
    assert told.tell(1, Sentence(1, "Two.")) == [True]


def test_a_voice_has_until_what_there_is_was_heard_and_a_little_less(told: Told):
    told.hear()
    told.tell(0, Final("hello"), *ANSWER)
    told.notes.playback.seconds_left = 5.0
    told.tell(0, Speech(0, 0, b"x"))
    assert told.notes.timers["budget tts"][0] == 5.0 - AHEAD_S
    told.notes.playback.seconds_left = 0.0
    told.tell(0, Speech(0, 1, b"x"))
    assert told.notes.timers["budget tts"][0] == told.notes.bot.ladder.budget.audio_ms / 1000


def test_while_the_caller_may_go_on_nothing_has_failed_yet(told: Told):
    told.hear()
    told.turn.held = []
    told.notes.ring("deadline")
    assert told.notes.failed == []
    for act in told.turn.held:
        act()
    assert told.notes.failed == ["no answer in time"]


def test_too_late_is_the_menu(told: Told):
    told.hear()
    told.notes.ring("deadline")
    assert told.notes.failed == ["no answer in time"]


def test_hedges_have_a_budget(energy: Bot):
    many = [Told(energy) for _ in range(30)]
    budget = many[0].notes.house.hedges
    for one in many:
        one.notes.house.hedges = budget
        one.hear()
        one.notes.ring("budget stt")
    hedged = [one for one in many if one.notes.dispatched[-1][:3] == ("stt", 1, 0)]
    backed = [one for one in many if one.notes.dispatched[-1][:3] == ("stt", 1, 1)]
    assert len(hedged) == 10
    assert len(backed) == 20  # another engine costs the first one nothing


def test_redis_that_is_back_gets_all_that_is_not_done_again(told: Told):
    told.hear()
    told.tell(0, Final("hello"), *ANSWER[:2])
    told.notes.fed.clear()
    told.notes.dispatched.clear()
    told.turn.restart(2)
    assert [d[:2] for d in told.notes.dispatched] == [("llm", 1), ("tts", 1)]
    assert ("llm", 2, Final("hello")) in told.notes.fed
    assert ("tts", 2, Sentence(0, "One.")) in told.notes.fed
    assert not [m for s, epoch, m in told.notes.fed if epoch == 2 and s == "stt"]


def test_a_turn_whose_master_is_another_one_by_now_is_answered_from_there(
    told: Told, monkeypatch: pytest.MonkeyPatch
):
    told.hear()
    monkeypatch.setattr(told.notes, "out_for", lambda call: f"lane of {call}")
    told.turn.restart(2)
    assert told.turn.message.out == "lane of c"


def test_without_redis_for_long_the_menu_takes_over(told: Told):
    told.hear()
    told.notes.healthy = False
    told.climb.on_redis(False)
    told.climb.on_redis(True)
    assert "no redis" not in told.notes.timers
    told.climb.on_redis(False)
    told.notes.ring("no redis")
    assert told.notes.failed == ["Redis is away"]
