"""G-TAD's published sizes, geometry and targets, and the fused SGAlign against its definition."""

import gzip
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch

from tsp.features.resample import resample_time
from tsp.io.files import read_json
from tsp.localise.data import normalised_segments
from tsp.localise.gtad import Config, GCNeXt, Gtad, GtadTask, gather, neighbours, targets
from tsp.localise.labels import read_video_scores
from tsp.localise.maps.align import AlignmentGrid, align_and_mix, operator, roi_align, to_map
from tsp.localise.maps.targets import balanced, boundary_map, iou_map, regression_loss, valid_cells
from tsp.types import Segment, Video


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_one_gcnext_block():
    assert count(GCNeXt(256, 128, 32, 3)) == 166_912


@pytest.mark.parametrize(
    ("channels", "config", "parameters"),
    [
        (400, Config(), 5_563_268),
        (512, Config(), 5_584_772),
        (2048, Config(inner_samples=16, context_samples=16, map_kernel=3), 5_617_540),
        (512, Config(inner_samples=16, context_samples=16, map_kernel=3), 5_322_628),
        (400, Config(inner_samples=32, context_samples=32, map_kernel=3), 9_495_428),
    ],
)
def test_parameters(channels, config, parameters):
    assert count(Gtad(channels, config)) == parameters


def test_output_shapes():
    config = Config(length=20, durations=12, hidden_1d=32, hidden_3d=16, hidden_2d=8, gcn_width=32)
    found, start, end = Gtad(64, config)(torch.randn(2, 64, 20))
    assert found.shape == (2, 2, 12, 20)
    assert start.shape == end.shape == (2, 20)


def test_rois_of_two_cells():
    grid = AlignmentGrid(100, 100, 32, 4, 0.5)
    d, s = grid.cells
    rois = {(int(a), int(b)): tuple(r) for a, b, r in zip(d, s, grid.rois[:-1], strict=True)}
    assert rois[0, 0] == (-0.5, 0.5)
    assert rois[9, 20] == (15.0, 34.0)
    assert len(d) == 5_050


def test_points_of_a_bin_grow_with_the_segment():
    """Length 19: one point per inner bin, five per context bin; of the longest, 7 and 50; of THUMOS14's longest, 8."""
    for size, bins, points in ((19, 32, 1), (19, 4, 5), (199, 32, 7), (199, 4, 50), (127, 16, 8)):
        roi = np.array([[200.0, 200.0 + size]])
        _, sample, snippet, weight = roi_align(roi, bins, 1000)
        positions = (np.arange(points) + 0.5) * size / bins / points
        first = np.bincount(snippet[sample == 0] - 200, weight[sample == 0], minlength=size + 2)
        expected = np.zeros(size + 2)
        for t in positions:
            expected[int(t)] += (1 - t % 1) / points
            expected[int(t) + 1] += t % 1 / points
        np.testing.assert_allclose(first, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("grid", "inner", "context"),
    [
        (AlignmentGrid(100, 100, 32, 4, 0.5), 469_604, 303_992),
        (AlignmentGrid(256, 64, 16, 16, 0.5), 1_120_648, 1_120_648),
    ],
)
def test_entries_of_the_sampling_matrix(grid, inner, context):
    """Published grids; entries of the valid cells."""
    rois = grid.rois[:-1]
    for bins, expected in {grid.inner: inner, grid.context: context}.items():
        roi, sample, snippet, weight = roi_align(rois, bins, grid.length)
        places = (roi * bins + sample) * grid.length + snippet
        assert len(np.unique(places[weight > 0])) == expected


def test_a_constant_signal_stays_constant_inside():
    grid = AlignmentGrid(100, 100, 32, 4, 0.5)
    a = operator(grid, torch.float64, torch.device("cpu"))[0]
    ones = torch.eye(36, dtype=torch.float64).repeat(100, 1)
    aligned = (a @ ones).numpy()
    inside = (grid.rois[:, 0] >= -1) & (grid.rois[:, 1] <= 100)
    assert inside.sum() > 1_000
    np.testing.assert_allclose(aligned[inside], 1, rtol=0, atol=1e-12)


