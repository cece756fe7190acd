"""TLS to Redis: rediss://, the server proven by its certificate and its name, ourselves by ours.

Only what the CA file names is trusted when there is one: redis-py would trust the system's CAs
as well, and so any of them could vouch for a Redis of one's own.
"""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import parse_qs, urlparse

import redis

SCHEME = "rediss://"
CA = "ESLBOT_REDIS_CA_FILE"
CERT = "ESLBOT_REDIS_CERT_FILE"
KEY = "ESLBOT_REDIS_KEY_FILE"

# Errors that the other side gives no reason for, as redis-py, OpenSSL and the system put them.
_BROKEN_OFF = ("closed by server", "reset by peer", "Broken pipe", "EOF occurred", "Protocol Error")


class TlsError(Exception):
    """A file or a setting that can't be used; str() names the setting."""


class TlsConnection(redis.SSLConnection):
    """ssl_ca_certs, ssl_certfile, ssl_keyfile as redis-py has them; read anew for each connection,
    so that a certificate can be renewed without a restart."""

    def _wrap_socket_with_ssl(self, sock: Any) -> ssl.SSLSocket:
        try:
            made = context(self.ca_certs or "", self.certfile or "", self.keyfile or "")
        except TlsError as error:
            raise redis.ConnectionError(str(error)) from None
        return made.wrap_socket(sock, server_hostname=self.host)


def options(url: str, ca_file: str, cert_file: str, key_file: str) -> dict[str, Any]:
    """What streams.connect() needs for TLS; nothing where the URL does not ask for it.

    cert_file, key_file: ours, for a Redis that asks for one (tls-auth-clients). Raises TlsError.
    """
    given = {CA: ca_file, CERT: cert_file, KEY: key_file}
    inline = sorted(name for name in parse_qs(urlparse(url).query) if name.startswith("ssl_"))
    if inline:
        # The URL would win over what is here, and could turn the checks off.
        raise TlsError(f"REDIS_URL: {inline[0]} stands in it; {', '.join(given)} are for that")
    if not url.startswith(SCHEME):
        for name, value in given.items():
            if value:
                raise TlsError(f"{name}: is set, but REDIS_URL is not {SCHEME}")
        return {}
    if bool(cert_file) != bool(key_file):
        missing, there = (KEY, CERT) if cert_file else (CERT, KEY)
        raise TlsError(f"{missing}: is not set, but {there} is")
    context(ca_file, cert_file, key_file)
    return {
        "connection_class": TlsConnection,
        "ssl_ca_certs": ca_file or None,
        "ssl_certfile": cert_file or None,
        "ssl_keyfile": key_file or None,
    }


def context(ca_file: str, cert_file: str, key_file: str) -> ssl.SSLContext:
    """Raises TlsError. ca_file "": the system's CAs."""
    try:
        made = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise TlsError(f"{CA}: {ca_file}: {_cause(error)}") from None
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert_file:
        for name, path in ((CERT, cert_file), (KEY, key_file)):
            try:
                with open(path, "rb"):  # noqa: PTH123
                    pass
            except OSError as error:
                raise TlsError(f"{name}: {path}: {_cause(error)}") from None
        try:
            # With a password of its own it would be asked for on the terminal.
            made.load_cert_chain(cert_file, key_file, password="")
        except (OSError, ssl.SSLError) as error:
            cause = f"{cert_file}, {key_file}: {_cause(error)}"
            raise TlsError(f"{CERT}, {KEY}: {cause}") from None
    return made


def hopeless(error: BaseException | None) -> bool:
    """Whether a connection's error will not go away by waiting: a certificate that does not do."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) or "TLSV13_ALERT" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def hint(client: redis.Redis, error: Exception) -> str:
    """What a first connection that failed without saying why may have failed of, or ""."""
    by_tls = client.connection_pool.connection_class is TlsConnection
    if by_tls and isinstance(error, redis.TimeoutError):
        return " (does this Redis speak TLS? Without it, REDIS_URL begins with redis://)"
    if not any(sign in str(error) for sign in _BROKEN_OFF):
        return ""
    if by_tls:
        return f" (does this Redis want another certificate of ours? {CERT})"
    return f" (does this Redis want TLS? Then REDIS_URL begins with {SCHEME})"


def _cause(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not PEM, or not a pair ({error.reason or 'no certificate in it'})"
    return error.strerror or type(error).__name__
