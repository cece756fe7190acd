"""Who may look, and whose orders count.

loopback, no token   every page that the machine's own browser opens; the name it was asked for
                     must be loopback too, so that no name of the internet leads here
with a token         whoever gave it once; a cookie for SESSION_S
orders (POST)        from a page of this origin, with the session's own CSRF token
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

SESSION_S = 12 * 3600
MAX_SESSIONS = 1000
MIN_TOKEN = 16
# Wrong tokens of one address in a minute, after which it has to wait.
MAX_WRONG = 5
WRONG_WITHIN_S = 60.0
MAX_ADDRESSES = 1000


class NotSafe(Exception):
    """The console must not start like this; str() names the setting."""


@dataclass(frozen=True, slots=True)
class Session:
    """One browser's. csrf: what its orders must carry."""

    key: str
    csrf: str
    until: float


def is_loopback(host: str) -> bool:
    """Whether a host, as it is listened on or asked for, is this machine alone."""
    host = host.strip("[]").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check(host: str, token: str) -> None:
    """Raises NotSafe: on anything but loopback there is a token, and it is no short one."""
    if token and len(token) < MIN_TOKEN:
        raise NotSafe(f"ESLBOT_CONSOLE_TOKEN: shorter than {MIN_TOKEN} characters")
    if not token and not is_loopback(host):
        raise NotSafe(f"ESLBOT_CONSOLE_TOKEN: is wanted, since ESLBOT_CONSOLE_HOST={host}")


def host_of(authority: str) -> str:
    """The host of `Host: host:port`, or ""."""
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""


def same_origin(origin: str | None, authority: str, secure: bool) -> bool:
    """Whether a request comes from a page of ours; whoever names no origin is none. Where this
    process does not speak TLS itself, a proxy in front may."""
    schemes = ("https",) if secure else ("http", "https")
    return bool(authority) and origin in [f"{scheme}://{authority}" for scheme in schemes]


@dataclass(slots=True)
class Gate:
    """token "": everybody who gets here may look."""

    token: str
    clock: Callable[[], float] = time.monotonic
    _sessions: OrderedDict[str, Session] = field(default_factory=OrderedDict)
    _wrong: OrderedDict[str, list[float]] = field(default_factory=OrderedDict)

    def admits(self, authority: str) -> bool:
        """Whether a request for this `Host:` may be answered at all."""
        return bool(self.token) or is_loopback(host_of(authority))

    def open(self) -> Session:
        """A new session; the oldest one makes room."""
        one = Session(secrets.token_urlsafe(32), secrets.token_urlsafe(32),
                      self.clock() + SESSION_S)  # fmt: skip
        self._sessions[one.key] = one
        while len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return one

    def session(self, key: str | None) -> Session | None:
        one = self._sessions.get(key or "")
        if one is not None and one.until < self.clock():
            self.close(one)
            return None
        return one

    def close(self, session: Session) -> None:
        self._sessions.pop(session.key, None)

    def may_try(self, address: str) -> bool:
        """False: too many wrong tokens came from there in the last minute."""
        tried = [at for at in self._wrong.get(address, []) if self.clock() - at < WRONG_WITHIN_S]
        return len(tried) < MAX_WRONG

    def login(self, token: str, address: str) -> Session | None:
        """None: the token is wrong."""
        if self.token and _same(token, self.token):
            self._wrong.pop(address, None)
            return self.open()
        tried = self._wrong.setdefault(address, [])
        tried.append(self.clock())
        del tried[:-MAX_WRONG]
        self._wrong.move_to_end(address)
        while len(self._wrong) > MAX_ADDRESSES:
            self._wrong.popitem(last=False)
        return None

    @staticmethod
    def commands(session: Session, csrf: str | None) -> bool:
        """Whether an order carries this session's CSRF token."""
        return _same(csrf or "", session.csrf)


def _same(brought: str, wanted: str) -> bool:
    """Takes the same time however much of it is right."""
    return hmac.compare_digest(brought.encode("utf-8", "replace"), wanted.encode())
