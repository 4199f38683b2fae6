"""Resampling of features to another number of time steps by linear interpolation along time."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def resample_time(features: Array, length: int, *, every: int = 1, align_corners: bool = False) -> Array:
    """Interpolate `[N, C]` linearly along time to `[length, C]` and return every `every`-th row.

    Args:
        features: `[N, C]`, N at least 1.
        length: T'.
        every: distance of the outputs returned: 0, every, 2 every, ...
        align_corners: align the first and last output with the first and last input, instead of half-pixel centres
            with clamped edges.

    Returns:
        `[ceil(length / every), C]` float32: at output i the point p = max(0, (i + 0.5) N / T' - 0.5).

    Paper: section 4 (downstream input); answers of the author name linear interpolation over time. Whether corners
        are aligned is not stated; the default of PyTorch is not to align them.
    """
    n = len(features)
    i = np.arange(0, length, every, dtype=np.float64)
    if align_corners:
        position = i * (n - 1) / max(length - 1, 1)
    else:
        position = np.maximum(0.0, (i + 0.5) * n / length - 0.5)
    low = np.minimum(position.astype(np.int64), n - 1)
    high = np.minimum(low + 1, n - 1)
    share = (position - low)[:, None].astype(np.float32)
    return np.asarray((1 - share) * features[low] + share * features[high], dtype=np.float32)
