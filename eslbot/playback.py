"""What the bot says, frame by frame at the pace of speech, and how much of it was heard.

FreeSWITCH has no flush: what was sent will be heard. So no more than `lead` frames are sent
ahead of time, and an interruption costs just those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

RATE = 8000
PAUSE_S = 0.1  # silence is made up for so long, no longer
LATE_S = 0.005  # a tick that comes so much too early still sends its frame of silence


class PlaybackFull(Exception):
    """More speech than one call may keep."""


@dataclass(slots=True)
class _Sentence:
    text: str
    filler: bool = False  # is no part of an answer
    pcm: bytearray = field(default_factory=bytearray)
    complete: bool = False
    sent: int = 0  # bytes


class Playback:
    """One call's outgoing speech: L16 mono 8000 Hz, cut into frames of frame_bytes.

    lead: frames sent ahead of time. max_s: seconds kept at the most.
    """

    def __init__(self, frame_bytes: int, lead: int, max_s: float) -> None:
        self._lead = lead
        self.frame_bytes = frame_bytes
        self._max_bytes = int(max_s * RATE * 2)
        self._queue: list[_Sentence] = []
        self._kept = 0
        self._said: list[_Sentence] = []
        self._next_at = 0.0  # when the frame after the last one sent is due at the caller
        self.first_frame_at: float | None = None
        self.on_cut: Callable[[], None] | None = None  # stop() cut something off; must not wait

    @property
    def frame_bytes(self) -> int:
        """It is known for certain only when the first frame has come."""
        return self._frame_bytes

    @frame_bytes.setter
    def frame_bytes(self, size: int) -> None:
        self._frame_bytes = size
        self._frame_s = size / 2 / RATE
        self._ahead_s = self._lead * self._frame_s - 1e-6
        self._nothing = (bytes(size),)

    @property
    def busy(self) -> bool:
        """Something is still to be sent, or a sentence is not complete."""
        return bool(self._queue)

    @property
    def idle(self) -> bool:
        """All there was to say has been sent."""
        return not self._queue

    def begin(self) -> None:
        """A new turn of the bot: what was said before is no longer asked about."""
        self._said.clear()
        self.first_frame_at = None

    @property
    def starving(self) -> bool:
        """There is nothing to be sent, though there may be more to come."""
        return not self._kept

    def sentence(self, text: str) -> None:
        """Speech of this sentence follows."""
        self._queue.append(_Sentence(text))

    def feed(self, pcm: bytes) -> None:
        """More speech of the last sentence. Raises PlaybackFull."""
        if self._kept + len(pcm) > self._max_bytes:
            raise PlaybackFull(f"over {self._max_bytes // 2 // RATE} s of speech")
        if not pcm:
            return  # a new attempt's, all of which was there before; its sentence may be over
        if not self._queue:  # it was cut off, and goes on all the same: see acting.py
            self.sentence("")
        self._kept += len(pcm)
        self._queue[-1].pcm += pcm

    def complete(self) -> None:
        """The last sentence is all there."""
        if self._queue:
            self._queue[-1].complete = True

    def say(self, text: str, pcm: bytes) -> None:
        """One whole sentence."""
        self.sentence(text)
        self.feed(pcm)
        self.complete()

    def fill(self, text: str, pcm: bytes) -> None:
        """Words that are no part of the answer, before what is still to come of it."""
        self._kept += len(pcm)
        self._queue.insert(0, _Sentence(text, True, bytearray(pcm), complete=True))

    def due(self, now: float) -> list[bytes]:
        """The frames to be sent now, of frame_bytes each; the last one of all is filled up."""
        frames: list[bytes] = []
        while self._queue and self._next_at - now < self._ahead_s:
            filler = self._queue[0].filler
            frame = self._take()
            if frame is None:
                break
            if self.first_frame_at is None and not filler:
                self.first_frame_at = now
            # After a pause time starts anew; what is late is not hurried after.
            self._next_at = max(self._next_at, now) + self._frame_s
            frames.append(frame)
        return frames

    def silence(self, now: float) -> Sequence[bytes]:
        """The frames of silence that are due while there is nothing to say, without any lead.

        Ours has to be the only voice on the channel: FreeSWITCH's own silence
        (send_silence_when_idle) is written beside our frames, and at an unlucky phase in place
        of them, so that the caller hears nothing.
        """
        count = 0
        at = self._next_at
        if at < now - PAUSE_S:
            at = now
        while at - now < LATE_S:
            at += self._frame_s
            count += 1
        self._next_at = at
        return self._nothing if count == 1 else self._nothing * count

    def _take(self) -> bytes | None:
        head = self._queue[0]
        size = self._frame_bytes
        if len(head.pcm) > size:  # most of them
            frame = bytes(head.pcm[:size])
            del head.pcm[:size]
            head.sent += size
            self._kept -= size
            return frame
        return self._take_across()

    def _take_across(self) -> bytes | None:
        """A frame in which a sentence ends, or waits for more of it."""
        frame = bytearray()
        while self._queue and len(frame) < self._frame_bytes:
            head = self._queue[0]
            piece = head.pcm[: self._frame_bytes - len(frame)]
            if len(piece) + len(frame) < self._frame_bytes and not head.complete:
                # Half a frame of a sentence still to come: wait for the rest.
                if not frame:
                    return None
                break
            del head.pcm[: len(piece)]
            head.sent += len(piece)
            self._kept -= len(piece)
            frame += piece
            if head.complete and not head.pcm:
                self._said.append(self._queue.pop(0))
        if not frame:
            return None
        return bytes(frame.ljust(self._frame_bytes, b"\0"))

    @property
    def seconds_left(self) -> float:
        """Speech that is kept and not sent yet."""
        return self._kept / 2 / RATE

    def drained_at(self) -> float:
        """When the caller has heard all that was sent, by the clock of due()."""
        return self._next_at

    def stop(self, now: float) -> str:
        """Say no more; return what the caller has heard of this turn, cut at a word."""
        unheard = int(max(0.0, self._next_at - now) / self._frame_s) * self.frame_bytes
        said = [one for one in self._said if not one.filler]
        said += [one for one in self._queue if not one.filler][:1]
        heard = []
        for one in said:
            total = one.sent + len(one.pcm)
            sent = max(0, one.sent - unheard) if one is said[-1] else one.sent
            if one.complete and sent >= total:
                heard.append(one.text)
            elif total:
                words = one.text.split()
                heard.append(" ".join(words[: len(words) * sent // total]))
        if self.on_cut and (self._queue or self._next_at > now):
            self.on_cut()
        self._queue.clear()
        self._said.clear()
        self._kept = 0
        return " ".join(part for part in heard if part)
