"""The listener's turns, with a call that only writes down: their numbers, and what they decide."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from eslbot import call_state
from eslbot.answer import Answer
from eslbot.assistant import Assistant
from eslbot.call import Call as RealCall
from eslbot.call_state import State
from eslbot.departure import MAX_ACCOMPANIED, Departure
from eslbot.endpointing import SpeechStarted
from eslbot.menu import MenuRun
from eslbot.playback import Playback
from eslbot.transcript import Transcript
from eslbot.turn import Turn
from tests.test_ladder import Notes
from tests.test_understanding import PARCELS
from workers.bot import Bot, load
from workers.bot.rules import Noticed, Rule
from workers.messages import Decision, DialogState, Sentence, Speech, SpeechEnd
from workers.messages import Turn as TurnMessage
from workers.redaction import Private
from workers.settings import Settings

PCM = b"\1\0" * 4000  # half a second
FIRST, SECOND = "4111 1111", "1111 1111"  # of a card's number


class Call(Notes):
    """A conversation in which the caller is listened to."""

    def __init__(self, bot: Bot) -> None:
        super().__init__(bot)
        self.settings = Settings()
        self.state = State.LISTENING
        self.dialog = DialogState()
        self.variables: dict[str, str] = {}
        self.ruled: tuple[str, ...] = ()
        self.private = Private(bot)
        self.records: list[tuple[str, dict[str, Any]]] = []
        self.forgotten: list[float] = []
        self.leg = None
        self.consent = SimpleNamespace(pending=False, look=lambda: None)
        self.door = SimpleNamespace(network=dict)
        self.leave = SimpleNamespace(turn_ended=lambda outcome, intervals: None)
        self.playback.stop = lambda now: ""
        self.house.traces = None
        self.house.accounts.turn_opened = lambda: None
        self.transcript = Transcript(self)  # type: ignore[arg-type]
        self.assistant = Assistant(self)  # type: ignore[arg-type]

    def go(self, event: call_state.Event) -> None:
        self.state = call_state.after(self.state, event)

    def speak(self, language: str) -> None:
        self.bot = self.bot.speaking(language)

    def set_variables(self, values: dict[str, str]) -> None:
        self.variables |= values

    def keep(self, what: str, fields: dict[str, Any]) -> None:
        self.records.append((what, fields))

    def forget_heard(self, call: str, since: float) -> None:
        self.forgotten.append(since)

    def when_said(self, then: Any) -> None:
        """Nothing is ever said here."""

    def wait_for_silence(self, silence_ms: int) -> None:
        """Nobody speaks here."""

    def numbers(self, what: str) -> list[int]:
        return [fields["number"] for one, fields in self.records if one == what]


@pytest.fixture
def call(energy: Bot) -> Call:
    return Call(energy)


def test_a_turns_number_stays_when_redis_lost_it(call: Call):
    call.assistant.on_typed("hello")
    call.assistant.on_redis(True)
    call.assistant.stop("menu")
    call.state = State.LISTENING
    call.assistant.on_typed("hello again")
    call.assistant.stop("menu")
    assert call.numbers("turn") == [1, 2]


def test_a_number_told_in_parts_is_taken_back_from_a_turn_that_redis_lost(call: Call):
    # Given that Redis comes back after the first part was heard
    call.assistant.on_typed(FIRST)
    call.assistant.on_redis(True)
    call.assistant.stop("menu")
    call.state = State.LISTENING
    # I expect that its record is found by the second
    call.assistant.on_typed(SECOND)
    assert call.numbers("amended") == call.numbers("turn") == [1]
    assert FIRST not in [line.text for line in call.transcript.lines()]
    assert call.forgotten and call.forgotten[0] > 0


def test_a_rule_acts_also_where_the_call_goes_on_in_another_language():
    whole = load(PARCELS)
    rule = Rule(when=Noticed(anger="high"), variables={"ai_priority": "high"})
    call = Call(whole.model_copy(update={"rules": {"angry": rule}}))
    turn = Turn(TurnMessage("call", 1, "out", "sha", 60.0, 20.0), call)  # type: ignore[arg-type]
    turn.open()
    answer = Answer(call, turn)  # type: ignore[arg-type]
    # Given a translation without the rule
    assert not call.bot.speaking("de").rules
    answer.take(0, Decision(DialogState(language="de"), rules=("angry",)))
    assert call.bot.language == "de"
    assert call.variables["ai_priority"] == "high"
    assert call.ruled == ("angry",)


# -- interrupted by a caller who has to wait, and by a worker's death


def spoken(call: Call, acting: bool) -> None:
    """An answer is being said, whose voice goes on; `acting`: and something is being done."""
    call.playback = Playback(320, 3, 60)  # type: ignore[assignment]
    call.assistant.on_typed("do it")
    assistant = call.assistant
    for message in (Decision(DialogState()), Sentence(0, "One moment please."), Speech(0, 0, PCM)):
        assistant.on_worker(assistant._epoch, 0, message)
    assert call.state is State.SPEAKING
    assert assistant._turn is not None
    assistant._turn.acting = acting


def test_a_caller_who_has_to_wait_hears_the_answer_all_the_same(call: Call):
    spoken(call, acting=False)
    # Given that the clock hears him the instant before something begins that can't be done twice
    call.assistant.cut_off(0.0)
    assert call.assistant._turn is not None
    call.assistant._turn.acting = True
    call.assistant.on_speech(SpeechStarted(b""))
    # I expect that what is said then is heard
    call.assistant.on_worker(call.assistant._epoch, 0, Speech(0, 1, PCM))
    assert call.playback.busy


def test_a_key_right_after_a_word_does_not_forget_what_was_heard(call: Call):
    spoken(call, acting=False)
    for n in range(50):
        call.playback.due(n * 0.02)
    call.assistant.cut_off(2.0)  # by the clock; its speech is still in the mailbox
    call.assistant.on_key("5")
    assert ("bot", "One moment please.") in [(one.who, one.text) for one in call.transcript.lines()]


def test_a_noise_does_not_undo_an_entry_that_is_thought_about(call: Call):
    call.playback = Playback(320, 3, 60)  # type: ignore[assignment]
    call.assistant.on_typed("4271")
    turn = call.assistant._turn
    assert call.state is State.THINKING
    call.assistant.on_speech(SpeechStarted(b""))
    assert call.assistant._turn is turn
    assert call.state is State.THINKING
    # And an answer is awaited all the same
    for message in (Decision(DialogState()), Sentence(0, "Thank you."), Speech(0, 0, PCM)):
        call.assistant.on_worker(call.assistant._epoch, 0, message)
    assert call.state is State.SPEAKING


def test_a_noise_over_a_filler_does_not_cost_the_answer(call: Call):
    call.playback = Playback(320, 3, 60)  # type: ignore[assignment]
    call.assistant.on_typed("4271")
    # Given that the clock cuts off a filler, before it is known that nobody is listened to
    call.playback.fill("One moment.", PCM)
    call.assistant.cut_off(0.0)
    call.assistant.on_speech(SpeechStarted(b""))
    # I expect that the answer is said
    for message in (Decision(DialogState()), Sentence(0, "Thank you."), Speech(0, 0, PCM)):
        call.assistant.on_worker(call.assistant._epoch, 0, message)
    assert call.state is State.SPEAKING
    assert call.playback.busy


def test_another_voice_does_not_say_the_end_of_a_sentence_again(call: Call):
    spoken(call, acting=False)
    assistant = call.assistant
    epoch = assistant._epoch
    for message in (SpeechEnd(0, last=False), Sentence(1, "Done.")):
        assistant.on_worker(epoch, 0, message)
    for n in range(50):
        call.playback.due(n * 0.02)
    assert not call.playback.busy
    # Given that the voice dies before the next sentence, and the next one's is slower
    assert assistant._turn is not None
    assistant._turn.again("tts", 1)
    assert call.dispatched[-1] == ("tts", 1, 1, ("One moment please.",))
    assistant.on_worker(epoch, 1, Speech(1, 0, PCM))
    assert call.playback.seconds_left == len(PCM) / 16_000


# -- what is left when a call ends, and what it does in the menu


def test_a_call_whose_end_fails_gives_back_its_place_all_the_same(call: Call):
    given_back: list[str] = []
    call.leg = "leg"  # type: ignore[assignment]
    call.events = SimpleNamespace(worker=None)  # type: ignore[attr-defined]
    call.house.clock = SimpleNamespace(remove=given_back.append)
    call.house.link = SimpleNamespace(forget=lambda uuid, handler: given_back.append(uuid))

    def end(how: str, why: str) -> None:
        raise TypeError("a field that is no JSON")

    call.leave = SimpleNamespace(end=end)
    with pytest.raises(TypeError):
        RealCall._close(call)  # type: ignore[arg-type]
    assert given_back == [call.uuid, "leg"]


def test_only_so_many_calls_are_accompanied():
    door = SimpleNamespace(follows=True, let_go=lambda: None, closed=[])
    door.close = lambda: door.closed.append(house.accompanied)
    house = SimpleNamespace(accompanied=MAX_ACCOMPANIED - 1)
    met: list[int] = []

    def over() -> bool:
        met.append(house.accompanied)
        return True

    one: Any = SimpleNamespace(door=door, house=house, uuid="u", settings=Settings(),
                               over_and_told=over)  # fmt: skip
    for wanted in (MAX_ACCOMPANIED - 1, MAX_ACCOMPANIED):
        house.accompanied = wanted
        leave = Departure(one)
        leave.how = "transferred"
        leave.accompany()
        assert house.accompanied == wanted
    assert met == [MAX_ACCOMPANIED]
    assert len(door.closed) == 2


def test_the_menu_waits_for_further_keys_as_long_as_freeswitchs_own(call: Call):
    call.settings = Settings(dtmf_gap_ms=700)
    call.ai_off = ""  # type: ignore[attr-defined]
    call.dialog = DialogState("balance")
    call.house.prompts = SimpleNamespace(complete=lambda bot: True, get=lambda text: PCM)
    call.playback = Playback(320, 3, 60)  # type: ignore[assignment]
    then: list[Any] = []
    call.when_said = then.append  # type: ignore[method-assign]
    call.played = lambda: then[-1]()  # type: ignore[attr-defined]
    menu = MenuRun(call)  # type: ignore[arg-type]
    menu.start(None)
    menu.key("4")
    assert call.timers["menu"][0] == 0.7


def test_what_goes_to_the_voice_says_what_of_it_may_leave_also_when_redis_lost_it(call: Call):
    call.assistant.on_typed("my card is 4242 4242 4242 4242")
    told = Sentence(0, "Card 4242424242424242, parcel 770012345678.", "de")
    turn = call.assistant._turn
    assert turn is not None
    call.assistant.on_worker(turn.epoch, 0, told)
    call.assistant.on_redis(True)
    fed = [one for stage, _, one in call.fed if stage == "tts" and isinstance(one, Sentence)]
    whole = replace(told, outside="Card [CARD_1], parcel 770012345678.")
    assert fed == [whole, whole]
