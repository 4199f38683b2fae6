"""What the protocols share."""

import logging

import numpy as np
import pytest

from tsp.errors import TspError
from tsp.evaluation.protocol import average_precision, check_tious, interpolated, ranked_within, tied, warn_of


def test_rows_are_ranked_within_their_key_and_the_later_of_equal_scores_is_first():
    key, score = np.asarray([1, 0, 1, 0, 1, 0]), np.asarray([0.5, 0.2, 0.9, 0.2, 0.5, 0.7])
    assert ranked_within(key, score).tolist() == [5, 3, 1, 2, 4, 0]
    assert ranked_within(key[:0], score[:0]).tolist() == []


def test_tied_scores_of_a_sorted_list():
    assert tied(np.asarray([3.0, 2.0, 2.0, 1.0, 0.0, 0.0])).tolist() == [False, True, True, False, True, True]
    assert tied(np.asarray([1.0])).tolist() == [False]


def test_average_precision_is_the_interpolation_of_plain_precision():
    hits = np.asarray([[True, False, True, False], [False, False, False, False]])
    assert average_precision(hits, 2).tolist() == pytest.approx([(1 + 2 / 3) / 2, 0])
    precision = np.asarray([[0.1, 0.9, 0.2, 0.0]])
    assert interpolated(precision, hits[:1], 4).tolist() == pytest.approx([(0.9 + 0.2) / 4])


@pytest.mark.parametrize("tious", [(), (0.5, 0.5), (0.7, 0.5), (0.0, 0.5), (0.5, 1.1), (0.501, 0.502)])
def test_thresholds_are_checked(tious):
    with pytest.raises(TspError, match="tIoU thresholds"):
        check_tious(tious)


def test_warnings_of_doubtful_files(caplog):
    with caplog.at_level(logging.WARNING):
        warn_of("a.json", 10, 0.01)
        assert caplog.messages == []
        warn_of("b.json", 0, 0.0)
        warn_of("c.json", 10, 0.5)
    assert [m.split(":")[0] for m in caplog.messages] == ["b.json", "c.json"]
    assert "50.0 %" in caplog.messages[1]
