"""Nothing secret is found where it must not be: whole calls, everything at level debug, and then
every file, every command that Redis was sent, every key and value, and every command line."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
import redis

from eslbot.records import read, schema
from eslbot.records.seal import Seal, new_key
from eslbot.records.store import SQLITE_FILE, Store
from eslbot.redis_acl import LISTENER, RECORDER, RULES, lines
from eslbot.switch.caller import Caller, Keys, Say
from eslbot.switch.channel import Channel
from tests.conftest import RedisServer
from tests.house import House, recording, until
from tests.provider import Plan, Provider
from tests.secret_bot import CARD, PIN, write

ADMIN = "canary-administrator"
PASSWORDS = {user: f"canary-{user}-password" for user in RULES}
SETUP = {
    "ESLBOT_CALL_SECRET": "canary-call-secret-1234",
    "ESLBOT_STT_API_KEY": "canary-key-for-stt",
    "ESLBOT_LLM_API_KEY": "canary-key-for-llm",
    "ESLBOT_TTS_API_KEY": "canary-key-for-tts",
}
CALLER = {
    "name": "canaryname ${system(id)}",
    "number": "5550100777333",
    "variables": {
        "eslbot_secret": SETUP["ESLBOT_CALL_SECRET"],
        "sip_from_display": "canary of a display name",
        "ai_account": "48151623",
        "ai_unknown": "canary-of-a-variable-of-others",
    },
}
SAID = "zebrafinch pay my bill"  # by the caller, as recognised
SAID_SECRET = "canary seven three nine one"  # aloud, while the PIN was asked for
# In words, a card's number and a mail address; and a card's number over two turns.
SAID_CARD = "it's four two four two, four two four two four two four two four two four two okay"
SAID_MAIL = "write to quentin dot canary at mailfinch dot com"
SAID_PARTS = ("double five double five double five double five",
              "double five double five double four double four")  # fmt: skip
CARDS = ("4242424242424242", "5555555555554444")
WORDS = "Kingfishers are open all day."  # by the model
PROVIDERS_OWN = "secret-of-the-provider"  # in the body of its errors


class Spy:
    """What Redis is sent, by its own MONITOR, which leaves nothing out but logins."""

    def __init__(self, port: int) -> None:
        self.seen = bytearray()
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.sendall(f"AUTH admin {ADMIN}\r\nMONITOR\r\n".encode())
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while data := self._socket.recv(1 << 16):
            self.seen += data

    def stop(self) -> bytes:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        return bytes(self.seen)


class Evidence:
    """All that was left behind, by where it was found."""

    def __init__(self) -> None:
        self.logs: dict[str, bytes] = {}
        self.files: dict[str, bytes] = {}
        self.redis: dict[str, bytes] = {}
        self.command_lines: set[str] = set()
        self.record = ""  # decrypted
        self.told: list[str] = []
        self.call: Channel
        self.provider: Provider

    def places(self) -> Iterator[tuple[str, bytes]]:
        yield from self.logs.items()
        yield from self.files.items()
        yield from self.redis.items()
        yield "command lines", "\n".join(self.command_lines).encode()

    def holding(self, *texts: str) -> list[str]:
        """The places that hold one of these texts."""
        found = [text.encode() for text in texts]
        return [place for place, data in self.places() if any(text in data for text in found)]


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    folder = tmp_path_factory.mktemp("canary")
    found = Evidence()
    with Provider() as provider:
        found.provider = provider
        house = House(
            folder,
            folder / "state",
            ESLBOT_LOG_LEVEL="debug",
            ESLBOT_BOT=str(write(folder / "bot.yaml")),
            ESLBOT_STT="openai",
            ESLBOT_LLM="openai",
            ESLBOT_TTS="openai",
            **{f"ESLBOT_{role}_URL": provider.url for role in ("STT", "LLM", "TTS")},
        )
        key = new_key()
        house.environ |= SETUP | {"ESLBOT_TTS": "openai", "ESLBOT_RECORDS_KEY": key}
        digest = hashlib.sha256(ADMIN.encode()).hexdigest()
        acl = [*lines(PASSWORDS), f"user admin on #{digest} ~* &* +@all", ""]
        (folder / "users.acl").write_text("\n".join(acl))
        house.redis = RedisServer(folder, "--aclfile", str(folder / "users.acl"))
        at = f"127.0.0.1:{house.redis.port}/0"
        house.redis.url = f"redis://admin:{ADMIN}@{at}"
        try:
            house.start("redis")
            spy = Spy(house.redis.port)
            watching = gevent.spawn(watch_command_lines, found.command_lines)
            house.environ["REDIS_URL"] = f"redis://eslbot-worker:{PASSWORDS['eslbot-worker']}@{at}"
            house.start("stt", "llm", "tts")
            house.environ["REDIS_URL"] = f"redis://{LISTENER}:{PASSWORDS[LISTENER]}@{at}"
            house.start("listener")
            house.environ["REDIS_URL"] = f"redis://{RECORDER}:{PASSWORDS[RECORDER]}@{at}"
            house.start("recorder")
            house.wait_ready()
            found.call = the_call(house, provider)
            found.told = [json.dumps(one) for one in house.told(found.call)]
            store = Store(f"sqlite:///{folder / 'state' / SQLITE_FILE}", Seal([key]))
            found.record = recorded(store, found.call.uuid)
            watching.kill()
            found.redis = {"what Redis was sent": spy.stop(), **dump(house.redis.port)}
        finally:
            house.stop()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            place = found.logs if path.suffix == ".log" else found.files
            place[str(path.relative_to(folder))] = path.read_bytes()
    yield found


def the_call(house: House, provider: Provider) -> Channel:
    """A wish, a PIN said aloud, one that does not fit, both secrets, a chat, a failing model."""
    call = house.dial(**CALLER)  # type: ignore[arg-type]
    caller = Caller(call)
    caller.wait_bot()
    pay = [("handle_intent", json.dumps({"intent": "pay"}))]
    provider.plan = Plan(transcript=SAID, tools=pay)
    caller.do(Say(recording("balance")))
    assert "Please key in your PIN." in house.said(call)
    provider.plan = Plan(transcript=SAID_SECRET, tools=pay)
    caller.do(Say(recording("account")))
    caller.do(Keys(PIN[:-1] + "#"))
    caller.do(Keys(PIN))
    assert "Please key in your card's number." in house.said(call)
    caller.do(Keys(CARD))
    assert "Shall I charge your card?" in house.said(call)
    yes = [("handle_intent", json.dumps({"intent": "pay", "confirmed": True}))]
    provider.plan = Plan(tools=yes)
    caller.do(Keys("1#"))
    assert "Your bill is paid." in house.said(call)
    provider.plan = Plan(transcript=SAID, words=[WORDS])
    caller.do(Say(recording("hours")))
    provider.plan = Plan(transcript=SAID_CARD, words=["So I have [CARD_1] now."])
    caller.do(Say(recording("hours")))
    for said in (SAID_MAIL, *SAID_PARTS):
        provider.plan = Plan(transcript=said, words=[WORDS])
        caller.do(Say(recording("hours")))
    provider.plan = Plan(transcript=SAID, statuses=[401] * 100)
    caller.do(Say(recording("hours")))
    call.hangup()
    until(lambda: "hangup" in dict(house.told(call)), 10, "the listener knows")
    return call


def recorded(store: Store, uuid: str) -> str:
    """All that is in the database, as text, once the call's end is."""

    def ended() -> bool:
        return any(one["hung_up_by"] for one in read.calls(store))

    until(ended, 20, "the call is recorded")
    everything = [read.call(store, uuid)]
    with store.begin() as connection:
        for table in schema.metadata.sorted_tables:
            rows = connection.execute(table.select()).all()
            everything += [store.opened(table, row) for row in rows]
    return json.dumps(everything)


