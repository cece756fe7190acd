"""A FreeSWITCH that is running, asked over its inbound event socket (mod_event_socket.c).

    ◀ Content-Type: auth/request          or text/rude-rejection, where its ACL has us not
    ▶ auth PASSWORD
    ◀ Reply-Text: +OK accepted
    ▶ api status | module_exists NAME | xml_locate dialplan context name CONTEXT

No more than these three, which only read: nothing here reloads, originates or touches a call.
The answer of xml_locate may hold the call secret, so nothing of it is ever shown.
"""

from __future__ import annotations

import socket
import time
from types import TracebackType
from xml.etree import ElementTree

from eslbot import esl
from eslbot.call_secret import VARIABLE as SECRET_VARIABLE
from eslbot.dialplan_xml import matches
from eslbot.doctor.finding import Finding, warning
from workers.settings import Settings

# mod_event_socket has answered already; the others are what the dialplan uses.
MODULES = ("mod_event_socket", "mod_sndfile", "mod_dptools", "mod_commands", "mod_dialplan_xml")
KNOWN_PASSWORD = "ClueCon"  # noqa: S105  that of FreeSWITCH's example configuration
INSTALL = "freeswitch/README.md, Install; then fs_cli -x reloadxml"


class SwitchError(Exception):
    """The switch can't be asked; str() is why, do how to put it right."""

    def __init__(self, why: str, do: str = "") -> None:
        super().__init__(why)
        self.do = do


class Inbound:
    """One connection to an inbound event socket. timeout_s: for each answer. Raises SwitchError."""

    def __init__(self, host: str, port: int, password: str, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._parser = esl.Parser()
        try:
            self._socket = socket.create_connection((host, port), timeout_s)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise SwitchError(
                why, "is FreeSWITCH up, and listen-ip in event_socket.conf.xml?"
            ) from None
        try:
            self._log_in(password)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Inbound:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def api(self, command: str) -> str:
        """The answer's text. Raises SwitchError."""
        return self._ask(f"api {esl.argument(command)}", "api/response").reply

    def _log_in(self, password: str) -> None:
        first = self._next(("auth/request", "text/rude-rejection"))
        if first.type != "auth/request":
            do = "its apply-inbound-acl (event_socket.conf.xml) has to have this host"
            raise SwitchError("it refuses connections from here", do)
        if not self._ask(f"auth {password}", "command/reply").reply.startswith("+OK"):
            raise SwitchError("the password is refused", "ESLBOT_SWITCH_PASSWORD")

    def _ask(self, line: str, kind: str) -> esl.Message:
        try:
            self._socket.sendall(f"{line}\n\n".encode())
        except OSError as error:
            raise SwitchError(error.strerror or str(error)) from None
        return self._next((kind,))

    def _next(self, kinds: tuple[str, ...]) -> esl.Message:
        """The next message of these kinds; others, such as a disconnect-notice, are passed over."""
        deadline = time.monotonic() + self._timeout_s
        try:
            while True:
                message = self._parser.next_message()
                if message is not None and message.type in kinds:
                    return message
                if message is None:
                    self._socket.settimeout(max(0.001, deadline - time.monotonic()))
                    data = self._socket.recv(65536)
                    if not data:
                        raise SwitchError("it closed the connection")
                    self._parser.receive_data(data)
                if time.monotonic() > deadline:
                    raise TimeoutError
        except TimeoutError:
            why = f"no answer within {self._timeout_s:g} s"
            raise SwitchError(why, "is it an inbound event socket that listens there?") from None
        except OSError as error:
            raise SwitchError(error.strerror or str(error)) from None
        except esl.RemoteProtocolError as error:
            raise SwitchError(f"no event socket: {error}") from None


def look(settings: Settings) -> list[Finding]:
    """Nothing where ESLBOT_SWITCH_ESL is not set."""
    if not settings.switch_esl:
        return []
    host, _, port = settings.switch_esl.rpartition(":")
    password, timeout_s = settings.switch_password, settings.esl_timeout_ms / 1000
    try:
        with Inbound(host.strip("[]"), int(port), password, timeout_s) as switch:
            found = [*_state(switch), *_modules(switch), *_dialplan(switch, settings)]
    except SwitchError as error:
        return [Finding(f"ESLBOT_SWITCH_ESL: {settings.switch_esl}: {error}", error.do)]
    if password == KNOWN_PASSWORD:
        what = "ESLBOT_SWITCH_PASSWORD: is the one of FreeSWITCH's examples, which everybody knows"
        found.append(warning(what, "another one in event_socket.conf.xml"))
    return found


def _state(switch: Inbound) -> list[Finding]:
    if "is ready" in switch.api("status"):
        return []
    return [Finding("the switch: says that it is not ready", "fs_cli -x status")]


def _modules(switch: Inbound) -> list[Finding]:
    absent = [name for name in MODULES if switch.api(f"module_exists {name}") != "true"]
    return [
        Finding(f"the switch: {name} is not loaded", f"load {name}, and modules.conf.xml")
        for name in absent
    ]


def _dialplan(switch: Inbound, settings: Settings) -> list[Finding]:
    """The context as it is loaded, which the file on disk need not be."""
    name = settings.context
    text = switch.api(f"xml_locate dialplan context name {name}")
    if not text or text.startswith(("can't find", "-ERR")):
        return [Finding(f"the switch: has no dialplan context {name}", INSTALL)]
    try:
        context = ElementTree.fromstring(text)  # noqa: S314  the switch's own
    except ElementTree.ParseError:
        return [Finding(f"the switch: its context {name} can't be read")]
    found = []
    menu = settings.menu_extension
    reached = [one.get("expression") for one in context.iter("condition")
               if one.get("field") == "destination_number"]  # fmt: skip
    if matches(menu) not in reached:
        what = f"the switch: context {name} has no extension {menu}, the native menu"
        found.append(Finding(what, INSTALL))
    sockets = [
        a.get("data", "") for a in context.iter("action") if a.get("application") == "socket"
    ]
    if not sockets:
        what = f"the switch: context {name} leads no call to a listener"
        return [*found, Finding(what, INSTALL)]
    found += listeners("the switch", sockets, settings)
    return found + _secret(context, settings)


def _secret(context: ElementTree.Element, settings: Settings) -> list[Finding]:
    brought = [
        a.get("data", "").removeprefix(f"{SECRET_VARIABLE}=")
        for a in context.iter("action")
        if a.get("application") == "set" and a.get("data", "").startswith(f"{SECRET_VARIABLE}=")
    ]
    if settings.call_secrets and not set(brought) & set(settings.call_secrets):
        what = "the switch: its calls do not bring ESLBOT_CALL_SECRET, so each is refused"
        return [Finding(what, INSTALL)]
    return []


def listeners(who: str, sockets: list[str], settings: Settings) -> list[Finding]:
    """Whether one of the `socket` applications names the listener, and all are as they must be."""
    hosts = {host for data in sockets for host in data.split(" ")[0].split("|")}
    own = f"{settings.listen_host.strip('[]')}:{settings.listen_port}"
    found = []
    if own not in hosts:
        what = f"{who}: sends calls to {', '.join(sorted(hosts)[:5])}, and not to {own}"
        do = "right where something stands between; else eslbot freeswitch --listener"
        found.append(warning(what, do))
    if any(data.split(" ")[1:] != ["async", "full"] for data in sockets):
        found.append(Finding(f"{who}: its socket is not 'async full'", INSTALL))
    return found
