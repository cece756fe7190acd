"""Whether a caller is angry, in a hurry, or asks for a person: words, and what went before.

Lists of English phrases, stemmed, each with its points; a phrase after "not" counts nothing. To
anger come points for what the call has been like: misses in a row, interruptions, the same word
again and again. Two points are some of it, five are much. A bot's own phrases (`signals:`) count
five. A person is asked for where a phrase says so, or the matcher is sure enough of it.

How well, on a small set: docs/choosing.md.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from workers.bot import Bot
from workers.llm.matcher import Matcher, stem
from workers.spoken import is_number, words

Strength = Literal["none", "some", "high"]
STRENGTHS: tuple[Strength, ...] = get_args(Strength)
SOME, HIGH = 2, 5
PERSON_FROM = 0.6
INTERRUPTIONS = 3  # from here on they tell of impatience
NEGATIONS = {"not", "don't", "isn't", "no", "never", "wasn't", "aren't", "doesn't"}
BEFORE = 2  # words in which a negation turns a phrase round

ANGER: Mapping[int, tuple[str, ...]] = {
    HIGH: (
        "ridiculous", "unacceptable", "outrageous", "outrage", "disgrace", "disgraceful",
        "disgusting", "furious", "so angry", "very angry", "really angry", "pissed", "bullshit",
        "crap", "shit", "fuck", "fucking", "damn", "goddamn", "what the hell", "to hell", "idiot",
        "idiots", "moron", "stupid", "useless", "incompetent", "thief", "thieves", "crooks",
        "scam", "fraud", "rip off", "ripped off", "liar", "liars", "lying to me", "worst",
        "horrible service", "terrible service", "shut up", "kidding me", "are you kidding",
        "sick of", "sick and tired", "fed up", "had enough", "how dare", "lawyer", "sue you",
        "attorney", "the police", "report you", "hate you", "hate this", "never again",
        "wasting my time", "waste of time", "joke", "joking", "livid", "mad", "outraged", "robbed",
        "robbery", "stolen", "cheated", "cheating", "unbelievable", "incredible", "rubbish",
        "garbage", "nonsense", "sue", "court", "terrible service", "awful service",
        "your service is",
        "horrible", "pathetic", "shameful", "shame on", "insane", "crazy", "screw", "hate",
        "bastard",
        "consumer protection", "bad review", "leave me alone", "enough is enough", "last straw",
    ),
    SOME: (
        "angry", "annoyed", "annoying", "upset", "frustrated", "frustrating", "disappointed",
        "disappointing", "not happy", "unhappy", "complain", "complaint", "already told",
        "told you", "i just said", "not what i said", "third time", "three times", "how many times",
        "not listening", "don't listen", "still waiting", "so long", "for hours", "still not",
        "does not work", "doesn't work", "not good enough", "nothing happened", "nobody helps",
        "the same mistake", "no one helps", "too long", "come on", "seriously", "stop asking",
        "explained this", "explained that", "explained it", "tired of", "not what i asked",
        "not what i wanted", "always have to", "called me back", "calls me back", "call twice",
        "can't wait any longer", "nobody answers", "no one answers", "nobody cares", "every time",
        "once again", "yet again", "keep asking", "keeps happening", "wrong again",
        "makes no sense",
        "don't you understand", "never understands", "unfair", "not fair", "poor service", "awful",
        "bad service", "for weeks", "for days", "for months", "twice already", "listen to me",
    ),
}  # fmt: skip
URGENCY: Mapping[int, tuple[str, ...]] = {
    HIGH: (
        "emergency", "urgent", "urgently", "immediately", "right now", "right away", "at once",
        "this instant", "this minute", "hurry", "on fire", "burning", "smell of gas", "smell gas",
        "gas leak", "flooding", "flooded", "through the ceiling", "burst pipe", "bleeding",
        "is hurt", "injured", "can't breathe", "unconscious", "ambulance", "dying", "heart attack",
        "no time to lose", "danger", "smoke", "fire", "collapsed", "life and death", "pipe burst",
        "full of water", "under water", "explosion", "explode", "sparks", "electric shock",
        "stroke",
        "not breathing", "poisoned", "locked in", "trapped", "stuck in the lift", "save us",
        "dangerous", "accident", "help me help",
    ),
    SOME: (
        "today", "tonight", "quickly", "quick", "as soon as possible", "asap", "in a hurry",
        "can't wait", "cannot wait", "deadline", "i have to leave", "in ten minutes",
        "in five minutes", "in an hour", "in half an hour", "before noon", "by noon", "pressing",
        "be quick", "running late", "expires tomorrow", "wait any longer", "running out of time",
        "soon as you can", "fast as you can", "fast as possible",
    ),
}  # fmt: skip
# "In a hurry" is less than "hurry": the longer phrase counts, and not the one within it.
PERSON = (
    "I want to talk to a person", "can I speak to somebody", "give me a human please",
    "connect me to an agent", "operator", "speak to a representative", "let me talk to a human",
    "a real person please", "is there a human being I can speak with", "talk to your manager",
    "put me through to a supervisor", "transfer me to a colleague", "customer service please",
    "I don't want to talk to a robot", "get somebody who can help me", "a member of staff",
    "I need to speak with an advisor", "an employee not a computer",
)  # fmt: skip
NO_PERSON = ("don't need a", "do not need a", "don't want a")
PEOPLE = {"person", "human", "somebody", "someone", "anybody", "anyone", "people", "operator",
          "agent", "representative", "manager", "supervisor", "colleague", "boss",
          "service", "assistant", "specialist", "expert", "robot", "machine", "computer", "advisor",
          "adviser", "employee", "staff", "bot"}  # fmt: skip
ASKS = {"want", "give", "get", "let", "talk", "speak", "connect", "transfer", "put", "please",
        "need", "is", "reach"}  # fmt: skip

Stems = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mood:
    """What was noticed in an utterance."""

    anger: Strength = "none"
    urgency: Strength = "none"
    person: bool = False

    def told(self) -> dict[str, str]:
        """What there is of it, as text."""
        found = {"anger": self.anger, "urgency": self.urgency}
        told = {name: much for name, much in found.items() if much != "none"}
        return told | ({"person": "yes"} if self.person else {})

    def with_more(self, other: Mood) -> Mood:
        """The stronger of both."""
        return Mood(
            max(self.anger, other.anger, key=STRENGTHS.index),
            max(self.urgency, other.urgency, key=STRENGTHS.index),
            self.person or other.person,
        )


def at_least(found: Strength, wanted: Strength) -> bool:
    return STRENGTHS.index(found) >= STRENGTHS.index(wanted)


def mood(bot: Bot, text: str, misses: int = 0, interruptions: int = 0) -> Mood:
    """Of one utterance. misses: turns before it, in a row, that were not understood.
    interruptions: how often the caller cut the bot off in this call."""
    said = words(text)
    anger = _points(said, _listed("anger", bot.signals.anger))
    anger += 1 if misses else 0
    anger += 1 if interruptions >= INTERRUPTIONS else 0
    anger += 2 if _same_again(said) else 0
    urgency = _points(said, _listed("urgency", bot.signals.urgency))
    return Mood(_strength(anger), _strength(urgency), _person(bot, text, said))


def _strength(points: int) -> Strength:
    return "high" if points >= HIGH else "some" if points >= SOME else "none"


def _stems(said: Iterable[str]) -> Stems:
    return tuple(stem(word) for word in said)


@functools.lru_cache(maxsize=256)
def _listed(what: str, own: tuple[str, ...]) -> tuple[tuple[Stems, int], ...]:
    """Phrases and their points, the longest first."""
    lists = {"anger": ANGER, "urgency": URGENCY, "no person": {HIGH: NO_PERSON}}.get(what, {})
    found = {_stems(words(one)): points for points, some in lists.items() for one in some}
    found |= {_stems(words(one)): HIGH for one in own}
    return tuple(sorted(found.items(), key=lambda one: -len(one[0])))


def _points(said: list[str], listed: tuple[tuple[Stems, int], ...]) -> int:
    stems = list(_stems(said))
    points = 0
    for phrase, worth in listed:
        size = len(phrase)
        for at in range(len(stems) - size + 1):
            if tuple(stems[at : at + size]) != phrase:
                continue
            if not set(said[max(0, at - BEFORE) : at]) & NEGATIONS:
                points += worth
            stems[at : at + size] = [""] * size
    return points


def _same_again(said: list[str]) -> bool:
    """ "No no no": a word three times in a row; figures may stand there as often as they like."""
    runs = ((word, len(list(run))) for word, run in itertools.groupby(said))
    return any(count >= 3 and not is_number(word) for word, count in runs)


def _person(bot: Bot, text: str, said: list[str]) -> bool:
    if _points(said, _listed("person", bot.signals.person)):
        return True
    if not PEOPLE & set(said) or not (len(said) <= 3 or ASKS & set(said)):
        return False
    found = _matcher().match(text)
    return found.score >= PERSON_FROM and not _points(said, _listed("no person", ()))


@functools.cache
def _matcher() -> Matcher:
    return Matcher.of({"person": PERSON})


def labelled(text: str) -> Mood | None:
    """What a language model was told to write: "anger=high urgency=none person=no", or None."""
    told = dict.fromkeys(("anger", "urgency", "person"), "none")
    for part in text.split():
        name, _, value = part.partition("=")
        if name not in told or value not in (("yes", "no") if name == "person" else STRENGTHS):
            return None
        told[name] = value
    return Mood(_checked(told["anger"]), _checked(told["urgency"]), told["person"] == "yes")


def _checked(value: str) -> Strength:
    return next(one for one in STRENGTHS if one == value)
