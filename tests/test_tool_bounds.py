"""How much of a tool's answer is read, and where a request may go."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests import acting_bot
from tests.provider import Provider
from workers.bot.tools import Tool
from workers.http_provider import Deadline, ProviderError
from workers.http_provider import Provider as Client
from workers.settings import Settings
from workers.tools.runner import MAX_ANSWER_BYTES, Runner
from workers.tools.values import BadArguments, arguments


class Backend(BaseHTTPRequestHandler):
    """Of `/SIZE/customers/...`: an answer with so many characters more than it needs."""

    def do_GET(self) -> None:
        more = "x" * int(self.path.split("/")[1])
        answer = json.dumps({"balance": 1250, "due": "2026-12-03", "more": more}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        try:
            self.wfile.write(answer)
        except ConnectionError:
            self.close_connection = True  # nobody reads on

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def backend() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Backend) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


@pytest.mark.parametrize(("more", "status"), [(0, "ok"), (MAX_ANSWER_BYTES, "failed")])
def test_an_answer_of_any_length_is_not_read(
    tmp_path: Path, backend: str, more: int, status: str
) -> None:
    bot = acting_bot.bot(tmp_path, f"{backend}/{more}")
    found = Runner(Settings(), None).run(bot, "customer", {"account": "4271"}, "k", "en")
    assert found.status == status


def test_a_request_goes_to_no_other_host_than_its_connections() -> None:
    with Provider() as server, Provider() as other:
        client = Client(server.url, "", connect_timeout_s=1.0)
        for url in (other.url, server.url.replace("http:", "https:"), "http://other.invalid/v1"):
            with (
                pytest.raises(ProviderError, match="another host"),
                client.send("GET", url, {}, None, Deadline(5.0)),
            ):
                pytest.fail("it was sent")
        client.close()
        assert (server.connections, other.connections) == (0, 0)


@pytest.mark.parametrize("value", ["purple", "", "Red", "red ", 1, True, ["red"], {"red": 1}])
def test_a_choice_is_one_of_its_options(value: object) -> None:
    kind = {"type": "choice", "options": ["red", "green"]}
    tool = Tool.model_validate(
        {"description": "d", "url": "http://h/{c}", "arguments": {"c": kind}, "on_error": "e"}
    )
    assert arguments(tool, {"c": "red"}) == {"c": "red"}
    with pytest.raises(BadArguments):
        arguments(tool, {"c": value})
