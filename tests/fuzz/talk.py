"""What callers say and key in, what models write, and the rules that answer."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random
from typing import Any

from eslbot.esl import clean_value, set_variables
from eslbot.ivr import ENTRY_GAP_MS, MAX_ANSWERS, MAX_KEYS, Menu, Transfer
from tests.conftest import ENERGY
from tests.fuzz.mutate import text, value
from tests.fuzz.runner import Target
from tests.test_bot import GOOD
from tests.test_ivr import TRICKY
from workers import dialog
from workers.bot import Bot, load
from workers.llm.engine import Request
from workers.llm.intents import IntentsEngine
from workers.messages import Decision, DialogState, Step, decode, encode
from workers.sentences import MAX_SENTENCE, SentenceSplitter
from workers.spoken import (
    DIGITS,
    NO,
    REPEATS,
    SOUNDALIKES,
    TEENS,
    TENS,
    YES,
    ZEROS,
    digits,
    yes_or_no,
)
from workers.tts.speakable import speakable

UUID = "639c7676-e4ad-40ba-8fa8-737a69f4b5d3"


def _bots() -> list[Bot]:
    with tempfile.TemporaryDirectory(prefix="eslbot-fuzz-") as folder:
        found = [load(ENERGY)]
        for source in (GOOD, TRICKY):
            path = Path(folder) / "bot.yaml"
            path.write_text(source)
            found.append(load(path))
    return found


BOTS = _bots()
_SPOKEN = (*DIGITS, *SOUNDALIKES, *TEENS, *TENS, *ZEROS, *REPEATS, *YES, *NO, "and", "uh", "know",
           "of course", "really", "dash", "1", "42", "4271", "٤", "²", "½", "-", "'",
           "the other one", "not", "the day", "tomorrow", "may", "third", "half", "past", "dollars",
           "cents", "next", "friday", "everything", "but")  # fmt: skip


def _said(dice: Random) -> str:
    words = [
        dice.choice(_SPOKEN) if dice.random() < 0.85 else text(dice, 2)
        for _ in range(dice.randrange(1, 12))
    ]
    return dice.choice((" ", " ", "", "-", "\n")).join(words * dice.choice((1, 1, 1, 30)))


def _check_spoken(said: str) -> bool:
    number = digits(said)
    assert number == "" or (number.isascii() and number.isdecimal())
    assert len(number) <= 1000
    assert digits(" ".join(number[:100])) == number[:100], "said back it is another"
    assert digits(said.upper()) == number or said.upper().lower() != said.lower()
    answer = yes_or_no(said)
    assert answer in ("yes", "no", None)
    return bool(number or answer)


# -- sentences


def _make_sentences(dice: Random) -> list[str]:
    pieces = [text(dice, 4) for _ in range(dice.randrange(1, 8))]
    if dice.random() < 0.2:
        pieces.append("word" * dice.randrange(300))
    return pieces


def _check_sentences(pieces: list[str]) -> bool:
    splitter = SentenceSplitter()
    found: list[str] = []
    for piece in pieces:
        found += splitter.feed(piece)
        assert len(splitter._rest) <= MAX_SENTENCE
    found += splitter.flush()
    assert splitter.flush() == []
    for one in found:
        assert 0 < len(one) <= MAX_SENTENCE
        assert one == " ".join(one.split()) and any(c.isalnum() for c in one)
        assert not any(c in one for c in "\0\n\r\x1b\ud800`*<>|") or "<" in one
        one.encode()
    assert sum(map(len, found)) <= sum(map(len, pieces))
    return bool(found)


def _make_words(dice: Random) -> tuple[str, int]:
    return text(dice, 12), dice.choice((1, 10, 240, 1000))


def _check_words(one: tuple[str, int]) -> bool:
    given, most = one
    line = speakable(given, most)
    assert len(line) <= most and len(line.splitlines()) <= 1
    line.encode()
    assert not any(c in line for c in "[]<>{}|\\^`~\0\x01")
    assert line == line.strip() or most < 10
    return bool(line)


# -- the rules


def _state(dice: Random, bot: Bot) -> tuple[Any, ...]:
    """As the listener could hold it: values that their slots take."""
    good = {"digits": ("4271", "12345", "7", "12", "0042"), "yes_no": ("yes", "no"),
            "text": ("1 High Street", "ünï", "x; y"), "date": ("2026-11-21", "2027-02-28"),
            "time": ("17:30", "00:00"), "amount": ("12.50 EUR", "12.50"),
            "choice": ("s", "l")}  # fmt: skip
    slots = {}
    for name, slot in bot.slots.items():
        one = dice.choice(good[slot.type])
        if dice.random() < 0.4 and slot.accepts(one):
            slots[name] = one
    if dice.random() < 0.1:
        slots["of_another_bot"] = "4271"
    intent = dice.choice((None, *bot.intents, "refund"))
    asked = dice.choice((None, "confirm", "which", *bot.slots, "nothing"))
    steps = [Step(dice.choice((*bot.intents, "refund")), slots) for _ in range(dice.randrange(3))]
    since = {name: dice.randrange(9) for name in slots}
    last = dice.choice((None, *bot.intents, "refund"))
    today = dice.choice(("", "2026-11-21", "2028-02-29", "9999-12-31", "0001-01-01"))
    return (intent, slots, asked, dice.randrange(4), tuple(steps), dice.randrange(20), since, last,
            "", today)  # fmt: skip


def _make_dialog(dice: Random) -> tuple[int, tuple[Any, ...], str, list[Any]]:
    at = dice.randrange(len(BOTS))
    bot = BOTS[at]
    kind = dice.choice(("handle", "handle", "confirm", "transfer", "answer", "keyed", "missed"))
    if kind == "handle":
        slots = {name: dice.choice(("4271", "42-71", "yes", text(dice, 3), value(dice, 1)))
                 for name in bot.slots}  # fmt: skip
        arguments = [dice.choice((*bot.intents, value(dice, 1))),
                     dice.choice((slots, slots, value(dice)))]  # fmt: skip
    elif kind == "transfer":
        arguments = [dice.choice((*bot.destinations, "+882123456", text(dice, 1)))]
    elif kind == "keyed":
        arguments = ["".join(dice.choices("0123456789*#ABCD", k=dice.randrange(40)))]
    else:
        arguments = [dice.choice(("yes", "no", _said(dice), text(dice, 4)))]
    return at, _state(dice, bot), kind, arguments


def _check_dialog(one: tuple[int, tuple[Any, ...], str, list[Any]]) -> bool:
    at, parts, kind, arguments = one
    bot, state = BOTS[at], DialogState(*parts)
    if kind == "handle":
        outcome: dialog.Outcome | None = dialog.handle(bot, state, *arguments)
    elif kind == "confirm":
        outcome = dialog.confirm(bot, state, arguments[0] == "yes")
    elif kind == "transfer":
        outcome = dialog.transfer(bot, state, *arguments)
    elif kind == "answer":
        outcome = dialog.answer_to(bot, state, *arguments)
    elif kind == "keyed":
        outcome = dialog.keyed_in(bot, state, *arguments)
    else:
        outcome = dialog.not_understood(bot, state)
    if outcome is None:
        return False
    assert outcome.say
    for sentence in outcome.say:
        assert sentence.isprintable() and len(sentence) <= 600 + 8 * 400
    _check_decision(bot, state, outcome.decision)
    return outcome.decision.action != "menu"


def _check_decision(bot: Bot, state: DialogState, decision: Decision) -> None:
    assert decision.action in ("none", "transfer", "menu", "hangup")
    assert (decision.action == "transfer") == (decision.destination is not None)
    assert decision.destination is None or decision.destination in bot.destinations
    assert decision.intent is None or decision.intent in bot.intents
    assert 0 <= decision.state.misses <= state.misses + 1
    for name, held in decision.state.slots.items():
        if state.slots.get(name) != held:
            assert bot.slots[name].accepts(held), "a value that its slot does not take"
        assert held.isprintable()
        set_variables(UUID, {"ai_x": clean_value(held)})
    assert decode({k.encode(): v for k, v in encode(decision).items()}) == decision


_engine = IntentsEngine()


def _make_wish(dice: Random) -> tuple[int, tuple[Any, ...], str, bool]:
    at = dice.randrange(len(BOTS))
    bot = BOTS[at]
    examples = dice.choice(list(bot.intents.values())).examples
    said = [dice.choice((dice.choice(examples), _said(dice), text(dice, 3)))
            for _ in range(dice.randrange(3))]  # fmt: skip
    keyed = dice.random() < 0.1
    return at, _state(dice, bot), "4271" if keyed else " ".join(said)[:4000], keyed


def _check_wish(one: tuple[int, tuple[Any, ...], str, bool]) -> bool:
    at, parts, said, keyed = one
    bot, state = BOTS[at], DialogState(*parts)
    reply = list(_engine.reply(Request(bot, state, (), said, keyed), 5.0))
    (decision,) = [part for part in reply if isinstance(part, Decision)]
    _check_decision(bot, state, decision)
    assert any(isinstance(part, str) and part.strip() for part in reply), "nothing is said"
    return decision.action != "menu" and decision.state.misses == 0


# -- keys


def _make_keys(dice: Random) -> tuple[int, tuple[Any, ...], bool, list[str]]:
    at = dice.randrange(len(BOTS))
    keys = [dice.choice("0123456789*#ABCD" + 4 * "t#14") for _ in range(dice.randrange(80))]
    if dice.random() < 0.1:
        keys += ["5"] * 200
    state = _state(dice, BOTS[at])
    if dice.random() < 0.3:
        state = (state[0], {name: text(dice, 2) for name in BOTS[at].slots}, *state[2:])
    return at, state, dice.random() < 0.5, keys


def _check_keys(one: tuple[int, tuple[Any, ...], bool, list[str]]) -> bool:
    at, parts, may_resume, keys = one
    bot = BOTS[at]
    menu = Menu(bot, DialogState(*parts), may_resume=may_resume)
    step = menu.start()
    variables = {slot.variable: slot for slot in bot.slots.values()}
    # "t" is a pause; at the end the caller is silent, and every menu must come to an end.
    patience = ["t"] * (bot.menu.attempts * (MAX_ANSWERS + 2) + 1)
    for key in [*keys, *patience]:
        assert step.wait_ms in (bot.menu.digit_timeout_ms, ENTRY_GAP_MS) or step.done
        assert len(menu._entry) < MAX_KEYS
        for name, held in step.updates.items():
            if name == "ai_intent":
                assert held in bot.intents
            else:
                slot = variables[name]
                assert slot.accepts(held) and (slot.type != "digits" or held.isdecimal())
            set_variables(UUID, {name: clean_value(held)})
        if step.done:
            break
        found = menu.timeout() if key == "t" else menu.digit(key)
        assert found is not None
        step = found
    assert step.done, "the menu never ends"
    if isinstance(step.done, Transfer):
        assert step.done.destination in bot.destinations
    else:
        assert may_resume
    assert menu.digit("1") is None and menu.timeout().done == step.done
    return True


TARGETS = [
    Target("spoken", "ASCII digits that said back are the same; yes, no or neither", _said,
           _check_spoken),
    Target("sentences", "lines of UTF-8 with a word in each, within their bound", _make_sentences,
           _check_sentences),
    Target("speakable", "one line without markup or control characters, within its bound",
           _make_words, _check_words),
    Target("dialog", "never raises; goes to the bot's own destinations, keeps fitting values",
           _make_dialog, _check_dialog),
    Target("intents", "never raises; one decision, something said", _make_wish, _check_wish),
    Target("dtmf-menu", "ends, at a destination of the bot's or the assistant, with fitting values",
           _make_keys, _check_keys),
]  # fmt: skip
