"""The example bot with an intent that needs two secrets: a PIN and a card's number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ENERGY

PIN, CARD = "73915528", "4000123412349010"


def definition() -> dict[str, Any]:
    """To be changed by a test."""
    raw: dict[str, Any] = yaml.load(ENERGY.read_text(), Loader=yaml.BaseLoader)
    raw["slots"]["pin"] = {
        "type": "digits", "min_digits": "8", "max_digits": "8", "secret": "true",
        "ask": "What is your PIN?", "ask_keypad": "Please key in your PIN.",
        "variable": "ai_pin",
    }  # fmt: skip
    raw["slots"]["card"] = {
        "type": "digits", "min_digits": "16", "max_digits": "16", "secret": "true",
        "ask": "What is your card's number?", "ask_keypad": "Please key in your card's number.",
        "variable": "ai_card",
    }  # fmt: skip
    raw["intents"]["pay"] = {
        "examples": ["I want to pay my bill by card", "pay by card", "pay my bill"],
        "slots": ["pin", "card"],
        "confirm": "Shall I charge your card?",
        "answer": "Your bill is paid.",
        "destination": "billing",
    }
    raw["menu"]["items"].append({"key": "5", "intent": "pay", "prompt": "To pay by card, press 5."})
    return raw


def write(path: Path, raw: dict[str, Any] | None = None) -> Path:
    path.write_text(yaml.safe_dump(raw or definition(), sort_keys=False))
    return path
