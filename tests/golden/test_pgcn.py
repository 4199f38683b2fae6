"""P-GCN's published sizes, rules and numeric examples, and the reduced network against the dense definition."""

import dataclasses

import numpy as np
import pytest
import torch

from tsp.datasets.thumos14 import read
from tsp.localise.pgcn.detections import class_scores, refine
from tsp.localise.pgcn.graphs import GraphNetwork, expand, neighbour_slots
from tsp.localise.pgcn.method import Config, Pgcn, PgcnTask, completeness_loss, regression_loss
from tsp.localise.pgcn.pooling import Units, pool_segments, ticks
from tsp.localise.pgcn.proposal_lists import Clock, Listed, class_names, describe, make_list, read_list, write_list
from tsp.localise.pgcn.proposal_types import (
    TypeRules,
    draw_roots,
    make_pools,
    regression_targets,
    target_statistics,
    types,
)
from tsp.training.optim import make_schedule

INSTANCES, LABELS = [[300, 460], [800, 1000]], [5, 3]
PROPOSALS = [[310, 480], [700, 790], [780, 1100]]


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_parameters():
    model = Pgcn(1024, 20, Config())
    parts = (model.act, model.comp, model.activity, model.completeness, model.regression)
    assert [count(part) for part in parts] == [1_050_112, 3_149_312, 43_029, 122_900, 245_800]


def test_initial_weights():
    torch.manual_seed(0)
    model = Pgcn(256, 20, Config())
    assert model.act.weight1.abs().max() <= 1 / np.sqrt(512)
    assert model.act.bias2.abs().max() <= 1 / np.sqrt(256)
    assert float(model.comp.weight2.detach().abs().max()) == pytest.approx(1 / np.sqrt(768), rel=1e-3)
    assert float(model.completeness.weight.detach().std()) == pytest.approx(0.001, rel=0.05)
    assert (model.activity.bias == 0).all()


def test_lines_of_a_list(tmp_path):
    label, best, overlap = describe(PROPOSALS, INSTANCES, LABELS)
    video = Listed(
        name="v", n_frames=3000, fps=None, instance_labels=np.array(LABELS), instances=np.array(INSTANCES),
        labels=label, best_iou=best, overlap_self=overlap, segments=np.array(PROPOSALS), coverage=np.zeros(3),
    )  # fmt: skip
    write_list(tmp_path / "list.txt", [video])
    assert (tmp_path / "list.txt").read_text().splitlines() == [
        "# 0", "v", "3000", "1", "2", "5 300 460", "3 800 1000", "3",
        "5 0.8333 0.8824 310 480", "0 0 0 700 790", "3 0.6250 0.6250 780 1100",
    ]  # fmt: skip


PUBLISHED = """# 0
some/folder/video_test_0000004
101.5
30.0
1

5 300 460
3
5.0 0.8333 0.8824 310 480
3 0.5 0.5 2900 3100
0 0 0 3045 3050
# 1
video_test_0000006
500
1
0

1
0 0 0 0 500
"""


def test_a_published_list_is_read_as_it_is(tmp_path):
    (tmp_path / "list.txt").write_text(PUBLISHED)
    first, second = read_list(tmp_path / "list.txt")
    assert (first.name, first.n_frames, first.fps) == ("video_test_0000004", 3045, 30.0)
    # The last proposal starts behind the video; the second is cut to it, its coverage is not.
    assert first.segments.tolist() == [[310, 480], [2900, 3045]]
    assert first.coverage.tolist() == [170 / 3045, 200 / 3045]
    assert (second.name, second.n_frames, second.fps, second.instances.tolist()) == (
        "video_test_0000006",
        500,
        None,
        [],
    )


def test_regression_target_of_one_proposal():
    released = regression_targets([[300, 460]], [[310, 480]], "plus_one")
    np.testing.assert_allclose(released, [[15 / 161, np.log(171 / 161)]])
    np.testing.assert_allclose(released.round(4), [[0.0932, 0.0603]])
    ours = regression_targets([[300, 460]], [[310, 480]])
    np.testing.assert_allclose(ours, [[15 / 160, np.log(170 / 160)]])
    # Decoding gives the instance back.
    np.testing.assert_allclose(refine(np.array([[0.3, 0.46]]), ours), [[0.31, 0.48]])


@pytest.mark.parametrize(
    ("kind", "expected"),
    # 460 / 3000 * 3000 is a little less than 460: the released rule of inference loses that frame.
    [("training", [301, 460, 221, 540]), ("inference", [300, 459, 220, 540]), ("shared", [300, 460, 220, 540])],
)
def test_pooled_frames_of_one_proposal(kind, expected):
    assert ticks([[300, 460]], 3000, kind=kind).tolist() == [expected]