def sample(x, t):
    """x `[C, T]` at t by the rule of gtad.md 4.2."""
    last = x.shape[1] - 1
    if t < -1 or t > last + 1:
        return torch.zeros(x.shape[0], dtype=x.dtype)
    t = max(t, 0.0)
    low = math.floor(t)
    if low >= last:
        return x[:, last]
    return (1 - (t - low)) * x[:, low] + (t - low) * x[:, low + 1]


def dense_align(x, roi, bins):
    """`[C, bins]` of one RoI, written as the definition reads."""
    length = max(roi[1] - roi[0], 1.0)
    width, g = length / bins, math.ceil(length / bins)
    columns = []
    for p in range(bins):
        points = [sample(x, roi[0] + p * width + (q + 0.5) * width / g) for q in range(g)]
        columns.append(torch.stack(points).mean(0))
    return torch.stack(columns, dim=1)


def dense_definition(features, context, weight, bias, grid):
    """Align every cell, then convolve: `[B, O, D, T]`."""
    batch, channels, length = features.shape
    aligned = torch.zeros(batch, channels, grid.inner + grid.context, grid.durations, length, dtype=features.dtype)
    valid = valid_cells(length, grid.durations)
    for b in range(batch):
        for d in range(grid.durations):
            for s in range(length):
                margin = grid.expand * (d + 1)
                roi = (s - margin, s + d + margin) if valid[d, s] else (0.0, 0.0)
                inner = dense_align(features[b], roi, grid.inner)
                outer = dense_align(context[b], roi, grid.context)
                aligned[b, :, :, d, s] = torch.cat([inner, outer], dim=1)
    flat = aligned.reshape(batch, -1, grid.durations, length)
    return torch.nn.functional.conv2d(flat, weight, bias)


def test_fused_layer_equals_the_definition_with_gradients():
    torch.manual_seed(0)
    grid = AlignmentGrid(7, 5, 4, 2, 0.5)
    inputs = [torch.randn(2, 3, 7, dtype=torch.float64), torch.randn(2, 3, 7, dtype=torch.float64)]
    inputs += [torch.randn(4, 18, 1, 1, dtype=torch.float64), torch.randn(4, dtype=torch.float64)]
    results = []
    for layer in (lambda *x: to_map(align_and_mix(*x, grid), grid), lambda *x: dense_definition(*x, grid)):
        leaves = [x.clone().requires_grad_() for x in inputs]
        out = layer(*leaves)
        grads = torch.autograd.grad(
            (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum(), leaves
        )
        results.append([out.detach(), *grads])
    for fused, dense in zip(*results, strict=True):
        np.testing.assert_allclose(fused, dense, rtol=0, atol=1e-12)


def test_map_convolutions_see_the_shared_value_of_invalid_cells():
    """3x3 convolutions on the fused map equal those on the aligned tensor of every cell, invalid ones included."""
    torch.manual_seed(0)
    config = Config(length=6, durations=4, hidden_1d=8, hidden_3d=4, hidden_2d=4, stem_groups=1, gcn_width=4,
                    gcn_groups=2, inner_samples=3, context_samples=2, map_kernel=3)  # fmt: skip
    model = Gtad(5, config).double()
    features, context = torch.randn(2, 1, 8, 6, dtype=torch.float64)
    dense = torch.relu(dense_definition(features, context, model.mix.weight, model.mix.bias, config.grid))
    for layer in list(model.map)[:-1]:
        dense = torch.relu(layer(dense))
    cells = align_and_mix(features, context, model.mix.weight, model.mix.bias, config.grid)
    fused = model._scores(torch.relu(cells))
    np.testing.assert_allclose(fused.detach(), model.map[-1](dense).sigmoid().detach(), rtol=0, atol=1e-12)


def test_graph_neighbours_and_gather():
    x = torch.tensor([[[0.0, 10.0, 0.1, 10.2]]])
    index = neighbours(x, 2)
    assert [sorted(row) for row in index[0].tolist()] == [[0, 2], [1, 3], [0, 2], [1, 3]]
    assert gather(x, torch.tensor([[[0, 3]] * 4])).tolist()[0][0][1] == pytest.approx([0.0, 10.2])


def test_iou_map_of_one_action():
    found = iou_map(np.array([[0.2, 0.5]]), 100, 100)
    assert found[29, 20] == pytest.approx(1)
    assert found[30, 19] == pytest.approx(0.967742, abs=1e-6)
    assert found[19, 25] == pytest.approx(0.666667, abs=1e-6)
    assert (found[~valid_cells(100, 100)] == 0).all()


def test_zero_length_actions_give_no_target():
    assert iou_map(np.array([[0.3, 0.3]]), 10, 10).max() == 0


def test_start_targets_of_the_released_cells():
    found = boundary_map(np.array([0.2]), 100, cell_end=1.5)
    np.testing.assert_allclose(found[17:23], [0, 0.5, 1, 1, 0.5, 0], atol=1e-9)


def test_interpolation_in_time():
    x = np.array([[0.0], [1.0], [2.0]], np.float32)
    assert resample_time(x, 6)[:, 0].tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2]
    np.testing.assert_array_equal(resample_time(x, 3), x)
    assert resample_time(x[:1] + 5, 4)[:, 0].tolist() == [5, 5, 5, 5]
    again = torch.nn.functional.interpolate(torch.rand(1, 4, 37, generator=torch.manual_seed(3)), 100, mode="linear")
    ours = resample_time(torch.rand(1, 4, 37, generator=torch.manual_seed(3))[0].T.numpy(), 100)
    np.testing.assert_allclose(ours, again[0].T.numpy(), atol=1e-5)


