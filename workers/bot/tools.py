"""Tools: what the bot can look up or do at a server of yours, over HTTP.

    arguments ─▶ checked by their types ─▶ URL, body ─▶ the server ─▶ result, by its types ─▶ say

The host stands in the file, and no argument gets to it: what a caller or a model gives is filled
into the path and the query percent-encoded, into the body as JSON. Of the answer only what `result`
names is used, and only as the type that stands there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator

from workers.bot.slot import Slot
from workers.bot.texts import PLACEHOLDER, Model, Name, Phrase, known

MAX_DEPTH = 6
MAX_BODY_VALUES = 100
MAX_VALUE = 200  # characters of an argument of text, and of a text in a result
# Of a header's value: what can stand there, and no line break.
Header = Annotated[str, StringConstraints(max_length=500, pattern=r"^[\x20-\x7e]*$")]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,60}$")]
Path = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,60}(\.[A-Za-z0-9_-]{1,60}){0,7}$")
]
Url = Annotated[str, StringConstraints(max_length=1000, pattern=r"^https?://[!-~]+$")]
Option = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[ -~]+$")]
Status = Annotated[str, StringConstraints(pattern=r"^4[0-9][0-9]$")]

ArgumentType = Literal["digits", "date", "time", "amount", "choice", "text", "integer", "boolean"]
# What a slot of the bot gives, by its type, fits an argument of these types.
FITS: dict[str, tuple[ArgumentType, ...]] = {
    "digits": ("digits", "integer", "text"),
    "yes_no": ("boolean", "text"),
    "text": ("text",),
    "date": ("date", "text"),
    "time": ("time", "text"),
    "amount": ("amount", "text"),
    "choice": ("choice", "text"),
}
# The request's own: who sets them decides where the body ends, or who asks.
OWN_HEADERS = frozenset(
    "host content-length transfer-encoding connection idempotency-key content-type "  # noqa: SIM905
    "accept-encoding expect upgrade te trailer proxy-authorization".split()
)
# Functions of every bot, which a model calls.
TAKEN = frozenset({"handle_intent", "cancel_wish", "transfer", "hang_up"})
SECRET = "{secret}"  # noqa: S105


class Argument(Model):
    """What a tool is told. default: taken where nobody gives it; it is then not required."""

    type: ArgumentType
    description: Phrase | None = None
    required: bool = True
    default: Option | None = None
    options: tuple[Option, ...] = Field((), max_length=50)
    min_digits: int = Field(1, ge=1, le=32)
    max_digits: int = Field(32, ge=1, le=32)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.type == "choice") != bool(self.options):
            raise ValueError("a choice has options, and no other type has")
        if self.min_digits > self.max_digits:
            raise ValueError("min_digits is greater than max_digits")
        return self


class ResultField(Model):
    """A value of the answer: where it stands, as keys and indexes, and what it has to be.

    A path to a list takes its first `most` values. optional: said as `missing` where it is absent.
    """

    path: Path
    type: Literal["text", "digits", "date", "time", "amount", "integer", "boolean"] = "text"
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = "USD"
    most: int = Field(3, ge=1, le=10)
    optional: bool = False
    missing: Phrase | None = None


class ErrorAnswer(Model):
    """What is said when the server refuses. ask: the slot that is then asked for once more."""

    say: Phrase
    ask: Name | None = None


class Tool(Model):
    """One request. An intent ends in it, or a language model calls it.

    idempotent: asked twice it does no more than once, so that a request that broke off is sent
    again; otherwise it goes out once, with an Idempotency-Key. None: of a GET. model: whether a
    language model may call it by itself; None: where it is idempotent. What can't be undone is
    better left to an intent that confirms first.
    errors: by the status of the answer, what is said in place of on_error; the call goes on.
    on_error: said when it failed; then the intent's destination. filler: said first when the answer
    takes longer. keep: slot to the field of the result that fills it.
    """

    description: Phrase
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: Url
    headers: dict[HeaderName, Header] = Field(default_factory=dict, max_length=20)
    body: Any = None
    arguments: dict[Name, Argument] = Field(default_factory=dict, max_length=16)
    secret: Name | None = None
    timeout_ms: int = Field(4000, ge=100, le=15_000)
    idempotent: bool | None = None
    model: bool | None = None
    result: dict[Name, ResultField] = Field(default_factory=dict, max_length=30)
    keep: dict[Name, Name] = Field(default_factory=dict, max_length=8)
    say: Phrase | None = None
    errors: dict[Status, ErrorAnswer] = Field(default_factory=dict, max_length=10)
    on_error: Phrase
    filler: Phrase | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_url()
        _check_body(self.body)
        if self.body is not None and self.method == "GET":
            raise ValueError("body: a GET has none")
        for name in self.headers:
            if name.lower() in OWN_HEADERS:
                raise ValueError(f"headers.{name}: is set by the bot itself")
        for name, value in self.headers.items():
            if PLACEHOLDER.sub("", value.replace(SECRET, "")) != value.replace(SECRET, ""):
                raise ValueError(f"headers.{name}: no argument gets into a header")
            if SECRET in value and not self.secret:
                raise ValueError(f"headers.{name}: there is no secret")
        for name in ("secret", "result"):
            if name in self.arguments:
                raise ValueError(f"arguments.{name}: the name stands for something else")
        used = set(placeholders(self.url)) | set(placeholders(self.body))
        for name in sorted(used - set(self.arguments)):
            raise ValueError(f"{{{name}}} in url or body is no argument of it")
        for name, argument in self.arguments.items():
            optional = not argument.required and argument.default is None
            if name in placeholders(self.url) and optional:
                raise ValueError(f"arguments.{name}: stands in the URL, and has to be required")
            if name not in used:
                raise ValueError(f"arguments.{name}: is used nowhere")
        for slot, field in self.keep.items():
            if field not in self.result:
                raise ValueError(f"keep.{slot}: {field!r} is none of its result")
        self._check_text(self.say or "")
        return self

    def _check_url(self) -> None:
        try:
            parts = urlsplit(self.url)
            parts.port  # noqa: B018
        except ValueError:
            raise ValueError("url: is none") from None
        if not parts.hostname or "{" in parts.netloc or "}" in parts.netloc:
            raise ValueError("url: the host has to be there, and holds no placeholder")
        if parts.username or parts.password or "@" in parts.netloc:
            raise ValueError("url: no name and password in it; use secret")
        if parts.fragment:
            raise ValueError("url: no fragment (#)")
        rest = PLACEHOLDER.sub("", self.url)
        if "{" in rest or "}" in rest:
            raise ValueError("url: a brace that belongs to no placeholder")
        if any("." in m.group(0) for m in PLACEHOLDER.finditer(self.url)):
            raise ValueError("url: a placeholder is the name of an argument")

    def _check_text(self, text: str) -> None:
        for word, field in PLACEHOLDER.findall(text):
            if field or (word not in self.result and word not in self.arguments):
                raise ValueError(f"say: {{{word}}} is none of its arguments and results")

    @property
    def retries(self) -> bool:
        """Whether it may be asked again after it may have been done."""
        return self.method == "GET" if self.idempotent is None else self.idempotent

    @property
    def offered(self) -> bool:
        """Whether a language model may call it."""
        return self.retries if self.model is None else self.model

    @property
    def fixed_phrases(self) -> tuple[str, ...]:
        texts = (self.on_error, *(answer.say for answer in self.errors.values()))
        return texts if self.filler is None else (*texts, self.filler)


def check(tools: Mapping[str, Tool], slots: Mapping[str, Slot]) -> None:
    """What tools and the rest of the bot have to agree on. Raises ValueError."""
    for name, tool in tools.items():
        if name in TAKEN:
            raise ValueError(f"tools.{name}: the name stands for something of the bot's own")
        for slot in tool.keep:
            known(slot, slots, f"tools.{name}.keep")
            if slots[slot].secret:
                raise ValueError(f"tools.{name}.keep: {slot} is a secret slot")
        for status, answer in tool.errors.items():
            if answer.ask:
                known(answer.ask, slots, f"tools.{name}.errors.{status}.ask")


def check_use(tool: Tool, at: str, named: Collection[str], slots: Mapping[str, Slot]) -> None:
    """Whether an intent with these slots can end in the tool. Raises ValueError."""
    for name, argument in tool.arguments.items():
        if name not in named:
            if argument.required and argument.default is None:
                raise ValueError(f"{at}: needs a slot {name!r}, an argument of it")
            continue
        if slots[name].secret:
            raise ValueError(f"{at}: {name} is a secret slot, which no worker knows")
        if argument.type not in FITS[slots[name].type]:
            kind = slots[name].type
            raise ValueError(f"{at}: slot {name} is a {kind}, its argument a {argument.type}")
    for answer in tool.errors.values():
        if answer.ask and answer.ask not in named:
            raise ValueError(f"{at}: asks for {answer.ask!r} again, which is none of its slots")


def placeholders(template: Any) -> tuple[str, ...]:
    """Names of all placeholders in a text, or in the texts of a body."""
    if isinstance(template, str):
        return tuple(word for word, _ in PLACEHOLDER.findall(template))
    if isinstance(template, dict):
        return tuple(name for value in template.values() for name in placeholders(value))
    if isinstance(template, list | tuple):
        return tuple(name for value in template for name in placeholders(value))
    return ()


def _check_body(body: Any) -> None:
    count = 0

    def look(value: Any, depth: int) -> None:
        nonlocal count
        count += 1
        if depth > MAX_DEPTH or count > MAX_BODY_VALUES:
            raise ValueError("body: nests too deeply, or holds too much")
        if isinstance(value, dict):
            for name, held in value.items():
                if "{" in name or "}" in name:
                    raise ValueError("body: no placeholder in a name")
                look(held, depth + 1)
        elif isinstance(value, list):
            for held in value:
                look(held, depth + 1)
        elif value is not None and not isinstance(value, str):
            raise ValueError("body: texts, lists and mappings only")
        elif isinstance(value, str) and re.search(r"[{}]", PLACEHOLDER.sub("", value)):
            raise ValueError("body: a brace that belongs to no placeholder")

    look(body, 0)
    if body is not None and not isinstance(body, dict):
        raise ValueError("body: a mapping is wanted")
