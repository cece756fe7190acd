"""A model's text, in pieces of any length, becomes sentences that a voice can read."""

from __future__ import annotations

import random

import pytest

from workers.sentences import MAX_SENTENCE, SentenceSplitter


def split(*pieces: str) -> list[str]:
    splitter = SentenceSplitter()
    return [s for piece in pieces for s in splitter.feed(piece)] + splitter.flush()


def test_a_sentence_is_there_as_soon_as_the_next_one_begins() -> None:
    splitter = SentenceSplitter()
    assert splitter.feed("Hello. How") == ["Hello."]
    assert splitter.feed(" are you? ") == ["How are you?"]
    assert splitter.flush() == []


TEXT = (
    "It costs $4.50, Dr. Smith said. Is that all? Yes! No. We close at 6 p.m. on Monday, e.g. "
    "today. Until 6 p.m. Then we go. It is bill No. 5. “Good.” Bye... Well"
)
SENTENCES = [
    "It costs $4.50, Dr. Smith said.",
    "Is that all?",
    "Yes!",
    "No.",
    "We close at 6 p.m. on Monday, e.g. today.",
    "Until 6 p.m.",
    "Then we go.",
    "It is bill No. 5.",
    "“Good.”",
    "Bye...",
    "Well",
]


def test_decimals_and_abbreviations_end_no_sentence() -> None:
    assert split(TEXT) == SENTENCES


def test_it_does_not_matter_how_the_text_is_cut() -> None:
    assert split(*TEXT) == SENTENCES
    for seed in range(50):
        rng = random.Random(seed)
        cuts = sorted(rng.sample(range(len(TEXT)), 8))
        ends = [*cuts, len(TEXT)]
        assert split(*(TEXT[a:b] for a, b in zip([0, *cuts], ends, strict=True))) == SENTENCES


@pytest.mark.parametrize("end", ["", ". ", ".", "\n"])
@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_a_sentence_without_end_is_cut_at_a_comma_or_a_space_and_nothing_is_lost(
    end: str, piece: int
) -> None:
    text = ("word " * 30 + ", ") * 20 + end
    parts = split(*(text[n : n + piece] for n in range(0, len(text), piece)))
    assert all(len(part) <= MAX_SENTENCE for part in parts)
    assert all(part.endswith(("word", "word ,", ",")) for part in parts[:-1])
    assert "".join(parts).replace(" ", "") == text.replace(" ", "").strip()


def test_a_megabyte_without_a_space_is_cut_too_and_not_kept() -> None:
    splitter = SentenceSplitter()
    parts = splitter.feed("x" * 1_000_000)
    assert max(map(len, parts)) <= MAX_SENTENCE
    assert sum(map(len, [*parts, *splitter.flush()])) == 1_000_000


def test_markup_emoji_and_control_characters_are_not_read_aloud() -> None:
    said = split("**Sure!** 😀 See [our page](http://x.y/z).\n- one\n- two\n`code`\x07")
    assert said == ["Sure!", "See our page.", "one", "two", "code"]
    assert split("# Prices\n<b>5 €</b> at 20 °C 👩‍👩‍👧 1️⃣ \ud800 _now_") == [
        "Prices",
        "5 € at 20 °C 1 now",
    ]


def test_a_list_keeps_its_numbers_with_its_items() -> None:
    assert split("1. Press one. \n2. Wait.") == ["1. Press one.", "2. Wait."]


@pytest.mark.parametrize("text", ["", " ", "\n\n", "**", "...", "😀", "- \n- "])
def test_what_holds_no_word_is_no_sentence(text: str) -> None:
    assert split(text) == []