def test_balanced_loss_equals_the_published_weights():
    p = torch.tensor([0.9, 0.2, 0.6, 0.4], dtype=torch.float64)
    y = torch.tensor([1.0, 0, 0, 1], dtype=torch.float64)
    r = 4 / 2
    c1, c0 = 0.5 * r, 0.5 * r / (r - 1)
    published = -(c1 * y * torch.log(p + 1e-6) + c0 * (1 - y) * torch.log(1 - p + 1e-6)).mean()
    assert float(balanced(p, y > 0.5, y <= 0.5)) == pytest.approx(float(published), abs=1e-12)


def test_balanced_loss_of_thumos14_adds_to_the_counts():
    p = torch.tensor([0.9, 0.2, 0.6, 0.4], dtype=torch.float64)
    y = torch.tensor([1.0, 0, 0, 1], dtype=torch.float64)
    positives, entries = 2 + 10, 2 + 10 + 2 + 10
    r = entries / positives
    c1, c0 = 0.5 * r, 0.5 * r / (r - 1)
    published = -(c1 * y * torch.log(p + 1e-6) + c0 * (1 - y) * torch.log(1 - p + 1e-6)).sum() / entries
    assert float(balanced(p, y > 0.5, y <= 0.5, extra=10)) == pytest.approx(float(published), abs=1e-12)


class Fixed(torch.nn.Module):
    def __init__(self, *outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, x):
        return self.outputs


@pytest.mark.parametrize(
    ("weights", "extra"), [({}, 0), ({"regression_weight": 1.0, "classification_weight": 10.0}, 10)]
)
def test_total_loss_equals_the_published_formulas(weights, extra):
    """ActivityNet: node + 10 regression + classification; THUMOS14 as released: the weights swapped, counts + 10.

    As many high, middle and low cells, so that every one of them is drawn.
    """
    torch.manual_seed(0)
    config = Config(length=4, durations=4, neighbours=1, class_count_extra=extra, **weights)
    valid = torch.from_numpy(valid_cells(4, 4))
    iou = torch.zeros(1, 4, 4)
    iou[0, valid] = torch.tensor([0.95, 0.8, 0.5, 0.6, 0.1, 0.2, 0.0, 0.0, 0.0, 0.0])
    found, nodes = torch.rand(1, 2, 4, 4) * 0.9 + 0.05, torch.rand(2, 1, 4) * 0.9 + 0.05
    batch = {"iou": iou, "start": torch.tensor([[0.0, 1, 0.5, 0.6]]), "end": torch.tensor([[0.0, 0, 1, 0]])}

    def published(p, y, extra=0):
        positives = y.sum() + extra
        entries = positives + (1 - y).sum() + extra
        r = entries / positives
        c1, c0 = 0.5 * r, 0.5 * r / (r - 1)
        return float(-(c1 * y * torch.log(p + 1e-6) + c0 * (1 - y) * torch.log(1 - p + 1e-6)).sum() / entries)

    node = sum(published(p, (batch[name] > 0.5).float()) for p, name in zip(nodes, ("start", "end"), strict=True))
    regression = float(0.5 * ((found[:, 0] - iou)[iou > 0] ** 2).mean())
    classification = published(found[0, 1][valid], (iou[0][valid] > 0.9).float(), extra)
    terms = GtadTask(Fixed(found, *nodes), config).loss({"features": None, **batch})
    total = sum(float(t.sum) * t.weight / t.count for t in terms.values())
    first, second = (1.0, 10.0) if weights else (10.0, 1.0)
    assert total == pytest.approx(node + first * regression + second * classification, rel=1e-5)


