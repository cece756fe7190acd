"""FreeSWITCH's door: its outbound socket for what is done; `unicast` for the sound, or one of the
modules of modules.py where the dialplan says so:

    eslbot_media=stream|fork        which module; unset: unicast
    eslbot_media_back=frames|files  how its build takes sound; unset: frames
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import gevent

from eslbot import call_secret
from eslbot.doors import DIGITS, REACH, DoorError, Ears, Flag, NotOurs, Port, Target
from eslbot.doors.modules import MODULES, Module, ModulePort, Tickets
from eslbot.esl import Event
from eslbot.media.unicast import MediaError, Unicast
from eslbot.session import Session
from workers.settings import Settings

log = logging.getLogger(__name__)
CALLER, CALLED = "Caller-Caller-ID-Number", "Caller-Destination-Number"


class EslDoor:
    """See Door. tickets: of the WebSocket port, None where there is none."""

    watched = True
    follows = True

    def __init__(
        self, session: Session, settings: Settings, tickets: Tickets | None = None
    ) -> None:
        self.kind = "freeswitch"
        self.steady = True
        self.session = session
        self._tickets = tickets
        self._module: Module | None = None
        self._file_event = ""
        self._module_port: ModulePort | None = None
        self._settings = settings
        self._wait_s = settings.esl_timeout_ms / 1000
        self._headers: Mapping[str, str] = {}
        self._ears: Ears | None = None

    @property
    def name(self) -> str:
        return self.session.name

    @property
    def uuid(self) -> str:
        return self.session.uuid

    @property
    def closed(self) -> Flag:
        flag: Flag = self.session.closed
        return flag

    def arrive(self) -> None:
        self._headers = self.session.connect(self._wait_s)
        if not call_secret.admits(self._headers, self._settings.call_secrets):
            raise NotOurs("secret", "without the call secret")
        self._module = MODULES.get(self.variable("eslbot_media"))
        if self._module is not None:
            self.kind, self.steady = self._module.kind, False
            self._file_event = self._module.event

    def attach(self, ears: Ears) -> None:
        self._ears = ears
        self.session.on_event = self._on_event
        self.session.subscribe(self._wait_s)
        self.session.linger(2, self._wait_s)
        if self._settings.call_secrets:
            # Its work is done: call records, later events and the next leg need not have it.
            self.session.post_variables({call_secret.VARIABLE: ""}, self._wait_s)

    def _on_event(self, event: Event) -> None:
        ears = self._ears
        assert ears is not None
        name = event.get("Event-Name")
        if name == "DTMF":
            digit = event.get("DTMF-Digit", "")
            if digit in DIGITS:
                ears.key(digit)
        elif name == "CHANNEL_HANGUP":
            ears.hung_up()
        elif name == "CHANNEL_HANGUP_COMPLETE":
            # Only now it is known who hung up.
            disposition = event.get("variable_sip_hangup_disposition", "")
            ears.over(event.get("Hangup-Cause", ""), disposition)
        elif name == "CHANNEL_UNPARK":
            ears.taken()
        elif name == "CUSTOM" and event.get("Event-Subclass") == self._file_event:
            self._on_file(event.body)

    def variable(self, name: str) -> str:
        return self._headers.get(f"variable_{name}", "")

    def numbers(self) -> tuple[str, str]:
        return self._headers.get(CALLER, ""), self._headers.get(CALLED, "")

    def answer(self) -> None:
        if self._headers.get("Answer-State") != "answered":
            self.session.execute("answer", timeout_s=self._wait_s)

    def media(self) -> Port:
        if self._module is not None:
            return self._open_module(self._module)
        return self._unicast()

    def _unicast(self) -> Port:
        told = self.session.headers.get("Channel-Read-Codec-Rate", "8000")
        if not (told.isascii() and told.isdigit() and len(told) < 7):
            raise MediaError("the switch names no rate of its codec")
        port = Unicast(self._settings.media_host, int(told))
        try:
            self.session.unicast(*port.address, timeout_s=self._wait_s)
        except BaseException:
            port.close()
            raise
        return port

    # -- sound by a module

    def _open_module(self, module: Module) -> Port:
        if self._tickets is None:
            raise MediaError(f"eslbot_media={module.kind} needs ESLBOT_WEBSOCKET_PORT")
        settings = self._settings
        frames_back = self.variable("eslbot_media_back") != "files"
        port = self._module_port = ModulePort(module, frames_back, self._break)
        if not frames_back:
            self.session.subscribe_custom(module.event, self._wait_s)
        ticket = self._tickets.issue(port)
        gevent.spawn_later(settings.media_timeout_ms / 1000, self._tickets.void, ticket)
        host = f"[{settings.media_host}]" if ":" in settings.media_host else settings.media_host
        url = f"ws://{host}:{settings.websocket_port}"
        words = module.start(self.uuid, url, ticket, frames_back)
        reply = self.session.api(*words, timeout_s=self._wait_s)
        if not reply.startswith("+OK"):
            raise MediaError(f"FreeSWITCH does not start {module.api}: is the module loaded?")
        port.on_lost = self._on_media_lost
        if port.lost:
            raise MediaError(f"{module.kind}: the module has closed its WebSocket")
        return port

    def _on_media_lost(self) -> None:
        if self._ears is not None and self._module_port is not None:
            self._ears.media_gone(f"{self.kind}: the module has closed its WebSocket")

    def _on_file(self, body: bytes) -> None:
        """The module has written what we sent to a file: have it played."""
        port = self._module_port
        if port is None or not port.reported():
            return
        try:
            path = json.loads(body)["file"]
        except (ValueError, TypeError, KeyError, RecursionError):
            log.error("%s: %s reports no file", self.name, self.kind)
            return
        if isinstance(path, str):
            self.session.play_next(path, self._wait_s)

    def _break(self) -> None:
        """Whatever plays or waits to be played is over. Called by the clock: must not wait."""
        gevent.spawn(self._break_now)

    def _break_now(self) -> None:
        try:
            self.session.api("uuid_break", self.uuid, "all", timeout_s=self._wait_s)
        except DoorError as error:
            log.info("%s: uuid_break: %s", self.name, error)

    def _stop_module(self) -> None:
        """Before the caller is somebody else's: nothing of them may come to us any more."""
        port, self._module_port = self._module_port, None
        if port is not None and self._module is not None:
            self.session.api(*self._module.stop(self.uuid), timeout_s=self._wait_s)

    def renew(self) -> None:
        settings = self._settings
        self.session.renew_watchdog(
            settings.watchdog_s, settings.menu_extension, settings.context, self._wait_s
        )

    def set_variables(self, values: Mapping[str, str]) -> None:
        self.session.post_variables(values, self._wait_s)

    def transfer(self, name: str, target: Target, values: Mapping[str, str]) -> None:
        self._stop_module()
        extension, context = target.extension, target.context
        if extension is None:
            extension, context = f"{REACH}{name}", self._settings.context
        self.session.transfer(extension, context, self._wait_s, values)

    def native_menu(self) -> None:
        settings = self._settings
        self._stop_module()
        self.session.transfer(settings.menu_extension, settings.context, self._wait_s)

    def hang_up(self) -> None:
        self.session.hangup("NORMAL_CLEARING")

    def let_go(self) -> None:
        self.session.mute(self._wait_s)

    def tell(self, what: str, fields: Mapping[str, Any]) -> None:
        """The switch has no use for it."""

    def network(self) -> dict[str, int]:
        return {}

    def switch_status(self) -> str:
        return self.session.api("status", timeout_s=self._wait_s)

    def close(self) -> None:
        self.session.close()
