"""FreeSWITCH's door: its outbound socket for what is done, `unicast` for the sound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eslbot import call_secret
from eslbot.doors import DIGITS, Ears, Flag, NotOurs, Port, Target
from eslbot.esl import Event
from eslbot.media.unicast import MediaError, Unicast
from eslbot.session import Session
from workers.settings import Settings

CALLER, CALLED = "Caller-Caller-ID-Number", "Caller-Destination-Number"


class EslDoor:
    """See Door."""

    kind = "freeswitch"
    steady = True
    watched = True
    follows = True

    def __init__(self, session: Session, settings: Settings) -> None:
        self.session = session
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

    def variable(self, name: str) -> str:
        return self._headers.get(f"variable_{name}", "")

    def numbers(self) -> tuple[str, str]:
        return self._headers.get(CALLER, ""), self._headers.get(CALLED, "")

    def answer(self) -> None:
        if self._headers.get("Answer-State") != "answered":
            self.session.execute("answer", timeout_s=self._wait_s)

    def media(self) -> Port:
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

    def renew(self) -> None:
        settings = self._settings
        self.session.renew_watchdog(
            settings.watchdog_s, settings.menu_extension, settings.context, self._wait_s
        )

    def set_variables(self, values: Mapping[str, str]) -> None:
        self.session.post_variables(values, self._wait_s)

    def transfer(self, name: str, target: Target) -> None:
        self.session.transfer(target.extension, target.context, self._wait_s)

    def native_menu(self) -> None:
        settings = self._settings
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
