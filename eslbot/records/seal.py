"""Encryption at rest, by keys from outside: texts, audio, and the hash that finds a caller.

A key is what `eslbot records key` prints: 32 bytes in URL-safe base64, as Fernet has it. Several
may be there, the newest first: it seals, all open. `eslbot records rekey` seals anew, then the old
ones can go.

    text    "enc1:" + a Fernet token (AES-128-CBC, HMAC-SHA256)
    audio   blocks of AES-256-GCM under a key derived from it, numbered, see recording.py
    caller  HMAC-SHA256 of the number under another derived key; without a key under a secret
            that lies in the state folder
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from workers.settings import Settings, SettingsError

MARK = "enc1:"
MAX_KEYS = 16
PEPPER = "records.pepper"


class SealError(Exception):
    """Something is sealed with a key that is not there, or was tampered with."""


def new_key() -> str:
    return Fernet.generate_key().decode()


class Seal:
    """keys: the newest first; none: nothing is encrypted. pepper: for hashes without a key."""

    def __init__(self, keys: Iterable[str] = (), pepper: bytes = b"") -> None:
        raw = [_decoded(number, key) for number, key in enumerate(keys, 1)]
        if len(raw) > MAX_KEYS:
            raise SealError(f"{len(raw)} keys, at most {MAX_KEYS} are taken")
        self._fernet = (
            MultiFernet([Fernet(base64.urlsafe_b64encode(k)) for k in raw]) if raw else None
        )
        self._hashes = [_derived(key, b"eslbot caller") for key in raw]
        if pepper:
            self._hashes.append(pepper)
        self.audio_keys = [_derived(key, b"eslbot audio") for key in raw]

    def seal(self, text: str | None) -> str | None:
        if text is None or self._fernet is None:
            return text
        return MARK + self._fernet.encrypt(text.encode("utf-8", "replace")).decode()

    def open(self, text: str | None) -> str | None:
        """Raises SealError. What was written without a key is returned as it is."""
        if text is None or not text.startswith(MARK):
            return text
        if self._fernet is None:
            raise SealError("the records are encrypted: set ESLBOT_RECORDS_KEY_FILE")
        try:
            return self._fernet.decrypt(text.removeprefix(MARK).encode()).decode()
        except InvalidToken:
            raise SealError("no key that is set opens this record") from None

    def reseal(self, text: str | None) -> str | None:
        """The same text under the newest key. Raises SealError."""
        return self.seal(self.open(text))

    def caller(self, number: str) -> str:
        """The hash under which a caller's number is kept, "" where there is none to hash."""
        found = self.caller_hashes(number)
        return found[0] if found else ""

    def caller_hashes(self, number: str) -> list[str]:
        """Under each key that there is: which of them was the newest at the time is not known."""
        plain = number.strip().removeprefix("+").removeprefix("00")
        digits = "".join(c for c in plain if c.isascii() and c.isalnum()).lower()
        if not digits:
            return []
        return [hmac.new(k, digits.encode(), hashlib.sha256).hexdigest()[:40] for k in self._hashes]


def load(settings: Settings) -> Seal:
    """Of the settings' keys; without any, of a secret in the state folder, made when it is not
    there. Raises SettingsError."""
    try:
        return Seal(_keys(settings), _pepper(Path(settings.state_dir)))
    except SealError as error:
        raise SettingsError(f"ESLBOT_RECORDS_KEY_FILE: {error}") from None
    except OSError as error:
        raise SettingsError(f"ESLBOT_STATE_DIR: {PEPPER}: {error.strerror}") from None


def _keys(settings: Settings) -> list[str]:
    text = settings.records_key
    if settings.records_key_file:
        try:
            text = Path(settings.records_key_file).read_text()
        except (OSError, UnicodeDecodeError) as error:
            cause = getattr(error, "strerror", None) or "not a text"
            raise SettingsError(f"ESLBOT_RECORDS_KEY_FILE: {cause}") from None
        if not text.strip():
            raise SettingsError("ESLBOT_RECORDS_KEY_FILE: is empty")
    return text.replace(",", " ").split()


def _pepper(folder: Path) -> bytes:
    path = folder / PEPPER
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{PEPPER}.{os.getpid()}.{secrets.token_hex(4)}"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(32))
        file.flush()
        os.fsync(file.fileno())
    # The first of all processes wins; a link is made whole or not at all.
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
    return path.read_bytes()


def _decoded(number: int, key: str) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(key.encode())
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != 32:
        raise SealError(f"key {number} is not 32 bytes in URL-safe base64; eslbot records key")
    return raw


def _derived(key: bytes, what: bytes) -> bytes:
    return HKDF(SHA256(), 32, None, what).derive(key)
