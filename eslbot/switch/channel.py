"""One call in the stand-in switch: dialplan, event socket, unicast audio, recording.

answer ─▶ watchdog ─▶ socket host|host ─▶ (parked, unicast) ─▶ native menu, when it ends
"""

from __future__ import annotations

import re
import time
import uuid as uuids
from collections.abc import Callable
from dataclasses import dataclass, field

import gevent
import numpy as np
from gevent import socket
from gevent.event import Event

from eslbot.switch import events
from eslbot.switch.clock import CLOCK
from eslbot.switch.media import Frames, Media
from eslbot.switch.peer import Peer
from eslbot.switch.recording import Recording

ENDS_UNICAST = {"playback", "say", "play_and_get_digits", "record", "bridge", "read"}
REACH = "eslbot_reach_"
HARMLESS = {"set", "multiset", "unset", "log", "info", "answer", "sleep", "park", "export"}


@dataclass(slots=True)
class Dialplan:
    """What the dialplan around the socket does; see freeswitch/dialplan."""

    listeners: list[str]
    socket_resume: bool = True
    watchdog_s: float | None = 3.0
    menu_extension: str = "9000"
    context: str = "eslbot"
    destinations: set[str] = field(default_factory=lambda: {"2000", "2001"})
    # What eslbot_reach_NAME comes to: whether somebody answers.
    reaches: dict[str, bool] = field(default_factory=dict)
    full: bool = True
    # What is heard where the call goes on without a listener: "native", "extension".
    audio: dict[str, bytes] = field(default_factory=dict)
    # What `api status` says.
    sessions: int = 1
    max_sessions: int = 1000
    idle_percent: float = 98.63