def test_context_stays_in_the_video():
    for kind, low in (("training", 1), ("inference", 0), ("shared", 0)):
        assert ticks([[10, 110], [2950, 2999]], 3000, kind=kind)[:, 2:].tolist()[0][0] == low
        assert ticks([[10, 110], [2950, 2999]], 3000, kind=kind)[1, 3] == 3000


def units_of(units, start, end, count):
    return tuple(int(x[0]) for x in units.ranges(np.array([start]), np.array([end]), count))


def test_units_of_windows():
    units = Units(rule="windows", n_frames=3000)
    assert units_of(units, 300, 460, 368) == (37, 50)
    assert units_of(units, 220, 300, 368) == (27, 30)
    assert units_of(units, 460, 540, 368) == (57, 60)
    assert units_of(units, 1000, 1030, 368) == (125, 125)
    # The last unit is in no range.
    assert units_of(units, 0, 3000, 368) == (0, 366)
    assert units.fit(np.zeros((500, 2), np.float32), 100).shape == (368, 2)


def test_units_of_rescaled_features():
    units = Units(rule="rescaled", n_frames=1000)
    assert units_of(units, 105, 299, 100) == (10, 30)
    assert units_of(units, 0, 1000, 100) == (0, 98)
    assert units_of(units, 995, 1000, 100) == (99, 99)


def test_units_of_clips_by_their_time():
    """Clips of 16 frames at 15 fps, every frame and every sixteenth, of a video of 30 fps."""
    every = Units(rule="time", n_frames=3000, frame_s=1 / 30)
    # 10 s to 12 s: the clip that starts at 10 s, and the last one to end by 12 s starts at 12 - 16/15 s.
    assert units_of(every, 300, 360, 1000) == (150, 164)
    # Shorter than two clips: the first alone.
    assert units_of(every, 300, 332, 1000) == (150, 150)
    assert units_of(every, 2900, 3000, 1485) == (1450, 1484)
    sparse = Units(rule="time", n_frames=3000, frame_s=1 / 30, stride=16)
    assert units_of(sparse, 320, 640, 93) == (10, 19)


def test_pooled_features_are_context_course_context():
    rng = np.random.default_rng(0)
    features = rng.random((368, 4), np.float32)
    found = pool_segments(features, ticks([[300, 460], [1000, 1030]], 3000), Units(rule="windows", n_frames=3000))
    expected = [features[27:31].max(0), features[37:51].max(0), features[57:61].max(0)]
    np.testing.assert_array_equal(found[0], np.concatenate(expected))
    np.testing.assert_array_equal(found[1, 4:8], features[125])


def relation(a, b):
    """tIoU and distance as the definition reads."""
    inter = max(0, min(a[1], b[1]) - max(a[0], b[0]) + 1)
    lengths = a[1] - a[0] + 1 + b[1] - b[0] + 1
    hull = max(a[1], b[1]) - min(a[0], b[0]) + 1
    return inter / (lengths - inter), abs((a[0] + a[1]) / 2 - (b[0] + b[1]) / 2) / hull


def test_relations_of_the_example():
    assert relation([100, 199], [110, 205])[0] == pytest.approx(0.8491, abs=1e-4)
    assert relation([100, 199], [300, 399]) == (0, pytest.approx(0.6667, abs=1e-4))


def brute_force_slots(segments):
    rows = []
    for i, own in enumerate(segments):
        related = [(j, *relation(own, other)) for j, other in enumerate(segments) if j != i]
        near = [j for j, _, _ in sorted((r for r in related if r[1] > 0.7), key=lambda r: -r[1])]
        far = [j for j, _, _ in sorted((r for r in related if r[1] <= 0 and r[2] > 0), key=lambda r: r[2])]
        contextual = [near[k % len(near)] for k in range(8)] if near else [i] * 8
        surrounding = [far[k % len(far)] for k in range(2)] if far else [i] * 2
        rows.append(contextual + surrounding)
    return rows


@pytest.mark.parametrize("n", [1, 2, 3, 20, 200])
def test_slots_equal_brute_force(n):
    """Few lengths and places, so that equal values and repeated segments are common."""
    rng = np.random.default_rng(n)
    start = rng.integers(0, 60, n)
    segments = np.stack([start, start + rng.integers(1, 40, n)], axis=1)
    assert neighbour_slots(segments).tolist() == brute_force_slots(segments.tolist())


def test_expansion_draws_without_replacement_from_the_slots():
    slots = np.arange(300).reshape(30, 10) % 30
    found = expand(np.arange(30), slots, 4, np.random.default_rng(0))
    assert found.shape == (30, 21)
    for row in found.tolist():
        for s in range(5):
            children = row[1 + 4 * s : 5 + 4 * s]
            assert len(set(children)) == 4
            assert set(children) <= set(slots[row[s]].tolist())


