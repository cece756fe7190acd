"""Webhooks: told by the recorder, at least once, each call's in their order.

    an entry ─▶ recorded, in one transaction with ─▶ deliveries ─▶ POST ─▶ 2xx: done
                                                        ▲              └─▶ else: later, or dead
                       lease: one of all recorders ─────┘

Signed as Standard Webhooks has it (standardwebhooks.com): webhook-id, the same at each attempt;
webhook-timestamp, seconds since 1970; webhook-signature, "v1," and the base64 of HMAC-SHA256 over
"ID.TIMESTAMP.BODY".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eslbot.accounts import NO_TURNS
from eslbot.records.fold import Entry
from workers.bot import Bot
from workers.settings import SettingsError

EVENTS = {"call": "call.started", "turn": "turn.finished", "menu": "call.menu",
          "ended": "call.ended", "hangup": "call.hung_up"}  # fmt: skip
# Of these fields nothing is a caller's word or value.
PLAIN = {
    "bot", "language", "variant", "caller", "number", "outcome", "reason", "by", "cause", "end",
    "intent", "open_intent", "asked", "action", "destination", "misses", "keyed", "interrupted",
    "confidence", "opened_at", "endpoint_ms", "final_ms", "decision_ms", "first_sentence_ms",
    "first_speech_ms", "first_frame_ms",
}  # fmt: skip
_LINE = re.compile(r"([a-z][a-z0-9_]{0,31})=(\S+)")
PREFIX = "whsec_"
MIN_SECRET, MAX_SECRET = 24, 64  # bytes, as the standard has it


def deliveries(bot: Bot, one: Entry) -> Iterator[dict[str, Any]]:
    """Rows for whoever wants to be told of this entry."""
    name = EVENTS.get(one.what)
    if name is None or one.fields.get("outcome") in NO_TURNS:
        return
    for key, hook in bot.webhooks.items():
        if name not in hook.events:
            continue
        fields = {k: v for k, v in one.fields.items() if hook.words or k in PLAIN}
        body = {
            "type": name,
            "timestamp": datetime.fromtimestamp(one.at, UTC).isoformat(),
            "data": {"call": one.call, "sequence": one.seq} | fields,
        }
        identity = hashlib.sha256(f"{key} {one.call} {one.id}".encode()).hexdigest()[:32]
        yield {
            "id": f"msg_{identity}", "webhook": key, "bot_sha": one.bot, "call": one.call,
            "event": name, "at": one.at, "seq": one.seq,
            "body": json.dumps(body, ensure_ascii=False), "state": "waiting", "attempts": 0,
            "due_at": 0.0, "lease_until": 0.0,
        }  # fmt: skip


def headers(secret: bytes, identity: str, timestamp: int, body: str) -> dict[str, str]:
    """What signs a request."""
    signed = f"{identity}.{timestamp}.{body}".encode()
    digest = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{digest}",
        "content-type": "application/json",
    }


def read_secrets(path: str) -> Mapping[str, bytes]:
    """Of a file of lines NAME=whsec_BASE64. Raises SettingsError, which names file and line and
    tells no secret."""
    if not path:
        return {}
    setting = "ESLBOT_WEBHOOK_SECRETS_FILE"
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or "not a text"
        raise SettingsError(f"{setting}: {cause}") from None
    found: dict[str, bytes] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise SettingsError(f"{setting}: line {number} is not NAME=whsec_BASE64")
        try:
            raw = base64.b64decode(match.group(2).removeprefix(PREFIX), validate=True)
        except binascii.Error:
            raw = b""
        if not MIN_SECRET <= len(raw) <= MAX_SECRET:
            raise SettingsError(
                f"{setting}: line {number}: {MIN_SECRET} to {MAX_SECRET} bytes in base64 are wanted"
            )
        found[match.group(1)] = raw
    return found
