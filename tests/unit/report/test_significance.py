"""Paired t-test: quantiles of printed tables, and an integral of the density."""

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
