"""One call's audio, both directions: what the clock moves on every tick.

frames in ─▶ windows of 32 ms ─▶ (VAD of all calls) ─▶ endpointing ─▶ on_speech
playback ─▶ frames out, paced
"""

from __future__ import annotations

from collections.abc import Callable

from eslbot.doors import Port
from eslbot.endpointing import Endpointer, Event
from eslbot.media.recording import Tap
from eslbot.playback import Playback
from eslbot.vad import WINDOW_BYTES

# Windows kept when the clock is late; older audio is dropped, the newest is what counts.
MAX_WINDOWS = 64


class Leg:
    """Ties a port, an endpointer and a playback together.

    on_speech: called with each event of the endpointer; on_played: when the last frame of what
    there was to say has been sent. Both on the clock's greenlet: must not wait.
    listening: whether the caller's speech matters now.
    """

    def __init__(
        self,
        port: Port,
        endpointer: Endpointer,
        playback: Playback,
        place: int,
        on_speech: Callable[[Event], None],
        on_played: Callable[[], None],
    ) -> None:
        self.port = port
        self.endpointer = endpointer
        self.playback = playback
        playback.on_cut = port.clear
        self.place = place
        self.listening = False
        self.heard_at: float | None = None  # when audio last came, by the clock
        self.tap: Tap | None = None  # while the call is recorded
        self._on_speech = on_speech
        self._on_played = on_played
        self._audio = b""
        self._frame_bytes = playback.frame_bytes

    def windows(self, now: float) -> list[bytes]:
        """Drain the port; return the whole windows that have come together."""
        audio = self.port.receive()
        if not audio:
            return []
        self.heard_at = now
        if self.tap is not None:
            self.tap.heard(audio)
        size = self.port.frame_bytes
        if size != self._frame_bytes:
            self._frame_bytes = self.playback.frame_bytes = size
        kept = self._audio = self._audio + audio
        if len(kept) < WINDOW_BYTES:
            return []
        count = len(kept) // WINDOW_BYTES
        if count == 1:  # most of them
            self._audio = kept[WINDOW_BYTES:]
            return [kept[:WINDOW_BYTES]]
        if count > MAX_WINDOWS:
            kept = kept[(count - MAX_WINDOWS) * WINDOW_BYTES :]
            count = MAX_WINDOWS
        self._audio = kept[count * WINDOW_BYTES :]
        return [kept[at : at + WINDOW_BYTES] for at in range(0, count * WINDOW_BYTES, WINDOW_BYTES)]

    def judge(self, window: bytes, probability: float) -> None:
        """One window with its probability of speech."""
        if not self.listening:
            return
        for event in self.endpointer.window(window, probability):
            self._on_speech(event)

    def judge_soon(self) -> None:
        """The window that is not whole yet."""
        if self.listening:
            for event in self.endpointer.partial(self._audio):
                self._on_speech(event)

    def play(self, now: float) -> None:
        """Send the frames that are due: speech, or silence, so that the caller gets RTP always."""
        port, playback, tap = self.port, self.playback, self.tap
        if not port.started:
            return
        spoke = playback.busy
        for frame in (spoke and playback.due(now)) or playback.silence(now):
            port.send(frame)
            if tap is not None:
                tap.said(frame)
        if spoke and playback.idle:
            self._on_played()
