"""Is it speech? Silero v6 at 8 kHz, many calls in one batch, behind an energy gate.

The model keeps a state per call and wants 256 new samples (32 ms) after the last 32 of the
window before. One inference for all calls costs a third of one each; and the gate spares the
silence, which is half of a call.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

RATE = 8000
WINDOW = 256  # samples: what the 8 kHz model was trained on
WINDOW_BYTES = 2 * WINDOW
WINDOW_MS = 32
CONTEXT = 32  # samples of the window before, which the model wants first
_STATE = 128


class VadError(Exception):
    """The model is missing or broken."""


def model_path() -> Path:
    """Where the silero-vad package keeps its ONNX model; found without importing it, which
    would want torch. Raises VadError."""
    spec = importlib.util.find_spec("silero_vad")
    if spec is None or spec.origin is None:
        raise VadError("the package silero-vad is not installed")
    return Path(spec.origin).parent / "data" / "silero_vad.onnx"


class Vad:
    """Speech probabilities for up to `places` calls at once.

    Each call has a place (an int from open()) that holds the model's state between windows.
    """

    def __init__(self, places: int, gate_dbfs: float) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # The batches are small: handing them to other threads costs more than it saves.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._model: Any = onnxruntime.InferenceSession(
                str(model_path()), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise VadError(f"silero-vad's model does not load: {type(error).__name__}") from None
        self._gate = float((10 ** (gate_dbfs / 20)) ** 2)
        self._state = np.zeros((2, places, _STATE), np.float32)
        self._context = np.zeros((places, CONTEXT), np.float32)
        self._free = list(range(places - 1, -1, -1))

    def open(self) -> int:
        """A fresh place. Raises VadError when all are taken."""
        if not self._free:
            raise VadError("no place left")
        place = self._free.pop()
        self.reset(place)
        return place

    def close(self, place: int) -> None:
        self._free.append(place)

    def reset(self, place: int) -> None:
        self._state[:, place] = 0
        self._context[place] = 0

    def probabilities(
        self, places: Sequence[int], windows: Sequence[bytes]
    ) -> npt.NDArray[np.float32]:
        """One probability (0 to 1) for each window of WINDOW_BYTES of L16, one per place."""
        result = np.zeros(len(places), np.float32)
        if not places:
            return result
        samples = np.frombuffer(b"".join(windows), "<i2").reshape(len(places), WINDOW)
        samples = samples.astype(np.float32) / 32768.0
        loud = np.flatnonzero(np.einsum("ij,ij->i", samples, samples) / WINDOW > self._gate)
        index = np.asarray(places)
        if loud.size:
            at = index[loud]
            fed = np.concatenate([self._context[at], samples[loud]], axis=1)
            out, state = self._model.run(
                None,
                {"input": fed, "state": self._state[:, at], "sr": np.array(RATE, np.int64)},
            )
            result[loud] = out[:, 0]
            self._state[:, at] = state
        self._context[index] = samples[:, -CONTEXT:]
        return result
