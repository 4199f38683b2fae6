from dataclasses import replace

import numpy as np
import pytest
from unit.localise.make import SMALL_BMN

from tsp.errors import TspError
from tsp.localise.bmn import Bmn, Config, scored_cells

GRID = replace(SMALL_BMN, length=6, durations=4)


def maps():
    found = np.arange(2 * 36, dtype=np.float64).reshape(2, 6, 6) / 100
    return found, np.array([0.1, 0.9, 0.1, 0.1, 0.1, 0.8]), np.array([0.9, 0.1, 0.1, 0.2, 0.1, 0.1])


def cells(made):
    return sorted((made.segments * 6).round().astype(int).tolist())


def test_all_segments_but_those_that_end_with_the_video():
    made = scored_cells(*maps(), GRID)
    assert cells(made) == sorted([s, s + d] for d in range(1, 5) for s in range(6) if s + d < 6)
    found, start, end = maps()
    number = (made.segments * 6).round().astype(int).tolist().index([1, 4])
    assert made.map_score[number] == pytest.approx(found[0, 1, 3] * found[1, 1, 3])
    assert made.score[number] == pytest.approx(start[1] * end[4] * found[0, 1, 3] * found[1, 1, 3])


def test_last_snippet_may_score_the_end():
    found, start, end = maps()
    made = scored_cells(found, start, end, replace(GRID, end_node="last", end_at_border=True))
    number = (made.segments * 6).round().astype(int).tolist().index([3, 6])
    assert made.score[number] == pytest.approx(start[3] * end[5] * found[0, 3, 5] * found[1, 3, 5])


def test_layouts_name_the_same_segments():
    found, start, end = maps()
    durations = replace(GRID, layout="duration_start")
    turned = np.zeros((2, 4, 6))
    for d in range(4):
        for s in range(6 - d):
            turned[:, d, s] = found[:, s, s + d]
    one, other = scored_cells(found, start, end, GRID), scored_cells(turned, start, end, durations)
    assert cells(one) == cells(other)
    assert sorted(one.score.tolist()) == sorted(other.score.tolist())


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # Starts 0 and 1; ends 3 and 5. With virtual zeros outside the ends of the row are peaks too.
        ("peaks", [[0, 3], [1, 3], [1, 5]]),
        ("padded_peaks", [[0, 3], [1, 3], [1, 5]]),
    ],
)
def test_candidate_boundaries(rule, expected):
    assert cells(scored_cells(*maps(), replace(GRID, candidates=rule))) == expected


def test_padded_peaks_may_start_with_the_last_snippet():
    options = {"candidates": "padded_peaks", "end_at_border": True, "end_node": "last"}
    assert [5, 6] in cells(scored_cells(*maps(), replace(GRID, **options)))
    assert [5, 6] not in cells(scored_cells(*maps(), replace(GRID, **{**options, "candidates": "peaks"})))


@pytest.mark.parametrize("wrong", [{"durations": 17}, {"bins": 0}, {"hidden_1d": 17}, {"node_cell": (0.5, 0.5)}])
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(SMALL_BMN, **wrong)


def test_features_that_no_group_divides():
    with pytest.raises(TspError, match="multiple of groups"):
        Bmn(7, SMALL_BMN)


def test_published_defaults():
    """Settings of the TSP author's runs."""
    config = Config()
    assert (config.lr, config.trainer.epochs, config.trainer.batch_size) == (5e-4, 10, 16)
    assert (config.trainer.optimizer, config.trainer.weight_decay, config.trainer.milestones) == ("adam", 1e-4, (7,))
    assert (config.proposal_nms_above, config.proposal_nms_divisor, config.nms_keep) == ((0.5, 0.9), 0.4, 100)
    assert (config.detection_nms_divisor, config.classes) == (0.85, 1)
