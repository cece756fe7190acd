"""Which sentences of a bot are the same for every caller, and so may be kept as speech.

A sentence is shared when it stands, word for word, in the bot's file: a fixed phrase, or a whole
sentence of an answer that has no placeholder in it ("Thank you." of "Thank you. Your new address
is {street}."). The comparison is by the text and not by a flag that travels along with it, because
a flag is a promise of each place that makes a sentence: the bot's rules, a language model in its
own words, an engine yet to come. One that promises too much would put a caller's address on a
disk. Text that equals the bot's own holds nothing but the bot's own, whoever said it and why.
"""

from __future__ import annotations

from collections.abc import Iterator

from workers import dialog
from workers.bot import Bot
from workers.sentences import SentenceSplitter


def shared_sentences(bot: Bot) -> tuple[str, ...]:
    """Of the bot in all its languages."""
    return tuple(dict.fromkeys(one for voice in bot.voices for one in sentences_of(voice)))


def sentences_of(bot: Bot) -> tuple[str, ...]:
    """In one language, as they come to be spoken, one sentence at a time, and then the fixed
    phrases whole."""
    phrases = bot.fixed_phrases()
    alone = [one for text in (*phrases, *_answers(bot)) for one in _split(text)]
    return tuple(dict.fromkeys([*alone, *phrases]))


def _answers(bot: Bot) -> Iterator[str]:
    for slot in bot.slots.values():
        yield dialog.again(bot, slot)
    for intent in bot.intents.values():
        missing = intent.lookup.missing if intent.lookup else None
        yield from (text for text in (intent.confirm, intent.answer, missing) if text)


def _split(text: str) -> list[str]:
    """Its sentences, less those with a placeholder: a brace stands for nothing else, see load()."""
    splitter = SentenceSplitter()
    # The space ends a sentence, as it does where an answer is split.
    found = [*splitter.feed(text + " "), *splitter.flush()]
    return [one for one in found if "{" not in one and "}" not in one]
