"""BMN's published sizes, geometry, targets and losses, and the fused layer against its definition."""

import gzip
import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from tsp.evaluation.proposals import proposal_recall
from tsp.io.files import write_json
from tsp.localise.bmn import Bmn, BmnTask, Config, scored_cells, targets
from tsp.localise.data import duration_s, normalised_segments, snippet_duration_s
from tsp.localise.maps.matching import MatchingGrid, interpolation, match_and_mix, operator, points
from tsp.localise.maps.sampling import to_map
from tsp.segments import tiou
from tsp.types import Segment, Video

OLD = Config(layout="duration_start", sampled_end="last", node_cell=(-0.5, 1.5), candidates="peaks")


@pytest.mark.parametrize(
    ("channels", "matching", "parameters"),
    [(400, 256, 4_978_564), (400, 128, 2_782_980), (512, 256, 5_000_068), (512, 128, 2_804_484)],
)
def test_parameters(channels, matching, parameters):
    assert sum(p.numel() for p in Bmn(channels, Config(matching_channels=matching)).parameters()) == parameters


def test_released_shapes_of_the_weights():
    shapes = {name: tuple(p.shape) for name, p in Bmn(512, Config()).named_parameters()}
    assert shapes["base.0.weight"] == (256, 128, 3)
    assert shapes["base.2.weight"] == shapes["start.0.weight"] == shapes["end.0.weight"] == (256, 64, 3)
    assert shapes["reduce.0.weight"] == (256, 256, 3)
    assert shapes["mix.weight"] == (512, 256, 32, 1, 1)
    assert shapes["first.weight"] == (128, 512, 1, 1)
    assert shapes["map.0.weight"] == (128, 128, 3, 3)


@pytest.mark.parametrize(
    ("sampled_end", "ends", "first_bin"),
    [
        ("next", (-1.0, 2.0), [-1.0, -0.968421, -0.936842]),
        ("last", (-0.5, 0.5), [-0.5, -0.489474, -0.478947]),
    ],
)
def test_sampled_range_of_the_first_cell(sampled_end, ends, first_bin):
    found = points(np.array([0]), np.array([0]), MatchingGrid(100, 100, 32, "start_end", sampled_end))[0]
    assert found.shape == (96,)
    assert (found[0], found[-1]) == pytest.approx(ends, abs=1e-12)
    np.testing.assert_allclose(found[:3], first_bin, atol=1e-6)


@pytest.mark.parametrize(("sampled_end", "weight"), [("next", 2 / 3), ("last", 1.0)])
def test_first_bin_of_the_first_cell(sampled_end, weight):
    a = operator(MatchingGrid(100, 100, 32, "start_end", sampled_end), torch.float64, torch.device("cpu"))[0]
    row = a[0].to_dense().view(100, 32)[:, 0]
    assert row.nonzero().flatten().tolist() == [0]
    assert float(row[0]) == pytest.approx(weight, abs=1e-12)


@pytest.mark.parametrize(
    ("position", "weights"),
    [
        (-1, {}), (-0.999, {0: 1}), (0.3, {0: 0.7, 1: 0.3}), (8.7, {8: 0.3, 9: 0.7}), (9, {9: 1}), (9.3, {9: 0.7}),
        (10, {}),
    ],
)  # fmt: skip
def test_weights_of_a_position(position, weights):
    found = interpolation(np.array([float(position)]), 10)
    used = {int(t[0]): float(w[0]) for t, w in found if w[0] > 0}
    assert used == pytest.approx(weights, abs=1e-12)


def test_entries_of_the_sampling_matrix():
    """2019 code; this many only with the released order of operations."""
    grid = MatchingGrid(100, 100, 32, "duration_start", "last")
    a = operator(grid, torch.float32, torch.device("cpu"))[0]
    assert a.values().numel() == 476_827
    assert a.shape == (5_051, 3_200)


def position_weights(p, length):
    """{snippet: weight} by the rule of bmn.md 5."""
    if p <= -1 or p >= length:
        return {}
    if p <= 0:
        return {0: 1.0}
    low = math.floor(p)
    if p > length - 1:
        return {length - 1: 1 - (p - low)}
    return {low: 1 - (p - low), **({low + 1: p - low} if p > low else {})}