def watch_command_lines(found: set[str]) -> None:
    """Of our own processes, those that live shortly included as far as one can see them."""
    while True:
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        ours = {os.getpid()}
        while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
            ours |= more
        for pid in ours - {os.getpid()}:
            with contextlib.suppress(OSError):
                raw = Path(f"/proc/{pid}/cmdline").read_bytes()
                found.add(raw.replace(b"\0", b" ").decode("utf-8", "replace"))
        gevent.sleep(0.05)


def dump(port: int) -> dict[str, bytes]:
    """Every key with its value, whatever its type."""
    client = redis.Redis(port=port, username="admin", password=ADMIN, protocol=2)
    read = {
        b"string": client.get,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"hash": client.hgetall,
        b"stream": client.xrange,
    }
    found = {}
    for key in client.scan_iter(count=1000):
        kind = client.type(key)
        if kind != b"none":  # it has expired in between
            name = key.decode("utf-8", "replace")
            found[name] = name.encode() + b" " + repr(read[kind](key)).encode()
    return found


def test_the_search_finds_what_is_there(evidence: Evidence):
    call = evidence.call
    assert evidence.holding(call.uuid)
    assert "listener.log" in evidence.logs and call.uuid.encode() in evidence.logs["listener.log"]
    assert b"D " in evidence.logs["listener.log"] + evidence.logs["llm.log"]  # level debug
    assert "what Redis was sent" in evidence.holding(SAID)
    assert f"eslbot:log:{call.uuid}" in evidence.holding(SAID)
    assert [line for line in evidence.command_lines if "eslbot serve" in line]
    assert [line for line in evidence.command_lines if "redis-server" in line]
    keys = {one.headers.get("authorization") for one in evidence.provider.seen}
    assert keys == {f"Bearer {SETUP[f'ESLBOT_{role}_API_KEY']}" for role in ("STT", "LLM", "TTS")}


@pytest.mark.parametrize("secret", [ADMIN, *PASSWORDS.values(), *SETUP.values(), PROVIDERS_OWN])
def test_no_password_and_no_key_is_found_anywhere(evidence: Evidence, secret: str):
    assert evidence.holding(secret) == []


