"""Whether a mean of paired differences differs from zero: Student's t-test, exact for any number of seeds."""

import math
import statistics
from collections.abc import Collection


def paired_t(differences: Collection[float]) -> tuple[float, float] | None:
    """Two-sided paired t-test.

    Args:
        differences: one for each pair.

    Returns:
        t and p; None below two pairs, and where all differences are equal, since t is then undefined.
    """
    n = len(differences)
    spread = statistics.stdev(differences) if n > 1 else 0.0
    # Equal differences come out of sums of fractions with a spread of rounding errors.
    if spread <= 1e-12 * max(map(abs, differences), default=0.0):
        return None
    t = statistics.fmean(differences) / spread * math.sqrt(n)
    return t, two_sided(t, n - 1)


def two_sided(t: float, freedom: int) -> float:
    """Probability that a t of `freedom` degrees is as far from zero as `t`.

    The finite series of Abramowitz and Stegun, 26.7.3 and 26.7.4.
    """
    angle = math.atan(abs(t) / math.sqrt(freedom))
    squared, odd = math.cos(angle) ** 2, freedom % 2
    # Odd degrees: cos + 2/3 cos^3 + 2*4/(3*5) cos^5 ...; even ones: 1 + 1/2 cos^2 + 1*3/(2*4) cos^4 ...
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for k in range(1 + odd, freedom, 2):
        total += term
        term *= squared * k / (k + 1)
    inside = math.sin(angle) * total
    return max(0.0, 1 - (2 / math.pi * (angle + inside) if odd else inside))


def least_exact(n: int) -> float:
    """The smallest p that flipping the signs of `n` differences can give: no assumption of a normal distribution."""
    return min(1.0, 2.0 ** (1 - n))
