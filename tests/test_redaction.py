"""What must not be kept, written and said, whole and in parts; and how it is put back."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ENERGY
from workers.bot import Bot, load
from workers.bot.redaction import Redaction
from workers.messages import DialogState
from workers.redaction import Private, hidden, redact, restore, spoken_names
from workers.redaction.kinds import find
from workers.redaction.numbers import MAX_FIGURES, numbers
from workers.redaction.spoken import runs
from workers.sentences import SentenceSplitter

CARD = "4242424242424242"
NOTHING = DialogState()
US, DE, ES, FR, IT, NL, PT = (
    Redaction(region=one) for one in ("US", "DE", "ES", "FR", "IT", "NL", "PT")
)


@pytest.fixture(scope="module")
def bot() -> Bot:
    return load(ENERGY)


@pytest.mark.parametrize(
    ("text", "kind", "value", "rules"),
    [
        ("my card is 4242 4242 4242 4242 thanks", "card", CARD, US),
        ("4242-4242-4242-4242", "card", CARD, US),
        ("it's " + "four two " * 8 + "okay", "card", CARD, US),
        ("forty two " * 8, "card", CARD, US),
        ("four two forty two, double four" + " two" + " four two" * 4 + " two", "card", None, US),
        ("vier zwei " * 8, "card", CARD, DE),
        ("zweiundvierzig " * 8, "card", CARD, DE),
        ("four to four to " * 4 + "0", "card", None, US),
        ("amex 378282246310005", "card", "378282246310005", US),
        ("DE89 3704 0044 0532 0130 00", "iban", "DE89370400440532013000", DE),
        ("D E eight nine three seven zero four zero zero four four zero five three two zero one "
         "three zero zero zero", "iban", "DE89370400440532013000", DE),
        ("my iban is GB33BUKB20201555555555 yes", "iban", "GB33BUKB20201555555555", DE),
        ("social security five three six nine zero four three nine nine", "national_id",
         "536904399", US),
        ("536-90-4399", "national_id", "536904399", US),
        ("mein NIF ist 54362315K", "national_id", "54362315K", ES),
        ("call me at 212 555 2368 please", "phone", "2125552368", US),
        ("two one two five five five two three six eight", "phone", "2125552368", US),
        ("plus four nine three oh two three one two five oh one four", "phone", None, US),
        ("(212) 555-2368", "phone", "2125552368", US),
        ("write to john.smith@gmail.com now", "email", "john.smith@gmail.com", US),
        ("john dot smith at gmail dot com", "email", "john.smith@gmail.com", US),
        ("j o h n at gmail.com", "email", "john@gmail.com", US),
        ("j o h n twelve k at gmail.com", "email", "john12k@gmail.com", US),
        ("anna zweiundvierzig at web punkt de", "email", None, DE),
        ("anna unterstrich k at web punkt de", "email", "anna_k@web.de", DE),
        ("juan arroba correo punto es", "email", "juan@correo.es", ES),
        ("order one two three four five six seven", "number", "1234567", US),
    ],
)  # fmt: skip
def test_it_is_found_written_and_said(text, kind, value, rules):
    found = [one for one in find(text, rules) if one.kind == kind]
    assert len(found) == 1, find(text, rules)
    if value:
        assert found[0].value == value


PAIRS_AND_TRIPLES = [
    ("forty two " * 8, "card", CARD, US),
    ("two hundred twelve, five hundred fifty five, twenty three sixty eight", "phone",
     "2125552368", US),
    ("forty-two forty-two, 4242 double forty two forty two forty two", "card", CARD, US),
    ("null eins fünf eins, zwölf vierunddreißig sechsundfünfzig siebenundachtzig", "phone",
     "015112345687", DE),
    ("vier zwo zweiundvierzig " * 4, "card", CARD, DE),
    ("dreihundertachtundsiebzig zweihundertzweiundachtzig zwo vier sechs drei eins null null "
     "null fünf", "card", "378282246310005", DE),
    ("cuarenta y dos " * 8, "card", CARD, ES),
    ("cuatro mil doscientos cuarenta y dos " * 4, "card", CARD, ES),
    ("es el seis doce treinta y cuatro cincuenta y seis setenta y ocho", "phone", "612345678", ES),
    ("seiscientos doce, trescientos cuarenta y cinco, seiscientos setenta y ocho", "phone",
     "612345678", ES),
    ("612 treinta y cuatro 56 setenta y ocho gracias", "phone", "612345678", ES),
    ("612 once 22 33 44", "number", "61211223344", ES),
    ("06 onze 42 dix 36", "phone", "0611421036", FR),
    ("nul nul nul nul nul nul nul", "number", "0000000", NL),
    ("seis once veintidos veintitrés, cuatro cuatro", "phone", "611222344", ES),
    ("quarante-deux " * 8, "card", CARD, FR),
    ("quarante deux 42 " * 4, "card", CARD, FR),
    ("c'est le zéro six, douze, trente-quatre, cinquante-six, soixante-dix-huit", "phone",
     "0612345678", FR),
    ("zéro six soixante et onze quatre-vingts quatre-vingt-dix-neuf zéro un", "phone",
     "0671809901", FR),
    ("zéro quatre septante deux nonante et un quinze trente", "phone", "0472911530",
     FR),
    ("quarante-deux-quarante-deux " * 4, "card", CARD, FR),
    ("quatre-deux-quatre-deux " * 4, "card", CARD, FR),
    ("quarantadue " * 8, "card", CARD, IT),
    ("quaranta due " * 8, "card", CARD, IT),
    ("tre quattro sette, dodici, trentaquattro, cinque sei sette", "phone", "3471234567", IT),
    ("trecentoquarantasette uno due tre quattro cinque sei sette", "phone", "3471234567", IT),
    ("quarenta e dois " * 8, "card", CARD, PT),
    ("noventa e um, vinte e três, quarenta e cinco, sessenta e sete, oito", "phone",
     "912345678", PT),
    ("nove um dois, trezentos e quarenta e cinco, seis sete oito", "phone", "912345678", PT),
    ("tweeënveertig " * 8, "card", CARD, NL),
    ("nul zes, twaalf, vierendertig, zesenvijftig, achtenzeventig", "phone", "0612345678", NL),
]  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "value", "rules"), PAIRS_AND_TRIPLES)
@pytest.mark.parametrize("upper", [False, True])
def test_it_is_found_said_in_pairs_and_triples(text, kind, value, rules, upper):
    text = text.upper() if upper else text
    found = find(text, rules)
    assert [(one.kind, one.value) for one in found] == [(kind, value)]


def test_of_words_beside_a_number_in_pairs_all_are_kept(bot):
    text = "llámeme al seis doce treinta y cuatro cincuenta y seis setenta y ocho, y una cosa más"
    assert redact(bot, text) == "llámeme al [NATIONAL_ID_1], y una cosa más"


def test_a_card_said_in_pairs_over_turns_is_found_where_it_is_whole(bot):
    private = Private(bot)
    private.hear(1, "c'est quarante-deux quarante-deux", NOTHING)
    private.hear(2, "quarante-deux", NOTHING)
    private.hear(3, "quarante-deux quarante-deux quarante-deux", NOTHING)
    text, amended = private.hear(4, "et quarante-deux quarante-deux voilà", NOTHING)
    assert text == "et [CARD_1] voilà"
    assert [one.text for one in amended] == ["c'est [CARD_1]", "[CARD_1]", "[CARD_1]"]
    assert private.kept == {"[CARD_1]": CARD}


@pytest.mark.parametrize(
    ("text", "figures"),
    [
        ("call me once at 2125552368", "2125552368"),
        ("for 48151623 due", "48151623"),
        ("das ist ein Konto 48151623", "48151623"),
        ("ik heb een 48151623", "48151623"),
    ],
)
def test_a_word_of_another_language_is_no_figure_beside_a_number(text, figures):
    (found,) = find(text, US)
    assert found.value == figures


@pytest.mark.parametrize(
    "text",
    [
        "two million three hundred thousand", "deux millions trois cent mille",
        "te llamo a las once", "quiero una factura de un mes y de una casa", "um vier Uhr",
        "cuesta ciento veinte mil euros", "ça coûte quatre-vingt-dix-neuf euros",
        "sono le due, sei sicuro", "às onze e meia", "een momentje",
        "what is my balance", "my account is four two seven one", "I live at number 12",
        "on the 12.11.2026 or 2026-11-12", "two or three times", "one moment please",
        "at ten to nine", "I was at home", "it costs one hundred and twenty dollars", "",
    ],
)  # fmt: skip
def test_ordinary_words_are_left_alone(text):
    assert find(text, US) == []


def test_of_the_words_beside_it_all_are_kept(bot):
    text = "pay with four two four two " + "four two " * 6 + "and mail it to a at b dot com okay"
    assert redact(bot, text) == "pay with [CARD_1] and mail it to [EMAIL_1] okay"


def test_what_follows_a_card_in_one_breath_goes_with_it(bot):
    assert redact(bot, "4242 4242 4242 4242 123") == "[CARD_1] [NUMBER_1]"


def test_a_value_has_the_same_placeholder_throughout_a_call(bot):
    private = Private(bot)
    assert private.clean("4242 4242 4242 4242") == "[CARD_1]"
    assert private.clean("5555 5555 5555 4444") == "[CARD_2]"
    assert private.clean("it was " + "four two " * 8) == "it was [CARD_1] "
    again = Private(bot, private.kept)
    assert again.clean("5555555555554444") == "[CARD_2]"


def test_no_more_values_are_kept_than_the_bound(bot):
    private = Private(bot)
    for number in range(200):
        text = private.clean(f"1{number:03}5557777788")
        assert re.fullmatch(r"\[[A-Z_]+_\d+\]", text), text
    assert len(private.kept) == 64


def test_a_voice_outside_is_told_what_tools_say_and_not_what_the_caller_said(bot):
    private = Private(bot)
    private.hear(1, "my card is 4242 4242 4242 4242 and where is 90018002", NOTHING)
    sentence = "Parcel 7700 1234 5678 goes with card 4242-4242-4242-4242, call 212 555 2368."
    assert private.voiced(sentence, private.kept) == (
        sentence,
        "Parcel 7700 1234 5678 goes with card [CARD_1], call 212 555 2368.",
    )
    # In words, and once the caller said it himself
    assert private.voiced("four two " * 8, {})[1].strip() == "[CARD_1]"
    private.hear(2, "so 7700 1234 5678", NOTHING)
    assert "7700" not in private.voiced(sentence, private.kept)[1]


def test_what_the_bot_said_before_is_said_again_where_a_model_has_its_placeholder(bot):
    private = Private(bot)
    private.hear(1, "my card is 4242 4242 4242 4242", NOTHING)
    assert private.clean("Parcel 770012345678.") == "Parcel [NUMBER_1]."
    text = "Parcel [NUMBER_1], card [CARD_1]."
    assert private.voiced(text, private.kept)[0] == "Parcel 770012345678, card [CARD_1]."
    # Another numbering than ours means nothing here
    assert private.voiced(text, {})[0] == text


def test_of_more_values_than_are_kept_a_voice_outside_is_told_none(bot):
    private = Private(bot)
    for number in range(65):
        private.hear(number, f"1{number:03}5557777788 " + "and then " * 4, NOTHING)
    assert private.voiced("Parcel 770012345678.", {})[1] == "Parcel [NUMBER_0]."


def test_a_number_that_a_wish_of_the_bot_needs_stays(bot):
    assert Private(bot).clean("account 48151623") == "account 48151623"
    raw = bot.model_dump(mode="json")
    raw["slots"]["account"] |= {"min_digits": 16, "max_digits": 16}
    assert Private(Bot.model_validate(raw)).clean("48151623") == "[NUMBER_1]"
    assert Private(Bot.model_validate(raw)).clean(CARD) == "[CARD_1]"


def test_of_a_long_text_nothing_is_left_out(bot):
    text = "four two " * 8 + "word " * 3000
    assert Private(bot).clean(text * 3).count("[CARD_1]") == 3


def test_kinds_that_the_bots_file_allows_stay(bot):
    allowed = bot.model_copy(update={"redaction": Redaction(allow=("email", "number"))})
    text = "a@b.com and 1234567890123 with card " + CARD
    assert Private(allowed).clean(text) == "a@b.com and 1234567890123 with card [CARD_1]"


def test_what_the_bots_own_file_says_is_no_secret(bot):
    raw = bot.model_dump(mode="json")
    raw["phrases"]["goodbye"] = "Write to help@northwind.example or call 212 555 2368."
    ours = Private(Bot.model_validate(raw))
    assert ours.clean("call 2 1 2 5 5 5 2 3 6 8") == "call 2 1 2 5 5 5 2 3 6 8"
    assert ours.clean("call 212 555 2399") == "call [PHONE_1]"


def test_a_card_dictated_over_turns_is_found_where_it_is_whole(bot):
    private = Private(bot)
    assert private.hear(1, "okay it's four two four two", NOTHING)[1] == []
    assert private.hear(2, "four two four two", NOTHING)[1] == []
    assert private.hear(3, "4242", NOTHING)[1] == []
    text, amended = private.hear(4, "and 4242 that's it", NOTHING)
    assert text == "and [CARD_1] that's it"
    assert [(one.number, one.text) for one in amended] == [
        (1, "okay it's [CARD_1]"), (2, "[CARD_1]"), (3, "[CARD_1]"),
    ]  # fmt: skip
    assert private.kept == {"[CARD_1]": CARD}
    assert private.hear(5, "4242 4242 4242", NOTHING)[1] == []  # it is not counted twice


def test_what_is_heard_again_counts_once(bot):
    private = Private(bot)
    private.hear(1, "4242 42", NOTHING)
    private.drop(1)
    assert private.hear(2, "4242 42", NOTHING) == ("4242 42", [])
    assert private.hear(3, "42 4242 4242", NOTHING)[0] == "[CARD_1]"
    # Counted twice it would be a whole card, which nobody has said.
    again = Private(bot)
    again.hear(1, "4242 4242", NOTHING)
    again.drop(1)
    assert again.hear(2, "4242 4242", NOTHING) == ("4242 4242", [])


def test_of_a_tools_answer_a_model_is_not_told_what_the_caller_said(bot):
    private = Private(bot)
    private.clean(f"my card is {CARD}")
    told = [
        {"role": "system", "content": f"ours: {CARD}"},
        {"role": "user", "content": f"it is {CARD}"},
        {"role": "tool", "content": f"card {CARD}, call 212 555 2368"},
    ]
    assert [one["content"] for one in hidden(told, private, 1)] == [
        f"ours: {CARD}", "it is [CARD_1]", "card [CARD_1], call 212 555 2368",
    ]  # fmt: skip


def test_half_a_card_is_not_told_either(bot):
    assert Private(bot).hear(1, "my card 4242 42424", NOTHING)[0] == "my card [NATIONAL_ID_1]"
    assert Private(bot).hear(1, "4000 1234 1234", NOTHING)[0] == "[NUMBER_1]"


def test_placeholders_are_put_back_in_arguments():
    kept = {"[CARD_1]": CARD, "[EMAIL_1]": "a@b.com"}
    given = {"card": "[CARD_1]", "to": ["<[EMAIL_1]>", 3], "other": "[CARD_2]", "deep": {"x": None}}
    assert restore(given, kept) == {
        "card": CARD, "to": ["<a@b.com>", 3], "other": "[CARD_2]", "deep": {"x": None},
    }  # fmt: skip


def test_a_voice_names_what_it_must_not_say():
    assert spoken_names("I have [CARD_1].", "en") == "I have your card number."
    assert spoken_names("Ich habe [EMAIL_2].", "de-DE") == "Ich habe Ihre Mailadresse."


@pytest.mark.parametrize(
    "text",
    ["a " * 2000, "1" * 4000, "four " * 800, "a.b@" * 999, "dot a " * 660, "DE89" * 999,
     "@" * 4000, "x at " * 800, "quatre vingt dix " * 240, "una " * 1000, "zéro " * 800,
     "veintidós y " * 330, "mil " * 1000],
)  # fmt: skip
def test_nothing_takes_long(text):
    began = time.process_time()
    find(text, US)
    assert time.process_time() - began < 5  # a slow expression would take years


WORDS = (
    "zero", "ein", "vierzig", "hundred", "million", "dos", "mil", "y", "quatre", "vingt", "cent",
    "et", "venti", "dois", "e", "een", "twintig", "first", "minus", "virgule", "double",
)  # fmt: skip


@given(st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=3)), max_size=40),
       st.sampled_from((" ", "-", "", ", ", "'")))  # fmt: skip
def test_numbers_are_read_of_any_text_and_stand_in_their_order(words: list[str], between: str):
    text = between.join(words)  # also with what no utterance should have
    at = 0
    for said in numbers(text + "\ud800"):
        assert at <= said.start < said.end <= len(text)
        assert 0 < len(said.figures) <= MAX_FIGURES
        assert said.figures.isdecimal()
        at = said.end
    for run in runs(text):
        assert all(item.char.isdecimal() for item in run)


@pytest.mark.parametrize("placeholder", ["[CARD_1]", "[NATIONAL_ID_12]"])
def test_a_placeholder_survives_the_way_to_the_voice(placeholder: str):
    splitter = SentenceSplitter()
    (said,) = [*splitter.feed(f"I *have* {placeholder} now. "), *splitter.flush()]
    assert said == f"I have {placeholder} now."
    assert "your" in spoken_names(said, "en")