def dense_adjacency(x, children=4):
    """`[M, M]` of a neighbourhood `[M, F]`, as the definition reads."""
    a = torch.zeros(len(x), len(x), dtype=x.dtype)
    for s in range(1 + children):
        a[s, s] = 1
        for k in range(children):
            j = 1 + children * s + k
            cosine = x[s] @ x[j] / (x[s].norm() * x[j].norm())
            a[s, j] += max(0.0, float(cosine)) / children
    return a


def dense_graph(network, x):
    rows = []
    for nodes in x:
        a = dense_adjacency(nodes)
        hidden = torch.relu(a @ (nodes @ network.weight1) + network.bias1)
        rows.append((a @ (hidden @ network.weight2) + network.bias2)[0])
    return torch.stack(rows)


@pytest.mark.parametrize("shift", [0.0, 0.6])
def test_reduced_form_equals_the_dense_adjacency_with_gradients(shift):
    """Signed features, so that some cosines are negative; and mostly positive ones."""
    torch.manual_seed(0)
    network = GraphNetwork(12, 7, dropout=0.0).double()
    x = torch.randn(6, 21, 12, dtype=torch.float64) + shift
    weight = torch.randn(6, 12, dtype=torch.float64)
    found = []
    for forward in (network, lambda x: dense_graph(network, x)):
        out = forward(x)
        found.append([out, *torch.autograd.grad((out * weight).sum(), list(network.parameters()))])
    for ours, dense in zip(*found, strict=True):
        np.testing.assert_allclose(ours.detach(), dense.detach(), rtol=0, atol=1e-10)


