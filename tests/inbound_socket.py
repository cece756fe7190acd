"""A stand-in of FreeSWITCH's inbound event socket, as far as `eslbot check` talks to it
(mod_event_socket.c: listener_run, parse_command; mod_commands.c for the answers)."""

from __future__ import annotations

import socket
import threading
from xml.etree import ElementTree

READY = "UP 0 years, 0 days, 1 hour\nFreeSWITCH (Version 1.11.3 -dev) is ready\n0 session(s)\n"


class InboundSocket:
    """modules: those that are loaded. dialplan: XML of a file with contexts, or "". rude: its ACL
    has us not. mute: it accepts, and says nothing."""

    def __init__(self, dialplan: str = "", password: str = "a-password-of-ours") -> None:
        self.modules = {"mod_event_socket", "mod_sndfile", "mod_dptools", "mod_commands",
                        "mod_dialplan_xml"}  # fmt: skip
        self.dialplan = dialplan
        self.password = password
        self.status = READY
        self.rude = False
        self.mute = False
        self.asked: list[str] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()

    def __enter__(self) -> InboundSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _run(self) -> None:
        while True:
            try:
                one, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    def _serve(self, one: socket.socket) -> None:
        with one, one.makefile("rb") as lines:
            if self.mute:
                lines.read()
                return
            if self.rude:
                text = b"Access Denied, go away.\n"
                one.sendall(b"Content-Type: text/rude-rejection\nContent-Length: 24\n\n" + text)
                return
            one.sendall(b"Content-Type: auth/request\n\n")
            while line := lines.readline():
                if command := line.decode().strip():
                    self.asked.append(command)
                    one.sendall(self._answer(command))

    def _answer(self, command: str) -> bytes:
        name, _, rest = command.partition(" ")
        if name == "auth":
            reply = "+OK accepted" if rest == self.password else "-ERR invalid"
            return f"Content-Type: command/reply\nReply-Text: {reply}\n\n".encode()
        assert name == "api", command
        body = self._api(*rest.split(" ")).encode()
        return b"Content-Type: api/response\nContent-Length: %d\n\n%s" % (len(body), body)

    def _api(self, name: str, *of: str) -> str:
        if name == "status":
            return self.status
        if name == "module_exists":
            return "true" if of[0] in self.modules else "false"
        assert (name, *of[:3]) == ("xml_locate", "dialplan", "context", "name")
        if self.dialplan:
            for context in ElementTree.fromstring(self.dialplan).iter("context"):
                if context.get("name") == of[3]:
                    return ElementTree.tostring(context, encoding="unicode")
        return "can't find anything\n"  # as a FreeSWITCH 1.11.3-dev was seen to say
