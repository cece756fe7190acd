"""One synthesis that several listen to: the same sentence asked for twice at once is made once.

    turn A ──piece(0), piece(1) ...──▶ pieces so far ◀──piece(0) ...── turn B
                                            │ none left: whoever is there first
                                            ▼ asks the engine for the next
                                       engine.speak()

Nobody leads: the turn that began it may be cancelled, and the others go on with the same audio.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Final

from workers.tts.engine import TtsError

LATE: Final = "not spoken in time"


class Flight:
    """source: engine.speak()'s. deadline: by which it is to end, monotonic seconds.

    users and kept belong to SpeechCache, under its lock.
    """

    def __init__(self, source: Iterator[bytes], deadline: float) -> None:
        self._source = source
        self._pulling = threading.Lock()
        self._pieces: list[bytes] = []
        self.deadline = deadline
        self.done = False
        self.failed = ""
        self.users = 0
        self.kept = False

    @property
    def pcm(self) -> bytes:
        return b"".join(self._pieces)

    def piece(self, at: int, deadline: float) -> bytes | None:
        """Piece number `at`, None after the last. Raises TtsError, not after the deadline.

        The engine's error goes to the one who was asking it, with its cause; the others are told
        that it failed, so that one failure of a provider is not counted for each of them.
        """
        if at < len(self._pieces):
            return self._pieces[at]
        if not self._pulling.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise TtsError(LATE)
        try:
            if at < len(self._pieces):
                return self._pieces[at]
            if self.failed:
                raise TtsError(self.failed)
            return None if self.done else self._pull()
        finally:
            self._pulling.release()

    def _pull(self) -> bytes | None:
        try:
            piece = next(self._source, None)
        except BaseException as error:
            # Only of a TtsError is the text known to hold nothing of the caller's.
            self.failed = str(error) if isinstance(error, TtsError) else type(error).__name__
            self.failed = self.failed or "the engine failed"
            raise
        if piece is None:
            self.done = True
        else:
            self._pieces.append(piece)
        return piece

    def close(self) -> None:
        """Let the engine stop; only when there are no users any more."""
        close = getattr(self._source, "close", None)
        if close is not None:
            close()
