"""Certificates made for a test, and a proxy that ends TLS in front of a plain server."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

NAMES = "DNS:localhost,IP:127.0.0.1"


class Authority:
    """A certificate authority in a folder. Needs the openssl command."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            assert "CI" not in os.environ, "CI has to have the openssl command"
            pytest.skip("no openssl command here to make certificates with")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.cert = folder / "ca.crt"
        _openssl(folder, "req", "-x509", *KEY_ARGUMENTS, "-keyout", "ca.key", "-out", "ca.crt",
                 "-days", "2", "-subj", f"/CN=test {folder.name}")  # fmt: skip

    def issue(self, name: str, names: str = NAMES, days: int = 2) -> tuple[Path, Path]:
        """Certificate and key. days -1: it has expired."""
        _openssl(self._folder, "req", *KEY_ARGUMENTS, "-keyout", f"{name}.key", "-out", "csr",
                 "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}")  # fmt: skip
        _openssl(self._folder, "x509", "-req", "-in", "csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                 "-days", str(days), "-copy_extensions", "copyall",
                 "-out", f"{name}.crt")  # fmt: skip
        return self._folder / f"{name}.crt", self._folder / f"{name}.key"


KEY_ARGUMENTS = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def _openssl(folder: Path, *arguments: str) -> None:
    run = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


class TlsProxy:
    """Ends TLS, and passes on what is in it. clients: whose certificates it asks for.

    received: all that was passed on. connections: how many were made to it. alpn: the protocols
    that it offers.
    """

    def __init__(
        self,
        to_port: int,
        pair: tuple[Path, Path],
        clients: Path | None = None,
        alpn: Sequence[str] = (),
    ) -> None:
        self._to = to_port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*pair)
        if clients is not None:
            self._context.load_verify_locations(clients)
            self._context.verify_mode = ssl.CERT_REQUIRED
        if alpn:
            self._context.set_alpn_protocols(list(alpn))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.received = bytearray()
        self.connections = 0
        self.spoken: list[str | None] = []  # what each connection agreed on by ALPN

    def __enter__(self) -> TlsProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                raw, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        with contextlib.suppress(OSError):
            raw.settimeout(30)
            try:
                inside = self._context.wrap_socket(raw, server_side=True)
            except OSError:
                raw.close()
                return
            self.spoken.append(inside.selected_alpn_protocol())
            inside.settimeout(None)
            self.talk(inside)

    def talk(self, inside: ssl.SSLSocket) -> None:
        behind = socket.create_connection(("127.0.0.1", self._to))
        back = threading.Thread(target=_pump, args=(behind, inside, None), daemon=True)
        back.start()
        _pump(inside, behind, self.received)


def _pump(source: socket.socket, target: socket.socket, seen: bytearray | None) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if seen is not None:
                seen += data
            target.sendall(data)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
