"""The bot's file: what is right is read as written, what is wrong is named by line and key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ENERGY
from workers.bot import Bot, BotError, load
from workers.bot.file import MAX_FILE_BYTES

# Small enough to count lines in; every mistake below is one replacement in it.
GOOD = """\
name: shop
greeting: Hello.
phrases:
  not_understood: Pardon?
  no_input: Are you there?
  anything_else: Anything else?
  to_menu: Use your keypad.
  goodbye: Bye.
slots:
  order:
    type: digits
    min_digits: 4
    max_digits: 4
    ask: Your order?
    ask_keypad: Key in your order.
    variable: ai_order
  colour:
    type: text
    ask: Which colour?
    variable: ai_colour
tables:
  orders:
    0042: {state: on its way}
intents:
  status:
    examples: [where is my order]
    slots: [order]
    lookup: {table: orders, key: order, missing: "There is no {order}."}
    answer: Order {order} is {orders.state}.
    destination: desk
  refuse:
    examples:
      - no
      - 12:30
    answer: Very well.
    destination: desk
destinations:
  desk: {extension: 2000, context: shop, say: One moment.}
menu:
  intro: Choose.
  items:
    - {key: 1, intent: status, prompt: For orders press 1.}
  person: desk
  person_prompt: For a person press 0.
  retry: Again.