def test_all_neighbours_at_once_equal_all_ten_as_children():
    """The mode without sampling is the sampled one with ten children, 111 nodes (the authors' own suggestion)."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    start = rng.integers(0, 100, 30)
    slots = neighbour_slots(np.stack([start, start + rng.integers(5, 60, 30)], axis=1))
    model = Pgcn(5, 3, Config(hidden=8)).double().eval()
    x = torch.rand(30, 15, dtype=torch.float64)
    nodes = expand(np.arange(30), slots, 10, rng)
    assert nodes.shape == (30, 111)
    for ours, drawn in zip(model.whole(x, torch.from_numpy(slots)), model(x[nodes]), strict=True):
        np.testing.assert_allclose(ours.detach(), drawn.detach(), rtol=0, atol=1e-12)


def test_nodes_without_features_do_no_harm():
    x = torch.rand(2, 21, 12)
    x[0, 0] = x[1, 3] = 0
    assert torch.isfinite(GraphNetwork(12, 7, 0.0)(x)).all()


ROOTS = [[0.3, 0.1, 0.9, -1.4, 0.7, 0.0, 0.5], [0.2, -0.4, 0.0, 0.3, 0.6, 0.5, -1.0]]


def batch_of(videos):
    return {
        "label": torch.tensor([[1, 2, 3, 1, 2, 3, 1, 0]] * videos),
        "type": torch.tensor([[0, 1, 1, 1, 1, 1, 1, 2]] * videos),
        "used": torch.ones(videos, 8, dtype=torch.bool),
        "target": torch.zeros(videos, 8, 2),
    }


def test_completeness_loss_of_the_example():
    batch = batch_of(2)
    scores = torch.zeros(2, 8, 3, dtype=torch.float64)
    own = batch["label"][:, :7, None] - 1
    scores[:, :7] = scores[:, :7].scatter(2, own, torch.tensor(ROOTS, dtype=torch.float64)[..., None])
    scores.requires_grad_()
    term = completeness_loss(scores, batch, Config())
    assert float(term.count) == 4
    assert float((term.sum / term.count).detach()) == pytest.approx(1.25, abs=1e-12)
    (gradient,) = torch.autograd.grad(term.sum / term.count, scores)
    picked = gradient[:, :7].gather(2, own)[..., 0]
    assert picked.tolist() == [[-0.25, 0, 0.25, 0, 0, 0, 0], [-0.25, 0, 0, 0, 0.25, 0, 0]]
    assert float(gradient.abs().sum()) == 1


@pytest.mark.parametrize(("videos", "expected"), [(32, 64), (1, 2), (50, 101)])
def test_count_of_the_completeness_loss(videos, expected):
    term = completeness_loss(torch.zeros(videos, 8, 3), batch_of(videos), Config())
    assert float(term.count) == expected


def test_regression_loss_is_the_mean_of_the_sum_of_both_coordinates():
    batch = batch_of(2) | {"target": torch.tensor([0.5, 3.0]).expand(2, 8, 2)}
    term = regression_loss(torch.zeros(2, 8, 3, 2), batch, 0.5)
    assert float(term.sum / term.count) == pytest.approx(0.5 * 0.25 + 2.5)


def test_schedule_and_parameter_groups():
    config = Config()
    factor = make_schedule(config.trainer, 125)
    assert [factor(125 * e) for e in (0, 14, 15, 30, 45, 69)] == pytest.approx([1, 1, 0.1, 0.01, 0.001, 0.001])
    weights, biases = PgcnTask(Pgcn(8, 3, config), config).param_groups()
    assert (weights["lr"], biases["lr"], biases["weight_decay"]) == (0.01, 0.02, 0.0)
    assert [len(weights["params"]), len(biases["params"])] == [7, 7]
    assert all(p.ndim == 1 for p in biases["params"])


def test_scores_are_softmax_times_exponential():
    activity, completeness = np.array([[1.0, 2.0, 0.5]]), np.array([[1.5, -0.5]])
    total = np.exp([1.0, 2.0, 0.5]).sum()
    np.testing.assert_allclose(
        class_scores(activity, completeness), [[np.exp(2) / total * np.exp(1.5), np.exp(0.5) / total * np.exp(-0.5)]]
    )


def thumos14(shared, name, subset):
    """Real annotations and lengths; proposals are instances moved about, and anything."""
    videos = read([shared / f"gtad/{name}_Annotation.csv"])
    clock = Clock.read(shared / f"tsp/thumos14/thumos14_{subset}_metadata.csv")
    rng, found = np.random.default_rng(0), {}
    for video in videos:
        n_frames, fps = clock.of(video)
        truth = np.array([(s.start_s, s.end_s) for s in video.segments]).reshape(-1, 2)
        moved = np.repeat(truth, 12, axis=0)
        moved = moved + rng.normal(size=moved.shape) * 0.3 * (moved[:, 1:] - moved[:, :1])
        anywhere = np.sort(rng.uniform(0, n_frames / fps, (200, 2)), axis=1)
        segments = np.sort(np.concatenate([moved, anywhere]), axis=1)
        found[video.name] = (segments, rng.random(len(segments)))
    return videos, make_list(videos, found, clock, class_names(videos), keep=800)


def test_lists_of_thumos14_are_typed_and_sampled(shared, tmp_path):
    videos, made = thumos14(shared, "val", "valid")
    assert len(class_names(videos)) == 20
    write_list(tmp_path / "list.txt", made)
    again = read_list(tmp_path / "list.txt")
    assert [v.name for v in again] == [v.name for v in made]
    assert [v.n_frames for v in again] == [v.n_frames for v in made]
    pools = [make_pools(v, TypeRules()) for v in again]
    codes = np.concatenate([types(v, TypeRules()) for v in again])
    totals = dict(
        zip(("foreground", "incomplete", "background"), np.bincount(codes, minlength=4).tolist(), strict=False)
    )
    print(f"{len(codes)} proposals: {totals}")
    # Of 3,007 instances 4 lie behind the end of their video.
    assert (len(again), sum(len(v.instances) for v in again)) == (200, 3003)
    assert np.sum([p.counts for p in pools], axis=0).tolist() == [
        totals["foreground"] + 3003, totals["incomplete"], totals["background"]
    ]  # fmt: skip
    assert min(totals.values()) > 5000
    mean, deviation = target_statistics(pools)
    assert (np.abs(mean) < 0.05).all()
    assert (deviation > 0.05).all()
    rng = np.random.default_rng(0)
    for pool in pools:
        nodes, codes, used = draw_roots(pool, (1, 6, 1), rng, "mask")
        ends = np.cumsum((0, *pool.counts))
        assert all(ends[c] <= i < ends[c + 1] for i, c, u in zip(nodes, codes, used, strict=True) if u)
        assert (pool.labels[nodes[used & (codes < 2)]] > 0).all()


def test_lists_of_the_test_videos_of_thumos14(shared):
    videos, made = thumos14(shared, "test", "test")
    assert len(made) == len(videos) == 213
    assert all(len(v.segments) <= 800 for v in made)


def test_defaults_are_the_published_ones():
    config = Config()
    trainer = dataclasses.asdict(config.trainer)
    published = {"epochs": 70, "batch_size": 32, "momentum": 0.9, "weight_decay": 5e-4, "milestones": (15, 30, 45)}
    assert {name: trainer[name] for name in published} == published
    assert (config.lr, config.multiplier, config.roots, config.top, config.nms_threshold) == (
        0.01,
        20,
        (1, 6, 1),
        2000,
        0.35,
    )
