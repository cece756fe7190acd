"""What a telephone line leaves of a sound: G.711 mu-law, coded and decoded again."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]


def mu_law(samples: Samples) -> Samples:
    """What G.711's mu-law leaves of the samples."""
    whole = samples.astype(np.int32)
    size = np.minimum(np.abs(whole), 32635) + 132
    exponent = np.floor(np.log2(size)).astype(np.int32) - 7
    mantissa = (size >> (exponent + 3)) & 15
    return _decoded(whole < 0, exponent, mantissa)


def decoded(code: bytes) -> Samples:
    """Samples of G.711 mu-law, 8000 bytes a second."""
    inverted = ~np.frombuffer(code, np.uint8)
    exponent = (inverted >> 4 & 7).astype(np.int32)
    return _decoded(inverted > 127, exponent, (inverted & 15).astype(np.int32))


def _decoded(
    negative: npt.NDArray[np.bool_],
    exponent: npt.NDArray[np.int32],
    mantissa: npt.NDArray[np.int32],
) -> Samples:
    size = (((mantissa << 3) + 132) << exponent) - 132
    return np.where(negative, -size, size).astype(np.int16)
