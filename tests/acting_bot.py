"""A bot whose intents act on the example company's systems, and those systems, for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from eslbot.examples.backend import Backend
from eslbot.examples.records import Records
from tests.conftest import ENERGY
from workers.bot import Bot, load

MONDAY = date(2026, 11, 23)


@contextmanager
def backend() -> Iterator[Backend]:
    """The systems, serving, as they are on MONDAY."""
    with Backend(Records(MONDAY)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(5)


def definition(url: str, **changes: Any) -> dict[str, Any]:
    """The energy bot, which asks a server for balances and pays there; changes to single tools."""
    found: dict[str, Any] = yaml.safe_load(ENERGY.read_text())
    found["tools"] = {
        "customer": {
            "description": "A customer's balance and when it is due.",
            "url": f"{url}/customers/{{account}}",
            "arguments": {"account": {"type": "digits"}},
            "timeout_ms": "2000",
            "result": {
                "balance": {"path": "balance", "type": "amount"},
                "due": {"path": "due", "type": "date"},
            },
            "errors": {"404": {"say": "There is no such account.", "ask": "account"}},
            "on_error": "I can't look that up right now.",
            "filler": "Let me look that up.",
        },
        "pay": {
            "description": "Pay an amount.",
            "method": "POST",
            "url": f"{url}/payments",
            "body": {"account": "{account}", "amount": "{amount}"},
            "arguments": {
                "account": {"type": "digits"},
                "amount": {"type": "amount", "default": "20.00"},
            },
            "result": {"left": {"path": "balance", "type": "amount"}},
            "say": "You have paid {amount}, and {left} are left.",
            "on_error": "I don't know whether the payment went through.",
        },
    }
    for name, change in changes.items():
        found["tools"][name] = found["tools"][name] | change
    balance = found["intents"]["balance"]
    del balance["lookup"]
    balance["tool"] = "customer"
    balance["answer"] = "Account {account} owes {customer.balance}, due on {customer.due}."
    found["intents"]["pay"] = {
        "examples": ["I want to pay my bill", "let me pay now"],
        "slots": ["account"],
        "tool": "pay",
        "destination": "billing",
    }
    del found["tables"]
    return found


def write(folder: Path, url: str, **changes: Any) -> Path:
    path = folder / "acting.yaml"
    path.write_text(yaml.safe_dump(definition(url, **changes), sort_keys=False))
    return path


def bot(folder: Path, url: str, **changes: Any) -> Bot:
    return load(write(folder, url, **changes))
