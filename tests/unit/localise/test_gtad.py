from dataclasses import replace

import numpy as np
import pytest
from unit.localise.make import SMALL, make_set, train

from tsp.errors import TspError
from tsp.localise import gtad
from tsp.localise.data import normalised_segments
from tsp.localise.gtad import Config, Gtad, scored_cells
from tsp.types import Segment, Video


def maps(length=6, durations=4):
    found = np.arange(2 * durations * length, dtype=np.float64).reshape(2, durations, length) / 100
    return found, np.array([0.1, 0.9, 0.1, 0.1, 0.1, 0.8]), np.array([0.9, 0.1, 0.1, 0.2, 0.1, 0.1])


GRID = replace(SMALL, length=6, durations=4)


def test_proposals_run_between_candidate_boundaries():
    segments, scores = scored_cells(*maps(), GRID)
    # Starts: 0 always, 1 a peak; 5 never. Ends: 3 a peak, 5 always; 0 never. Durations up to 4.
    assert sorted((segments * 6).round().astype(int).tolist()) == [[0, 3], [1, 3], [1, 5]]
    found = maps()[0]
    by_segment = dict(zip(map(tuple, (segments * 6).round().astype(int).tolist()), scores, strict=True))
    assert by_segment[1, 5] == pytest.approx(found[0, 3, 1] * found[1, 3, 1])


def test_proposals_that_end_with_the_video_are_an_option():
    segments, _ = scored_cells(*maps(6, 6), replace(GRID, end_at_border=True, durations=6))
    assert [0.0, 1.0] in segments.tolist()


def test_all_cells_without_the_boundary_filter():
    segments, _ = scored_cells(*maps(), replace(GRID, boundary_filter=False))
    assert len(segments) == 5 + 4 + 3 + 2


def test_there_is_always_a_proposal():
    flat = np.zeros((2, 6, 6)), np.zeros(6), np.zeros(6)
    segments, _ = scored_cells(*flat, replace(GRID, durations=6))
    assert segments.tolist() == [[0, 5 / 6]]


@pytest.mark.parametrize("kernel", [1, 3])
def test_map_convolutions_train(tmp_path, kernel):
    make_set(tmp_path)
    trainer = replace(SMALL.trainer, epochs=1, keep="last", grad_clip=1.0)
    config = replace(SMALL, node_cell_end=0.5, class_count_extra=10, trainer=trainer, map_kernel=kernel)
    assert train(gtad, config, tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    "wrong", [{"durations": 17}, {"neighbours": 17}, {"hidden_1d": 17}, {"gcn_width": 9}, {"inner_samples": 0}]
)
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(SMALL, **wrong)


def test_features_that_no_group_divides():
    with pytest.raises(TspError, match="multiple of stem_groups"):
        Gtad(7, SMALL)


def test_labels_are_measured_by_the_annotated_features():
    video = Video(
        name="x",
        filename="x.mp4",
        subset="s",
        duration_s=10.0,
        segments=(Segment(start_s=1.0, end_s=20.0, label="a"),),
        extra={"feature_frame": 240, "duration_frame": 300},
    )
    assert normalised_segments(video, "feature_frames").tolist() == [[1 / 8, 1]]
    assert normalised_segments(video, "duration").tolist() == [[1 / 10, 1]]
    assert normalised_segments(replace(video, extra={}), "feature_frames").tolist() == [[1 / 10, 1]]


def test_published_defaults():
    config = Config()
    assert (config.lr, config.trainer.epochs, config.trainer.batch_size) == (4e-3, 10, 16)
    assert (config.nms_divisor, config.nms_keep, config.classes) == (0.8, 100, 2)
    assert (config.trainer.optimizer, config.trainer.weight_decay, config.trainer.milestones) == ("adam", 1e-4, (5,))