@pytest.mark.parametrize("canary", ["canaryname", CALLER["number"], "canary of a display name",
                                    "canary-of-a-variable-of-others"])  # fmt: skip
def test_who_calls_is_found_nowhere(evidence: Evidence, canary: str):
    assert evidence.holding(canary) == []


@pytest.mark.parametrize("words", ["zebrafinch", SAID_SECRET, "Kingfishers", "48151623"])
def test_what_is_said_or_known_is_in_no_log_and_no_command_line(evidence: Evidence, words: str):
    places = set(evidence.holding(words))
    assert "what Redis was sent" in places
    assert not places & {*evidence.logs, *evidence.files, "command lines"}


def test_what_is_said_while_a_secret_is_asked_for_stays_out_of_the_calls_log(evidence: Evidence):
    told = "\n".join(evidence.told)
    assert SAID in told  # what was said before is in it
    assert "<speech>" in told
    assert SAID_SECRET not in told


@pytest.mark.parametrize("digits", [PIN, PIN[:-1], CARD])
def test_a_secret_that_was_keyed_in_is_found_nowhere(evidence: Evidence, digits: str):
    numbers = "zero one two three four five six seven eight nine".split()  # noqa: SIM905
    spelled = [numbers[int(one)] for one in digits]
    forms = [digits, " ".join(digits), " ".join(spelled), ", ".join(spelled), ",".join(digits)]
    assert evidence.holding(*forms) == []


def test_a_secret_goes_onto_the_channel_and_its_placeholder_into_the_calls_log(
    evidence: Evidence,
):
    variables = evidence.call.variables
    assert (variables["ai_pin"], variables["ai_card"]) == (PIN, CARD)
    assert variables["eslbot_secret"] == ""
    told = [json.loads(one) for one in evidence.told]
    keyed = [fields["text"] for what, fields in told if what == "heard" and fields.get("keyed")]
    assert keyed == ["<not fitting>", "<secret>", "<secret>", "1"]
    (ended,) = [fields for what, fields in told if what == "ended"]
    assert ended["variables"]["ai_pin"] == ended["variables"]["ai_card"] == "<secret>"


def test_no_model_is_asked_about_a_secret(evidence: Evidence):
    asked = json.dumps([one.json for one in evidence.provider.seen])
    assert PIN not in asked and CARD not in asked and PIN[:-1] not in asked
    # Of what was said meanwhile only its own turn tells it.
    told = [
        one.json["messages"] for one in evidence.provider.seen if one.path.endswith("/completions")
    ]
    with_it = [
        messages for messages in told if any(SAID_SECRET in m["content"] for m in messages[:-1])
    ]
    assert with_it == []


def test_no_log_line_has_digits_key_by_key(evidence: Evidence):
    keys = re.compile(rb"(?:DTMF|key)\D{0,20}\d\b", re.I)
    assert [place for place, data in evidence.logs.items() if keys.search(data)] == []


# -- what is redacted


def spoken_numbers(evidence: Evidence) -> list[str]:
    """All that must not be found of what was said, in its forms."""
    parts = [part for part in SAID_PARTS if part not in SAID_CARD]
    cards = [" ".join(card[n : n + 4] for n in range(0, 16, 4)) for card in CARDS]
    return [SAID_CARD[5:30], "four two four two", *parts, *CARDS, *cards, "quentin", "mailfinch"]


def test_the_record_has_the_call_with_placeholders(evidence: Evidence):
    assert SAID in evidence.record and "<secret>" in evidence.record
    assert "it's [CARD_1] okay" in evidence.record
    assert "write to [EMAIL_1]" in evidence.record
    assert evidence.record.count("[CARD_2]") >= 2  # both halves
    for text in (*spoken_numbers(evidence), PIN, CARD, SAID_SECRET, CALLER["number"]):
        assert str(text) not in evidence.record, text


def test_what_is_redacted_is_in_no_log_no_file_and_nothing_that_stays_in_redis(
    evidence: Evidence,
):
    found = set(evidence.holding(*spoken_numbers(evidence)))
    # A turn's own streams have it for as long as the turn may last; they expire.
    short = {name for name in found if re.match(r"eslbot:\{|eslbot:out:", name)}
    assert found - short <= {"what Redis was sent"}
    assert "what Redis was sent" in found


def test_no_model_and_no_voice_is_told_what_is_redacted(evidence: Evidence):
    asked = json.dumps([one.json for one in evidence.provider.seen if one.json])
    first = SAID_PARTS[0]  # half of a number is one only once the other half is there
    for text in spoken_numbers(evidence):
        assert text == first or text not in asked, text
    assert "it's [CARD_1] okay" in asked and "write to [EMAIL_1]" in asked
    assert "So I have your card number now." in asked
    last = [one.json["messages"] for one in evidence.provider.seen
            if one.path.endswith("/completions")][-1]  # fmt: skip
    assert first not in json.dumps(last)  # from then on it is gone from the conversation as well
