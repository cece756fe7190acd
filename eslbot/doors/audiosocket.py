"""Asterisk's door: AudioSocket for the sound and the keys, FastAGI before and after it.

    dialplan ── begin ──▶ what it knows       AudioSocket() ── sound, keys ──▶ a call
    dialplan ── end ────▶ what became of it, what is known, where to go

What Asterisk can't be told here: to transfer, to set a variable, how long to wait for us. A call is
handed over by ending AudioSocket; the dialplan goes on and asks.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gevent

from eslbot.doors import REACH, Ears, NotOurs, Port, Target
from eslbot.doors import audiosocket_wire as wire
from eslbot.doors.audiosocket_wire import WireError
from eslbot.doors.outflow import Outflow
from eslbot.doors.tcp import TcpDoor
from eslbot.esl import VARIABLE
from eslbot.media.stream import FRAME, StreamPort
from eslbot.media.unicast import MediaError
from workers.resample import RATES_HZ

log = logging.getLogger(__name__)

UUID_S = 2.0
KEEP_S = 60.0
MAX_KEPT = 2000


class Kept:
    """What is known of calls that are to come, or are over: a bounded shelf, by UUID."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[float, dict[str, str]]] = OrderedDict()

    def put(self, uuid: str, values: Mapping[str, str]) -> None:
        self._kept.pop(uuid, None)
        self._kept[uuid] = (time.monotonic() + KEEP_S, dict(values))
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)

    def fresh(self, within_s: float) -> bool:
        """Whether something was put there in the last seconds, and not taken yet."""
        last = next(reversed(self._kept.values()), (0.0, {}))[0]
        return last - KEEP_S > time.monotonic() - within_s

    def take(self, uuid: str) -> dict[str, str] | None:
        """Once."""
        until, values = self._kept.pop(uuid, (0.0, {}))
        return values if until > time.monotonic() else None


@dataclass(slots=True)
class Shelves:
    """What the AudioSocket and the FastAGI connections of a listener share.

    begun: variables by which calls will begin. ended: variables for the dialplan, of calls that
    were ended on purpose. live: UUIDs with a connection.
    """

    begun: Kept = field(default_factory=Kept)
    ended: Kept = field(default_factory=Kept)
    live: set[str] = field(default_factory=set)


class AudioSocketDoor(TcpDoor):
    """Made by greet(), which knows the UUID before there is a call."""

    kind = "audiosocket"

    def __init__(self, sock: Any, shelves: Shelves, first: bytes) -> None:
        """first: what was read already."""
        super().__init__(sock)
        self._shelves = shelves
        self._parser = wire.Parser()
        self._parser.receive_data(first)
        self._out = Outflow(sock, self._lost)
        self._port: StreamPort | None = None
        self._rate = 0  # of what comes, known from the first frame
        self._known: dict[str, str] = {}
        self._registered = False
        self._shelved = False

    def greet(self, secret_wanted: bool) -> None:
        """Wait for the UUID. Raises NotOurs."""
        try:
            with gevent.Timeout(UUID_S):
                while (frame := self._parser.next_frame()) is None:
                    data = self.sock.recv(4096)
                    if not data:
                        raise NotOurs("protocol", "closed before it said a UUID")
                    self._parser.receive_data(data)
        except gevent.Timeout:
            raise NotOurs("protocol", f"no UUID in {UUID_S:.0f} s") from None
        except WireError as error:
            raise NotOurs("protocol", str(error)) from None
        except OSError as error:
            raise NotOurs("protocol", f"connection lost: {error.strerror}") from None
        assert isinstance(frame, wire.Uuid)  # the parser takes nothing else first
        if frame.uuid in self._shelves.live:
            raise NotOurs("protocol", "a UUID that is on another connection")
        begun = self._shelves.begun.take(frame.uuid)
        if begun is None and secret_wanted:
            raise NotOurs("secret", "a UUID that was not announced")
        self.uuid = frame.uuid
        self.brought = begun or {}
        self._known = dict(self.brought)
        self._shelves.live.add(self.uuid)
        self._registered = True

    # -- what comes

    def attach(self, ears: Ears) -> None:
        # The port is there before a frame is read: none is lost.
        self._port = StreamPort(wire.SOUND_HZ[0x10], self._send, self._out.clear)
        super().attach(ears)

    def _read(self) -> None:
        try:
            while True:
                while (frame := self._parser.next_frame()) is not None:
                    if isinstance(frame, wire.End):
                        if frame.error >= 0:
                            log.warning("%s: Asterisk reports error %d", self.uuid, frame.error)
                        self._gone()
                    else:
                        self._take(frame)
                data = self.sock.recv(65536)
                if not data:
                    break
                self._parser.receive_data(data)
        except WireError as error:
            log.error("%s: not AudioSocket: %s", self.uuid, error)
        except OSError as error:
            log.info("%s: connection lost: %s", self.uuid, error.strerror)
        self._gone()

    def _take(self, frame: wire.Frame) -> None:
        assert self.ears is not None and self._port is not None
        if isinstance(frame, wire.Digit):
            self.ears.key(frame.digit)
        elif isinstance(frame, wire.Sound):
            if frame.rate != self._rate:
                self._learn(frame.rate)
            self._port.feed(frame.pcm)

    def _learn(self, rate: int) -> None:
        if rate not in RATES_HZ:
            raise WireError(f"sound at {rate} Hz, which is none of {RATES_HZ}")
        self._rate = rate
        assert self._port is not None
        self._port.hear_at(rate)

    def _lost(self, reason: str) -> None:
        log.warning("%s: %s", self.name, reason)
        self._gone()

    def _send(self, frame: bytes) -> None:
        self._out.sound(wire.sound(frame))

    # -- what a call wants of its door

    def media(self) -> Port:
        if self._port is None:
            raise MediaError("no connection yet")
        assert self._port.frame_bytes == FRAME
        return self._port

    def set_variables(self, values: Mapping[str, str]) -> None:
        self._known.update(values)

    def _end(self, how: str, **more: str) -> None:
        self._shelve(how, **more)
        self._out.put(wire.end())

    def _shelve(self, how: str, **more: str) -> None:
        """Before anything is closed: the dialplan asks at once."""
        if not self._shelved:
            self._shelved = True
            self._shelves.ended.put(self.uuid, {**self._known, "eslbot_end": how, **more})

    def _gone(self) -> None:
        if self._registered:
            self._shelve("menu")  # where it was not the caller, the dialplan goes on
        super()._gone()

    def transfer(self, name: str, target: Target, values: Mapping[str, str]) -> None:
        self._known.update({k: v for k, v in values.items() if VARIABLE.fullmatch(k)})
        extension = target.extension or f"{REACH}{name}"
        self._end("transferred", eslbot_extension=extension, eslbot_context=target.context)
        self.close()

    def native_menu(self) -> None:
        self._end("menu")
        self.close()

    def hang_up(self) -> None:
        self._end("hung up")
        self._tell_over()
        self.close()

    def close(self) -> None:
        self.closed.set()
        if self._registered:
            self._shelve("menu")
            self._registered = False
            self._shelves.live.discard(self.uuid)
        self._out.finish()
        self._hang_up_socket()
