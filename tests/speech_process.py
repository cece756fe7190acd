"""A speech process that does what its text says, for tests of the process host.

Everything around the synthesiser is the real thing: process, pipes, frames, cancelling.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from workers.tts.process_child import Put, SynthError, parent_from_argv, serve

PIECE = b"\x00\x10" * 800


class Puppet:
    rate_hz = 8000

    def speak(self, request: dict[str, Any], put: Put) -> None:
        match request["text"]:
            case "one piece":
                put(PIECE)
            case "one piece, then nothing":
                put(PIECE)
                threading.Event().wait()
            case "one piece, then death":
                put(PIECE)
                os._exit(9)
            case "death":
                os._exit(9)
            case "nothing":
                threading.Event().wait()
            case "for ever":
                while put(PIECE):
                    pass
            case "sorry":
                raise SynthError("not today")
            case _:
                raise KeyError("the secret words of a caller")


if __name__ == "__main__":
    serve(Puppet, parent_from_argv())