"""


def read(tmp_path: Path, text: str | bytes) -> Bot:
    path = tmp_path / "shop.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(path)


def test_the_bot_that_comes_along_is_right(energy: Bot) -> None:
    assert energy.name == "energy"
    assert load(ENERGY).sha == energy.sha


def test_what_looks_like_a_number_or_a_truth_value_stays_as_it_is_written(tmp_path: Path) -> None:
    bot = read(tmp_path, GOOD)
    assert list(bot.tables["orders"]) == ["0042"]
    assert bot.intents["refuse"].examples == ("no", "12:30")
    assert bot.destinations["desk"].extension == "2000"


def test_the_same_words_make_the_same_bot_and_others_another(tmp_path: Path) -> None:
    bot = read(tmp_path, GOOD)
    assert read(tmp_path, "# a comment\n" + GOOD).sha == bot.sha
    assert read(tmp_path, GOOD.replace("Very well", "Well")).sha != bot.sha
    assert Bot.model_validate_json(bot.model_dump_json()).sha == bot.sha


MISTAKES = {
    "a key that there is not": ("greeting: Hello.", "greting: Hello.", 2, "greting: unknown key"),
    "a nested key that there is not": ("ask: Your", "aks: Your", 14, "slots.order.aks: unknown"),
    "a key that is missing": ("  retry: Again.\n", "", 39, "menu.retry: Field required"),
    "a key that stands there twice": ("name: shop", "name: a\nname: b", 2, "name stands here"),
    "no YAML": ("name: shop", "name: [", 3, "expected"),
    "a tab": ("  no_input", "\tno_input", 5, "found character"),
    "a name with a capital": ("  colour:", "  Colour:", 17, "slots.Colour"),
    "a type that there is not": ("type: text", "type: colour", 18, "slots.colour.type"),
    "a number that is none": ("min_digits: 4", "min_digits: four", 12, "slots.order.min_digits"),
    "a negative number": ("max_digits: 4", "max_digits: -4", 13, "slots.order.max_digits"),
    "bounds the wrong way": ("min_digits: 4", "min_digits: 5", 10, "min_digits is greater"),
    "digits without a keypad question": (
        "    ask_keypad: Key in your order.\n", "", 10, "needs ask_keypad",
    ),
    "a variable that is a command": (
        "ai_colour", "execute_on_answer", 20, "slots.colour.variable",
    ),
    "two slots with one variable": ("ai_colour", "ai_order", 20, "slots.colour.variable"),
    "a variable of ours": ("ai_colour", "ai_intent", 20, "slots.colour.variable"),
    "a slot named as a confirmation": ("  colour:", "  confirm:", 17, "slots.confirm"),
    "a slot that there is not": ("slots: [order]", "slots: [oder]", 27, "intents.status.slots"),
    "a table that there is not": ("table: orders", "table: odres", 28, "lookup.table: 'odres'"),
    "a lookup by another slot": ("key: order,", "key: colour,", 28, "status.lookup.key"),
    "a placeholder that there is not": (
        "Order {order} is", "Order {colour} is", 29, "intents.status.answer",
    ),
    "a field that there is not": ("{orders.state}", "{orders.stat}", 29, "has stat"),
    "a field of no lookup": ("answer: Very well.", "answer: "
        "Very {orders.state}.", 35, "intents.refuse.answer"),
    "a placeholder with a capital": ("{order} is", "{Order} is", 29, "intents.status.answer"),
    "a brace that does not close": ("is {orders.state}", "is {orders", 29, "status.answer"),
    "a placeholder where none is filled in": (
        "ask: Which colour?", "ask: Which of {order}?", 19, "slots.colour.ask",
    ),
    "an intent without examples": (
        "[where is my order]", "[]", 26, "intents.status.examples",
    ),
    "an intent without an answer": (
        "    answer: Very well.\n", "", 31, "either answer or transfer",
    ),
    "an answer and a transfer": (
        "answer: Very well.", "answer: Well.\n    transfer: desk", 31, "either answer or transfer",
    ),
    "a transfer that hangs up": (
        "answer: Very well.", "transfer: desk\n    hangup: true", 31, "hangup needs an answer",
    ),
    "a destination that there is not": (
        "destination: desk\n  refuse", "destination: dest\n  refuse", 30, "status.destination",
    ),
    "a transfer to nowhere": ("answer: Very well.", "transfer: dest", 35, "refuse.transfer"),
    "an extension that is a command": (
        "extension: 2000", "extension: '2000 XML x'", 38, "destinations.desk.extension",
    ),
    "a context that is a path": ("context: shop", "context: ../shop", 38, "desk.context"),
    "a menu key that there is not": ("{key: 1,", "{key: 0,", 42, "menu.items.0.key"),
    "a menu intent that there is not": (
        "intent: status", "intent: state", 42, "menu.items.0.intent",
    ),
    "a menu key that stands there twice": (
        "  person: desk", "    - {key: 1, intent: refuse, prompt: No.}\n  person: desk",
        43, "menu.items.1.key",
    ),
    "a menu person that there is not": ("person: desk", "person: dest", 43, "menu.person"),
    "a control character": ("Hello.", '"Hello\\e."', 2, "greeting"),
    "a phrase without words": ("Pardon?", '""', 4, "phrases.not_understood"),
    "a phrase without end": ("Pardon?", "x" * 700, 4, "phrases.not_understood"),
    "a list where words belong": ("Pardon?", "[a, b]", 4, "phrases.not_understood"),
    "words where a list belongs": ("[where is my order]", "where", 26, "status.examples"),
    "a language that is none": ("name: shop", "name: shop\nlanguage: English", 2, "language"),
    "a truth value that is none": (
        "answer: Very well.", "answer: Well.\n    hangup: perhaps", 36, "refuse.hangup",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_line_and_key(tmp_path: Path, mistake: str) -> None:
    right, wrong, line, named = MISTAKES[mistake]
    assert right in GOOD
    with pytest.raises(BotError) as caught:
        read(tmp_path, GOOD.replace(right, wrong, 1))
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'shop.yaml'}: line {line}: ")
    assert named in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"# nothing\n",
        b"just words",
        b"- a\n- b\n",
        b"a: 1\n---\nb: 2\n",
        b"\xff\xfe\x00",
        b"name: \xc3\x28",
        b"\x00",
        b"!!python/object/apply:os.system [echo]",
        b"[" * 5000,
        b"a: &a [*a]",
        b"a: *nobody",
        b"? [a, b]\n: c",
        b"a0: &a0 [x, x]\n"  # an endless key, were it written out
        + b"".join(
            b"? &a%d [%s]\n: x\n" % (n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 30)
        ),
        b'name: "\\UFFFFFFFF"',
        b'name: "\\U00110000"',
        b"%YAML 1." + b"9" * 5000 + b"\n---\n",
        b'"a\\nb": 1\n"a\\nb": 2',
        b'"a\\nb\\e": 1',
        b'"a\\ud800": 1',
        b"x" * 100_000 + b": 1",
        b"a0: &a0 [x, x]\n"
        + b"".join(
            b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)
        ),
    ],
)
def test_what_is_no_bot_at_all_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BotError) as caught:
        read(tmp_path, content)
    assert ": line " in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000 + len(str(tmp_path))


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BotError, match="No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(BotError, match="directory"):
        load(tmp_path)
    with pytest.raises(BotError, match="larger than"):
        read(tmp_path, GOOD + "#" * MAX_FILE_BYTES)


def test_what_is_said_word_for_word_is_known_ahead_and_the_rest_is_not(tmp_path: Path) -> None:
    said = read(tmp_path, GOOD).fixed_phrases()
    assert {"Hello.", "Pardon?", "Your order?", "Very well.", "One moment.", "Again."} <= set(said)
    assert not [text for text in said if "{" in text]
    assert len(set(said)) == len(said)


def test_a_slot_takes_its_own_kind_of_value_alone(energy: Bot) -> None:
    account, street = energy.slots["account"], energy.slots["street"]
    assert account.accepts("4271")
    for wrong in ("427", "123456789", "42a1", "٤٢٧١", " 4271", "4271\n", ""):
        assert not account.accepts(wrong)
    assert street.accepts("five main street")
    assert not street.accepts("")
    assert not street.accepts("x" * 201)
    for unprintable in ("a\nb", "a\0", "a\x1bb", "\ud800", "a\u2028b"):
        assert not street.accepts(unprintable)


# -- slots of more types, and languages


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        ("type: choice", "has options"),
        ("type: choice\n    options: {red: []}", "at least two"),
        ("type: text\n    options: {red: [], blue: []}", "no other has any"),
        ("type: date\n    earliest: tomorrow", "slots.colour.earliest"),
        ("type: date\n    earliest: 2026-02-30", "is no day"),
        ("type: date\n    earliest: 08:00", "is no date"),
        ("type: time\n    latest: 25:00", "is no time"),
        ("type: time\n    earliest: 10:00\n    latest: 09:00", "later than latest"),
        ("type: amount\n    min_amount: 5\n    max_amount: 1", "greater than max_amount"),
        ("type: amount\n    currency: dollars", "slots.colour.currency"),
        ("type: digits\n    ask_keypad: Key.\n    currency: USD", "belong to an amount"),
        ("type: text\n    latest: today", "belongs to a date or a time"),
    ],
)
def test_a_slot_of_another_kind_of_mistake_is_refused(
    tmp_path: Path, lines: str, cause: str
) -> None:
    with pytest.raises(BotError, match=cause) as caught:
        read(tmp_path, GOOD.replace("type: text", lines))
    assert "slots.colour" in str(caught.value) and ": line 1" in str(caught.value)


GERMAN = GOOD.replace("name: shop", "name: shop\nlanguage: de").replace(
    "  goodbye: Bye.\n",
    "  goodbye: Bye.\n  yes_no: Ja?\n  cancelled: Gut.\n  which: Was?\n  first: Erst.\n"
    "  next: Dann.\n  after: Danach.\n  unchanged: Gut.\n",
)


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("", "", ""),
        ("  refuse:", "  refused:", "de: intents: not the same: refuse"),
        ("max_digits: 4", "max_digits: 5", "de: slots.order.max_digits: not the same"),
        ("extension: 2000", "extension: 2001", "de: destinations.desk.extension: not the same"),
        ("key: 1,", "key: 2,", "de: menu.items: not the same keys"),
        ("0042:", "0043:", "de: tables.orders: not the same rows"),
        ("  which: Was?\n", "", "de: phrases.which: missing"),
        ("language: de", "language: fr", "de: is a file in fr"),
        ("greeting: Hello.", "greting: Hello.", "shop.de.yaml: line 3: greting: unknown key"),
    ],
)
def test_a_translation_is_the_same_bot_in_other_words(
    tmp_path: Path, old: str, new: str, cause: str
) -> None:
    (tmp_path / "shop.de.yaml").write_text(GERMAN.replace(old, new) if old else GERMAN)
    text = GOOD.replace("name: shop", "name: shop\nlanguages: {de: shop.de.yaml}")
    if not cause:
        assert read(tmp_path, text).speaking("de").language == "de"
        return
    with pytest.raises(BotError, match=re.escape(cause)):
        read(tmp_path, text)


@pytest.mark.parametrize("name", ["../shop.de.yaml", "/etc/passwd", "", "none.yaml", "."])
def test_a_translation_lies_beside_its_bot(tmp_path: Path, name: str) -> None:
    with pytest.raises(BotError):
        read(tmp_path, GOOD.replace("name: shop", f'name: shop\nlanguages: {{de: "{name}"}}'))


def test_a_change_of_language_needs_the_file_of_that_language(tmp_path: Path) -> None:
    text = GOOD.replace("answer: Very well.", "answer: Very well.\n    language: de")
    with pytest.raises(BotError, match=r"line 3.: intents\.refuse\.language: there is"):
        read(tmp_path, text)