def sampling_matrix(grid):
    """`[T, S, rows, columns]`, written as the definition reads."""
    valid = grid.valid
    matrix = torch.zeros(grid.length, grid.bins, *valid.shape, dtype=torch.float64)
    for r in range(valid.shape[0]):
        for c in range(valid.shape[1]):
            if not valid[r, c]:
                continue
            i, j = (r, c) if grid.layout == "start_end" else (c, c + r)
            x0, x1 = i, j + 1 if grid.sampled_end == "next" else j
            size = x1 - x0 + 1
            a, z = x0 - 0.5 * size, x1 + 0.5 * size
            step = (z - a) / (3 * grid.bins - 1)
            for m in range(3 * grid.bins):
                for t, weight in position_weights(a + step * m, grid.length).items():
                    matrix[t, m // 3, r, c] += weight / 3
    return matrix


def definition(features, weight, bias, grid):
    """Sample every cell, then convolve: `[B, O, rows, columns]`."""
    sampled = torch.einsum("bct,tnrs->bcnrs", features, sampling_matrix(grid))
    return torch.nn.functional.conv3d(sampled, weight, bias, stride=(grid.bins, 1, 1)).squeeze(2)


GRIDS = [
    MatchingGrid(9, 9, 4, "start_end", "next"),
    MatchingGrid(9, 6, 3, "start_end", "next"),
    MatchingGrid(9, 9, 4, "duration_start", "last"),
    MatchingGrid(9, 5, 4, "duration_start", "next"),
]


@pytest.mark.parametrize("grid", GRIDS)
def test_fused_layer_equals_the_definition_with_gradients(grid):
    torch.manual_seed(0)
    inputs = [torch.randn(shape, dtype=torch.float64) for shape in ((2, 3, 9), (5, 3, grid.bins, 1, 1), (5,))]
    results = []
    for layer in (lambda *x: to_map(match_and_mix(*x, grid), grid.valid), lambda *x: definition(*x, grid)):
        leaves = [x.clone().requires_grad_() for x in inputs]
        out = layer(*leaves)
        slope = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
        results.append([out.detach(), *torch.autograd.grad((out * slope).sum(), leaves)])
    for fused, dense in zip(*results, strict=True):
        np.testing.assert_allclose(fused, dense, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layout", ["start_end", "duration_start"])
def test_network_equals_the_published_one(layout):
    """Invalid cells carry their biases into the 3x3 convolutions."""
    torch.manual_seed(0)
    config = Config(length=9, durations=9, bins=4, hidden_1d=8, matching_channels=6, hidden_3d=8, hidden_2d=4,
                    groups=2, layout=layout)  # fmt: skip
    model = Bmn(6, config).double()
    x = torch.randn(2, 6, 9, dtype=torch.float64)
    base = model.base(x)
    cells = torch.relu(definition(model.reduce(base), model.mix.weight, model.mix.bias, config.grid))
    logits = model.map(torch.relu(model.first(cells))), model.start(base)[:, 0], model.end(base)[:, 0]
    expected = [part.sigmoid() for part in logits]
    found = model(x)
    grads = [torch.autograd.grad(sum(p.square().sum() for p in parts), list(model.parameters()))
             for parts in (found, expected)]  # fmt: skip
    for ours, theirs in zip([*found, *grads[0]], [*expected, *grads[1]], strict=True):
        np.testing.assert_allclose(ours.detach(), theirs.detach(), rtol=0, atol=1e-12)


def test_iou_map_of_one_action():
    found = targets(np.array([[0.2, 0.5]]), Config())["iou"].numpy()
    assert found[20, 49] == pytest.approx(1)
    assert found[19, 49] == pytest.approx(0.967742, abs=1e-6)
    assert found[25, 44] == pytest.approx(0.666667, abs=1e-6)
    assert (found[~Config().grid.valid] == 0).all()
    old = targets(np.array([[0.2, 0.5]]), OLD)["iou"].numpy()
    first, last = Config().grid.cells
    np.testing.assert_allclose(old[last - first, first], found[first, last], atol=1e-6)


def test_start_targets_of_both_codes():
    found = targets(np.array([[0.2, 0.5]]), Config())["start"].numpy()
    assert np.nonzero(found > 0.5)[0].tolist() == [19, 20, 21]
    np.testing.assert_allclose(found[17:24], [0, 0, 1, 1, 1, 0, 0], atol=1e-6)
    old = targets(np.array([[0.2, 0.5]]), OLD)["start"].numpy()
    np.testing.assert_allclose(old[17:23], [0, 0.5, 1, 1, 0.5, 0], atol=1e-6)


class Fixed(torch.nn.Module):
    def __init__(self, *outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, x):
        return self.outputs


def weighted(p, y):
    """The published balanced cross entropy, means over all entries."""
    r = y.numel() / y.sum()
    c1, c0 = 0.5 * r, 0.5 * r / (r - 1)
    return float(-(c1 * y * torch.log(p + 1e-6) + c0 * (1 - y) * torch.log(1 - p + 1e-6)).mean())


def test_losses_equal_the_published_formulas():
    """As many high, middle and low cells, so that every one of them is drawn."""
    torch.manual_seed(0)
    config = Config(length=4, durations=4)
    valid = torch.from_numpy(config.grid.valid)
    iou = torch.zeros(1, 4, 4)
    iou[0, valid] = torch.tensor([0.95, 0.8, 0.5, 0.6, 0.1, 0.2, 0.0, 0.0, 0.0, 0.0])
    found = torch.rand(1, 2, 4, 4) * 0.9 + 0.05
    nodes = torch.rand(2, 1, 4) * 0.9 + 0.05
    batch = {"iou": iou, "start": torch.tensor([[0.0, 1, 0.5, 0.6]]), "end": torch.tensor([[0.0, 0, 1, 0]])}
    losses = BmnTask(Fixed(found, *nodes), config).losses({"features": None, **batch})
    tem = sum(weighted(p, (batch[name] > 0.5).float()) for p, name in zip(nodes, ("start", "end"), strict=True))
    assert float(losses["node"]) == pytest.approx(tem, rel=1e-5)
    drawn = iou > 0
    regression = 0.5 * ((found[:, 0] - iou)[drawn] ** 2).mean()
    assert float(losses["regression"]) == pytest.approx(float(regression), rel=1e-5)
    classification = weighted(found[0, 1][valid], (iou[0][valid] > 0.9).float())
    assert float(losses["classification"]) == pytest.approx(classification, rel=1e-5)
    terms = BmnTask(Fixed(found, *nodes), config).loss({"features": None, **batch})
    total = sum(float(t.sum) * t.weight / t.count for t in terms.values())
    assert total == pytest.approx(tem + 10 * float(regression) + classification, rel=1e-5)


def video_of(name, entry):
    segments = tuple(
        Segment(start_s=float(a["segment"][0]), end_s=float(a["segment"][1]), label=a["label"])
        for a in entry["annotations"]
    )
    extra = {key: entry[key] for key in ("feature_frame", "duration_frame")}
    kind = {"subset": "t", "duration_s": entry["duration_second"]}
    return Video(name=name.removeprefix("v_"), filename=f"{name}.mp4", segments=segments, extra=extra, **kind)


@pytest.fixture(scope="module")
def activitynet(shared):
    """Subset -> published videos."""
    info = pd.read_csv(shared / "bmn/video_info_new.csv.gz")
    database = json.loads(gzip.decompress((shared / "bmn/anet_anno_action.json.gz").read_bytes()))
    names = info.groupby("subset")["video"]
    return {subset: [video_of(name, database[name]) for name in group] for subset, group in names}


@pytest.fixture(scope="module")
def counts(activitynet):
    """Per video of the annotation file, training first: cells by tIoU and positive nodes."""
    config, rows = Config(), []
    valid = torch.from_numpy(config.grid.valid)
    for video in activitynet["training"] + activitynet["validation"] + activitynet["testing"]:
        found = targets(normalised_segments(video, "feature_frames"), config)
        assert all(torch.isfinite(x).all() for x in found.values())
        iou = found["iou"][valid]
        cells = [iou > 0.7, (iou > 0.3) & (iou <= 0.7), (iou > 0) & (iou <= 0.3), iou == 0, iou > 0.9]
        rows.append([int(c.sum()) for c in (*cells, found["start"] > 0.5, found["end"] > 0.5)])
    return np.array(rows)


def test_published_videos(activitynet):
    assert {name: len(v) for name, v in activitynet.items()} == {
        "testing": 4_851, "training": 9_649, "validation": 4_728,
    }  # fmt: skip
    for subset, instances in (("training", 14_859), ("validation", 7_293)):
        assert sum(len(v.segments) for v in activitynet[subset]) == instances
    assert len({s.label for v in activitynet["validation"] for s in v.segments}) == 200


def test_targets_of_activitynet(counts):
    """Means per training video: cells of high, middle, low and no tIoU, above 0.9; positive starts and ends."""
    assert len(counts) == 19_228
    training = counts[:9_649]
    assert training[:, :4].mean(0).round().astype(int).tolist() == [504, 1_879, 2_095, 572]
    assert round(training[:, 4].mean()) == 68
    assert training[:, 5:].mean(0).round(1).tolist() == [4.4, 4.2]
    # The last batch of an epoch has one video: share of those that the released loss turns into NaN.
    assert len(training) % 16 == 1
    assert round(100 * (training[:, 4] == 0).mean(), 2) == 2.06


@pytest.mark.parametrize(("border", "recall", "strict"), [(True, 0.9274, 0.733), (False, 0.9263, 0.729)])
def test_upper_bound_of_recall(activitynet, border, recall, strict):
    """Recall of the validation instances by all segments of the grid: published mean, and at tIoU 0.95."""
    config = Config(end_at_border=border)
    found = scored_cells(np.ones((2, 100, 100)), np.ones(100), np.ones(100), config)
    assert len(found.score) == (5_050 if border else 4_950)
    best = np.concatenate(
        [
            tiou(found.segments * duration_s(video), [(s.start_s, s.end_s) for s in video.segments]).max(0)
            for video in activitynet["validation"]
        ]
    )
    hits = best[:, None] >= np.linspace(0.5, 0.95, 10)
    assert hits.mean() == pytest.approx(recall, abs=1e-4)
    assert hits[:, -1].mean() == pytest.approx(strict, abs=2e-3)


def test_seconds_of_proposals():
    video = Video(name="x", filename="x.mp4", subset="s", duration_s=10.0, segments=(), extra={"duration_frame": 250})
    assert snippet_duration_s(video) == 240 / 250 * 10
    assert snippet_duration_s(replace(video, extra={})) == 10.0


def recall(tmp_path, instances, proposals):
    database = {
        name: {"subset": "validation", "annotations": [{"segment": s, "label": "a"} for s in segments]}
        for name, segments in instances.items()
    }
    results = {
        name: [{"segment": segment, "score": score} for segment, score in rows] for name, rows in proposals.items()
    }
    write_json(tmp_path / "truth.json", {"database": database})
    write_json(tmp_path / "proposals.json", {"results": results})
    return proposal_recall(tmp_path / "truth.json", tmp_path / "proposals.json")


def test_recall_of_a_perfect_ranking(tmp_path):
    rows = [([0, 10], 1.0)] + [([50, 60 + k], 0.5 / (k + 1)) for k in range(99)]
    found = recall(tmp_path, {"a": [[0, 10]], "b": [[0, 10]]}, {"a": rows, "b": rows})
    assert (found.average_recall == 1).all()
    assert found.auc == pytest.approx(99, abs=1e-9)


def test_recall_of_two_videos(tmp_path):
    proposals = {
        "a": [([0, 10], 0.9), ([0, 5], 0.8)],
        "b": [([5, 14], 0.7), ([0, 30], 0.6), ([21, 30], 0.5)],
    }
    found = recall(tmp_path, {"a": [[0, 10]], "b": [[5, 15], [20, 30]]}, proposals)
    assert found.average_recall[[0, 19, 99]] == pytest.approx([0.3, 0.9333, 0.9333], abs=1e-4)
    assert found.proposals_per_video[0] == pytest.approx(0.4 * 5 / 2)
    assert found.auc == pytest.approx(91.7833, abs=1e-4)
