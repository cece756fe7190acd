"""Several listeners on one port: each gets calls, and one that ends leaves them to the others."""

from __future__ import annotations

import ipaddress
import socket as plain
from collections import Counter
from typing import Any

import gevent
import pytest
from gevent import socket

from eslbot.server import Server, ServerError

NETWORKS = (ipaddress.ip_network("127.0.0.0/8"),)


def server(port: int, got: Counter[str], name: str, share: bool = True) -> Server:
    def handle(sock: Any, address: Any) -> None:
        got[name] += 1
        sock.close()

    one = Server(
        "127.0.0.1", port, handle,
        allowed_networks=NETWORKS, max_connections_per_s=1000, share_port=share,
    )  # fmt: skip
    one.start()
    return one


def dial(port: int, times: int) -> None:
    for _ in range(times):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as switch:
            assert switch.recv(10) == b""  # its handler has ended


@pytest.mark.skipif(not hasattr(plain, "SO_REUSEPORT"), reason="Linux deals out, others do not")
def test_calls_are_dealt_out_and_go_on_when_one_listener_ends():
    got: Counter[str] = Counter()
    with gevent.Timeout(60):
        first = server(0, got, "first")
        second = server(first.port, got, "second")
        try:
            dial(
                first.port, 64
            )  # by their ports: that one gets none of them is out of the question
            assert got["first"] and got["second"]
            port = first.port
            first.stop()
            before = got["second"]
            dial(port, 8)
            assert got["second"] == before + 8
        finally:
            first.stop()
            second.stop()


def test_a_port_is_not_shared_with_who_did_not_ask_for_it():
    got: Counter[str] = Counter()
    alone = server(0, got, "alone", share=False)
    try:
        with pytest.raises(ServerError, match="already in use"):
            server(alone.port, got, "other")
    finally:
        alone.stop()
