"""A server of HTTP/2 by TLS, in front of a plain one of HTTP/1.1; also one that does it badly."""

from __future__ import annotations

import contextlib
import http.client
import select
import ssl
import threading
from pathlib import Path

import h2.config
import h2.connection
import h2.events
from h2.errors import ErrorCodes

from tests.tls import TlsProxy


class H2Gateway(TlsProxy):
    """reset: so many requests are refused. garble: after an answer's headers comes what is no
    HTTP/2. goodbye: while it is set, connections on which nothing is asked are ended; left: those.
    """

    def __init__(self, to_port: int, pair: tuple[Path, Path], *alpn: str) -> None:
        super().__init__(to_port, pair, alpn=alpn or ("h2", "http/1.1"))
        self.reset = 0
        self.garble = False
        self.goodbye = threading.Event()
        self.left = 0

    def talk(self, inside: ssl.SSLSocket) -> None:
        if inside.selected_alpn_protocol() != "h2":
            super().talk(inside)
            return
        with contextlib.suppress(OSError), inside:
            self._talk(inside)

    def _talk(self, inside: ssl.SSLSocket) -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        connection = h2.connection.H2Connection(config)
        connection.initiate_connection()
        inside.sendall(connection.data_to_send())
        asked: dict[int, tuple[dict[str, str], bytearray]] = {}
        while True:
            while not (inside.pending() or select.select([inside], [], [], 0.02)[0]):
                if self.goodbye.is_set():
                    connection.close_connection()
                    inside.sendall(connection.data_to_send())
                    self.left += 1
                    return
            if not (data := inside.recv(65536)):
                return
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    asked[event.stream_id] = dict(event.headers), bytearray()
                elif isinstance(event, h2.events.DataReceived):
                    asked[event.stream_id][1].extend(event.data)
                    connection.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
                elif isinstance(event, h2.events.StreamEnded):
                    inside.sendall(connection.data_to_send())
                    headers, body = asked.pop(event.stream_id)
                    self._answer(inside, connection, event.stream_id, headers, bytes(body))
            inside.sendall(connection.data_to_send())

    def _answer(
        self,
        inside: ssl.SSLSocket,
        connection: h2.connection.H2Connection,
        stream: int,
        headers: dict[str, str],
        body: bytes,
    ) -> None:
        if self.reset:
            self.reset -= 1
            connection.reset_stream(stream, ErrorCodes.REFUSED_STREAM)
            return
        behind = http.client.HTTPConnection("127.0.0.1", self._to, timeout=30)
        with contextlib.closing(behind):
            plain = {name: value for name, value in headers.items() if name[0] != ":"}
            behind.request(headers[":method"], headers[":path"], body, plain)
            answer = behind.getresponse()
            found = [(":status", str(answer.status))]
            kind = answer.getheader("Content-Type")
            connection.send_headers(stream, found + ([("content-type", kind)] if kind else []))
            inside.sendall(connection.data_to_send())
            if self.garble:
                inside.sendall(b"\xff" * 1000)
                return
            while piece := answer.read1(16000):
                connection.send_data(stream, piece)
                inside.sendall(connection.data_to_send())
            connection.end_stream(stream)
            inside.sendall(connection.data_to_send())