class Channel:
    """One call. Starts when dial() is called.

    where: "dialplan", "socket", "native:EXT", "extension:EXT", "stuck", "hungup".
    crashed: what of ours would have crashed FreeSWITCH, or None.
    history: (seconds since the start, what happened).
    """

    def __init__(
        self,
        dialplan: Dialplan,
        *,
        number: str = "1001",
        name: str = "caller",
        variables: dict[str, str] | None = None,
        answered: bool = True,
        ptime_ms: int = 20,
        rate: int = 8000,
        unicast_works: bool = True,
        keep_audio: bool = True,
        uuid: str = "",
    ) -> None:
        self.uuid = uuid or str(uuids.uuid4())
        self.dialplan = dialplan
        self.where = "dialplan"
        self.crashed: str | None = None
        self.history: list[tuple[float, str]] = []
        self.closed = Event()
        self.recording = Recording(rate, ptime_ms, keep_audio)
        self.frames = Frames()
        # L16, heard behind the caller from its beginning to its end, over and over.
        self.background = b""
        self._background_at = 0
        self.media_flows = True  # False: the switch sends no audio any more
        self.peer: Peer | None = None
        self._began = time.monotonic()
        self._rate = rate
        self._frame_bytes = rate * 2 * ptime_ms // 1000
        self._silence = b"\xff" * self._frame_bytes
        self._tick_s = ptime_ms / 1000
        self._unicast_works = unicast_works
        self._to_say = bytearray()
        self._media: Media | None = None
        self._elsewhere = bytearray()  # still to be heard of the menu's or an agent's voice
        self._watchdog: tuple[float, str] | None = None
        self._parked_since: float | None = None
        self._changed = Event()
        channel_name = f"sofia/stand-in/{number}@127.0.0.1"
        codec = {"Channel-Read-Codec-Name": "PCMU" if rate == 8000 else "L16"}
        self.headers = {
            k: v for k, v in events.TEMPLATE.items() if not k.startswith("variable_")
        } | {
            "Unique-ID": self.uuid,
            "Channel-Unique-ID": self.uuid,
            "Caller-Unique-ID": self.uuid,
            "Channel-Call-UUID": self.uuid,
            "Channel-Name": channel_name,
            "Caller-Channel-Name": channel_name,
            "Caller-Caller-ID-Name": name,
            "Caller-Caller-ID-Number": number,
            "Caller-ANI": number,
            "Channel-Read-Codec-Rate": str(rate),
            "Answer-State": "answered" if answered else "ringing",
        }
        self.headers |= codec
        if not answered:
            for header in [h for h in self.headers if "-Codec-" in h]:
                del self.headers[header]
        captured = {
            k.removeprefix("variable_"): v
            for k, v in events.TEMPLATE.items()
            if k.startswith("variable_")
        }
        self.variables = captured | {"uuid": self.uuid, "call_uuid": self.uuid}
        self.variables["socket_resume"] = str(dialplan.socket_resume).lower()
        self.variables |= variables or {}
        self._codec = codec | {"Channel-Read-Codec-Rate": str(rate)}

    # -- what the caller does

    def dial(self) -> None:
        gevent.spawn(self._run_dialplan)
        CLOCK.add(self._tick_s, self._tick)

    def say(self, pcm: bytes) -> None:
        """Speak: L16 mono at the call's rate, after what is still to be said."""
        self._to_say += pcm

    @property
    def saying(self) -> bool:
        return bool(self._to_say)

    @property
    def lost_frames(self) -> int:
        return self.frames.lost

    @property
    def corrupt_frames(self) -> int:
        return self.frames.corrupt

    def keys(self, digits: str, gap_s: float = 0.16) -> None:
        """Press keys, one after another; each is reported 60 ms after its release."""
        for digit in digits:
            self.sleep(gap_s)
            extra = {"DTMF-Digit": digit, "DTMF-Duration": "1280", "DTMF-Source": "RTP"}
            self._tell("DTMF", extra, with_variables=False)
            self._note(f"key {digit}")

    def hangup(self, cause: str = "NORMAL_CLEARING", disposition: str = "recv_bye") -> None:
        """disposition: recv_bye where the caller ends the call, send_bye where the switch does."""
        if self.where == "hungup":
            return
        self.variables["sip_hangup_disposition"] = disposition
        self._go("hungup")
        self.headers["Answer-State"] = "hangup"
        self.headers["Hangup-Cause"] = cause
        self.headers["Channel-State"] = "CS_HANGUP"
        self._end_unicast()
        self._tell("CHANNEL_HANGUP", {})
        self._tell("CHANNEL_UNPARK", {})
        self._complete("socket", "_none_", str(uuids.uuid4()))
        self._tell("CHANNEL_HANGUP_COMPLETE", {})
        if self.peer and not self.peer.ended:
            gevent.spawn(self.peer.hung_up)
        self.closed.set()

    # -- waiting

    @staticmethod
    def sleep(seconds: float) -> None:
        gevent.sleep(seconds)

    def wait_for(
        self, condition: Callable[[], object], within_s: float, look_every_s: float = 0.01
    ) -> bool:
        """Until the condition holds; False when it does not in time."""
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            gevent.sleep(look_every_s)
        return True

    @property
    def seconds(self) -> float:
        """Since the call was made."""
        return time.monotonic() - self._began

    def _note(self, what: str) -> None:
        self.history.append((self.seconds, what))

    def _go(self, where: str) -> None:
        self.where = where
        self._elsewhere = bytearray(self.dialplan.audio.get(where.partition(":")[0], b""))
        self._note(where)

    # -- the dialplan

    def _run_dialplan(self) -> None:
        plan = self.dialplan
        if plan.watchdog_s:
            self._watchdog = (time.monotonic() + plan.watchdog_s, plan.menu_extension)
        for listener in plan.listeners:
            host, _, port = listener.rpartition(":")
            try:
                sock = socket.create_connection((host, int(port)), timeout=5)
            except OSError:
                continue
            sock.settimeout(None)
            self.variables["socket_host"] = host
            self._go("socket")
            self._parked_since = time.monotonic()
            self.peer = Peer(self, sock, plan.full)
            self.peer.serve()
            if self.where == "socket":
                self._listener_died()
            return
        self._native()

    def _listener_died(self) -> None:
        """The measured behaviour: with socket_resume the dialplan goes on in every case."""
        self._note("listener closed")
        assert self.peer is not None and self._parked_since is not None
        parked = self.peer.connected and time.monotonic() - self._parked_since > 0.1
        if self.variables.get("socket_resume") == "true" or parked:
            self._native()
        else:
            self._end_unicast()
            self._go("stuck")

    def _native(self, extension: str | None = None) -> None:
        self._end_unicast()
        self._watchdog = None
        self._go(f"native:{extension or self.dialplan.menu_extension}")

    def _transfer(self, extension: str) -> None:
        self._end_unicast()
        if extension == self.dialplan.menu_extension:
            self._native(extension)
        elif extension in self.dialplan.destinations:
            self._go(f"extension:{extension}")
        elif extension.removeprefix(REACH) in self.dialplan.reaches:
            self._reach(extension)
        else:
            self.hangup("NO_ROUTE_DESTINATION", "send_bye")

    def _reach(self, extension: str) -> None:
        """An attended transfer, or REFER: the caller stays there, or comes in once more."""
        name = extension.removeprefix(REACH)
        self._watchdog = None
        self.variables["socket_resume"] = "false"
        self._go(f"extension:{extension}")
        if not self.dialplan.reaches[name]:
            self._note(f"nobody took it at {name}")
            for variable in ("ai_intent", "eslbot_whisper"):
                self.variables.pop(variable, None)
            self.variables |= {"eslbot_back": name, "socket_resume": "true"}
            gevent.spawn(self._run_dialplan)

    # -- what the listener asks for

    def message(self, headers: dict[str, str]) -> None:
        """sendmsg."""
        if headers.get("call-command") == "unicast":
            self._unicast(headers)
        elif headers.get("call-command") == "hangup":
            self.hangup(headers.get("hangup-cause", "NORMAL_CLEARING"), "send_bye")
        else:
            gevent.spawn(self._execute, headers)

    def _execute(self, headers: dict[str, str]) -> None:
        application = headers.get("execute-app-name", "")
        arg = self._expand(headers.get("execute-app-arg", ""))
        event_uuid = headers.get("event-uuid", str(uuids.uuid4()))
        gevent.sleep(0.02)  # the session thread looks once per frame
        if self.where == "hungup":
            return
        extra = {"Application": application, "Application-Data": arg}
        self._tell("CHANNEL_EXECUTE", extra | {"Application-UUID": event_uuid})
        self._note(f"execute {application} {arg}")
        response = "_none_"
        if application in ENDS_UNICAST:
            self._end_unicast()
            response = "FILE NOT FOUND" if "no_such" in arg else "FILE PLAYED"
        elif application == "answer":
            self.headers |= self._codec | {"Answer-State": "answered"}
            self._tell("CHANNEL_ANSWER", {})
        elif application == "set":
            name, _, value = arg.partition("=")
            self.variables[name] = value
        elif application == "hangup":
            self.hangup(arg or "NORMAL_CLEARING", "send_bye")
            return
        elif application == "transfer":
            self._complete(application, response, event_uuid, arg)
            self._tell("CHANNEL_UNPARK", {})
            self._complete("socket", "_none_", str(uuids.uuid4()))
            self._transfer(arg.split()[0])
            return
        elif application not in HARMLESS:
            # switch_core_session.c: an application that is not loaded hangs up.
            self.hangup("DESTINATION_OUT_OF_ORDER", "send_bye")
            return
        self._complete(application, response, event_uuid, arg)

    def _expand(self, text: str) -> str:
        """FreeSWITCH expands ${...} in arguments, apis included."""
        for found in re.findall(r"\$\{([^}]*)\}", text):
            self._note(f"expanded {found}")
            text = text.replace(f"${{{found}}}", self.variables.get(found, ""))
        return text

    def _unicast(self, headers: dict[str, str]) -> None:
        codec = self.headers.get("Channel-Read-Codec-Name")
        if self.headers.get("Answer-State") != "answered" or not codec:
            # switch_ivr.c, switch_ivr_activate_unicast: a null pointer.
            self.crashed = "unicast before the channel has a read codec"
            self._note(f"CRASH: {self.crashed}")
            self.hangup("CRASH")
            return
        self._note("unicast")
        if not self._unicast_works:
            return
        self._end_unicast()
        remote = (headers["remote-ip"], int(headers["remote-port"]))
        local = headers.get("local-ip", "127.0.0.1")
        self._media = Media(local, remote, self._frame_bytes, self.frames)

    def _end_unicast(self) -> None:
        if self._media is not None:
            self._media.close()
            self._media = None
            self._note("unicast ended")

    def api(self, line: str) -> str:
        """An api command's answer, in FreeSWITCH's words."""
        name, _, rest = line.partition(" ")
        words = rest.split(" ")
        self._note(f"api {line}")
        match name:
            case "uuid_setvar_multi" | "uuid_setvar":
                if words[0] != self.uuid:
                    return "-ERR No such channel!\n"
                pairs = rest[len(self.uuid) + 1 :]
                if name == "uuid_setvar":
                    pairs = pairs.replace(" ", "=", 1)
                for pair in pairs.split(";"):
                    key, _, value = pair.partition("=")
                    self.variables[key] = value
                return "+OK\n"
            case "uuid_getvar":
                return self.variables.get(words[1], "_undef_")
            case "uuid_exists":
                return "true" if words[0] == self.uuid else "false"
            case "sched_del":
                had, self._watchdog = self._watchdog, None
                return f"+OK Deleted: {int(had is not None)}\n"
            case "sched_transfer":
                at = time.monotonic() + float(words[0].lstrip("+"))
                self._watchdog = (at, words[2])
                return "+OK\n"
            case "uuid_break":
                return "+OK\n"
            case "uuid_displace":
                return "+OK Success\n"
            case "uuid_kill":
                self.hangup("NORMAL_CLEARING", "send_bye")
                return "+OK\n"
            case "status":
                return self._status()
        return f"-ERR {name} Command not found!\n"

    def _status(self) -> str:
        plan = self.dialplan
        return (
            "UP 0 years, 0 days, 0 hours, 0 minutes, 4 seconds, 753 milliseconds, "
            "314 microseconds\n"
            "FreeSWITCH (Version 1.11.3-dev  64bit) is ready\n"
            "0 session(s) since startup\n"
            f"{plan.sessions} session(s) - peak 0, last 5min 0 \n"
            "0 session(s) per Sec out of max 200, peak 0, last 5min 0 \n"
            f"{plan.max_sessions} session(s) max\n"
            f"min idle cpu 0.00/{plan.idle_percent:.2f}\n"
            "Current Stack Size/Max 240K/8192K\n"
        )

    def _tell(self, name: str, extra: dict[str, str], with_variables: bool = True) -> None:
        if self.peer is not None:
            self.peer.event(name, extra, with_variables)

    def _complete(self, application: str, response: str, event_uuid: str, arg: str = "") -> None:
        extra = {"Application": application, "Application-Data": arg}
        extra |= {"Application-Response": response, "Application-UUID": event_uuid}
        self._tell("CHANNEL_EXECUTE_COMPLETE", extra)

    # -- media: one tick per ptime, by the process' clock

    def _tick(self) -> bool:
        """False: the call is over, and this was the last one."""
        if self.closed.is_set():
            return False
        if self._watchdog and time.monotonic() >= self._watchdog[0]:
            extension = self._watchdog[1]
            self._note("watchdog")
            self._watchdog = None
            self._native(extension)
        spoken = b""
        if self._to_say:
            spoken = bytes(self._to_say[: self._frame_bytes]).ljust(self._frame_bytes, b"\0")
            del self._to_say[: self._frame_bytes]
        if self.background:
            spoken = self._with_background(spoken)
        heard = b""
        if self._media is not None:
            if self.media_flows:
                self._media.send(spoken or self._silence)
            heard = self._media.take()
        elif self._elsewhere:
            heard = bytes(self._elsewhere[: self._frame_bytes])
            del self._elsewhere[: self._frame_bytes]
        self.recording.tick(spoken, heard)
        return True

    def _with_background(self, spoken: bytes) -> bytes:
        at, size = self._background_at, self._frame_bytes
        noise = (self.background[at : at + size] + self.background[:size])[:size].ljust(size, b"\0")
        self._background_at = (at + size) % len(self.background)
        if not spoken:
            return noise
        both = np.frombuffer(spoken, "<i2").astype(np.int32) + np.frombuffer(noise, "<i2")
        mixed: bytes = np.clip(both, -32768, 32767).astype("<i2").tobytes()
        return mixed