def test_losses_without_positives_are_finite():
    p = torch.full((1, 2, 3), 0.5, requires_grad=True)
    none = torch.zeros(1, 2, 3)
    total = balanced(p, none > 0, none <= 0) + regression_loss(p, none)
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(p.grad).all()


def test_regression_loss_keeps_as_many_middle_and_low_cells_as_high_ones():
    torch.manual_seed(0)
    iou = torch.cat([torch.full((100,), 0.8), torch.full((1000,), 0.5), torch.full((2000,), 0.1)]).view(1, 1, -1)
    # Errors 1, 2, 4 mark the three sets: equal weights give (1 + 4 + 16) / 3 / 2.
    p = iou + torch.cat([torch.full((100,), 1.0), torch.full((1000,), 2.0), torch.full((2000,), 4.0)])
    assert float(regression_loss(p, iou)) == pytest.approx(3.5, rel=0.15)


@pytest.fixture(scope="module")
def activitynet(shared):
    """Targets of all 19,228 published videos, the 9,649 of training first."""
    info = pd.read_csv(shared / "bmn/video_info_new.csv.gz")
    names = info.sort_values("subset", key=lambda s: ~s.str.contains("train"), kind="stable")["video"]
    database = json.loads(gzip.decompress((shared / "bmn/anet_anno_action.json.gz").read_bytes()))
    config, counts = Config(), []
    for name in names:
        entry = database[name]
        found = targets(normalised_segments(video_of(name, entry), "feature_frames"), config)
        assert all(torch.isfinite(x).all() for x in found.values())
        iou, valid = found["iou"], torch.from_numpy(valid_cells(100, 100))
        cells = [iou > 0.7, (iou > 0.3) & (iou <= 0.7), (iou > 0) & (iou <= 0.3), (iou == 0) & valid, iou > 0.9]
        counts.append([int(c.sum()) for c in (*cells, found["start"] > 0.5, found["end"] > 0.5)])
    return np.array(counts)


def video_of(name, entry):
    segments = tuple(
        Segment(start_s=float(a["segment"][0]), end_s=float(a["segment"][1]), label=a["label"])
        for a in entry["annotations"]
    )
    extra = {key: entry[key] for key in ("feature_frame", "duration_frame")}
    return Video(
        name=name,
        filename=f"{name}.mp4",
        subset="t",
        duration_s=entry["duration_second"],
        segments=segments,
        extra=extra,
    )


def test_targets_of_activitynet(activitynet):
    """Means per training video: cells of high, middle, low and no tIoU, above 0.9; positive nodes."""
    assert len(activitynet) == 19_228
    activitynet = activitynet[:9_649]
    assert activitynet[:, :4].mean(0).round().astype(int).tolist() == [504, 1_879, 2_095, 572]
    assert round(activitynet[:, 4].mean()) == 68
    assert activitynet[:, 5:].mean(0).round(1).tolist() == [4.3, 4.3]
    # Shares of videos without a cell above 0.9 and above 0.7: the batches of one that the released losses fail on.
    assert round(100 * (activitynet[:, 4] == 0).mean(), 2) == 2.06
    assert round(100 * (activitynet[:, 0] == 0).mean(), 2) == 0.56


def test_classes_of_untrimmednet(shared):
    """Accuracy on the 210 evaluated test videos, among the 20 classes: 92.9 % first, 97.6 % first two."""
    scores = read_video_scores(shared / "gtad/uNet_test.npy")
    assert len(scores.scores) == 1_574
    truth = read_json(shared / "gtad/thumos_gt.json")["database"]
    hits = []
    for name, entry in truth.items():
        if entry["subset"].lower() == "test":
            labels = {a["label"] for a in entry["annotations"]}
            best = [label for label, _ in scores.best(name, 2)]
            hits.append([best[0] in labels, bool(labels & set(best))])
    assert len(hits) == 210
    assert (100 * np.mean(hits, axis=0)).round(1).tolist() == [92.9, 97.6]
