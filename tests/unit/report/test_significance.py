"""Paired t-test: quantiles of printed tables, an integral of the density, and a finite series."""

import math

import pytest

from tsp.report.significance import least_exact, paired_t, two_sided

# Two-sided 5 % points as every table of Student's t prints them.
POINTS = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 10: 2.228, 21: 2.080, 30: 2.042}


@pytest.mark.parametrize("freedom", POINTS)
def test_printed_quantiles(freedom):
    assert two_sided(POINTS[freedom], freedom) == pytest.approx(0.05, abs=5e-5)


@pytest.mark.parametrize(("t", "freedom"), [(0.3, 1), (-1.7, 2), (2.0, 3), (0.9, 6), (1.5, 9)])
def test_against_the_integral_of_the_density(t, freedom):
    steps = 20_000
    factor = math.gamma((freedom + 1) / 2) / math.sqrt(freedom * math.pi) / math.gamma(freedom / 2)
    middle = ((k + 0.5) * abs(t) / steps for k in range(steps))
    inside = sum((1 + x * x / freedom) ** (-(freedom + 1) / 2) for x in middle) * abs(t) / steps * factor
    assert two_sided(t, freedom) == pytest.approx(1 - 2 * inside, abs=1e-8)


def series(t, freedom):
    """The finite series of Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    angle = math.atan(abs(t) / math.sqrt(freedom))
    squared, odd = math.cos(angle) ** 2, freedom % 2
    # Odd degrees: cos + 2/3 cos^3 + 2*4/(3*5) cos^5 ...; even ones: 1 + 1/2 cos^2 + 1*3/(2*4) cos^4 ...
    term, total = math.cos(angle) if odd else 1.0, 0.0
    for k in range(1 + odd, freedom, 2):
        total += term
        term *= squared * k / (k + 1)
    inside = math.sin(angle) * total
    return 1 - (2 / math.pi * (angle + inside) if odd else inside)


@pytest.mark.parametrize("freedom", range(1, 31))
def test_against_the_finite_series(freedom):
    for t in (0.001, 0.02, 0.3, 1.0, 2.7, 9.0, 40.0, 1e6):
        assert two_sided(t, freedom) == two_sided(-t, freedom) == pytest.approx(series(t, freedom), abs=1e-12)


def test_paired():
    t, p = paired_t([1.0, 2.0, 3.0])
    assert t == pytest.approx(2 * math.sqrt(3))
    assert p == pytest.approx(1 - t / math.sqrt(t * t + 2))  # two degrees: closed form
    assert paired_t([-1.0, -2.0, -3.0]) == (pytest.approx(-t), pytest.approx(p))


def test_undefined():
    assert paired_t([]) is paired_t([3.0]) is paired_t([0.0, 0.0, 0.0]) is paired_t([0.1 + 0.2, 0.3]) is None


def test_no_sign_flip_of_three_gives_less_than_a_quarter():
    assert least_exact(3) == 0.25
    assert least_exact(1) == 1.0
