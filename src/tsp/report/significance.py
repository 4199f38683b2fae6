"""Whether a mean of paired differences differs from zero: Student's t-test."""

import math
import statistics
from collections.abc import Collection

from scipy import stats


def paired_t(differences: Collection[float]) -> tuple[float, float] | None:
    """Two-sided paired t-test.

    Args:
        differences: one for each pair.

    Returns:
        t and p; None below two pairs, and where all differences are equal, since t is then undefined.
    """
    n = len(differences)
    spread = statistics.stdev(differences) if n > 1 else 0.0
    # Differences that are equal on paper have a spread of rounding errors.
    if spread <= 1e-12 * max(map(abs, differences), default=0.0):
        return None
    t = statistics.fmean(differences) / spread * math.sqrt(n)
    return t, two_sided(t, n - 1)


def two_sided(t: float, freedom: int) -> float:
    """Probability that a t of `freedom` degrees of freedom is at least as far from zero as `t`."""
    return float(2 * stats.t.sf(abs(t), freedom))


def least_exact(n: int) -> float:
    """The smallest p that flipping the signs of `n` differences can give: no assumption of a normal distribution."""
    return min(1.0, 2.0 ** (1 - n))
