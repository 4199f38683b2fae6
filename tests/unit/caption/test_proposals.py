"""Proposals: anchors, targets, loss, heads, selection, whole videos."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from unit.caption.make import CAPTIONER, PROPOSALS

from tsp.caption.data import FILL, Streams, Whole, read_streams, usable
from tsp.caption.proposals import anchors, build_proposer, head_loss, nms, select, targets
from tsp.caption.text import Event
from tsp.errors import TspError
from tsp.io.features import feature_writer

SIZES = (torch.tensor([2.0, 6.0]), torch.tensor([1.0, 3.0, 9.0]))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_proposer((4, 6), SIZES, (1.0, 1.0), CAPTIONER, PROPOSALS)


def streams(sizes):
    rng = np.random.default_rng(1)
    audio = {f"v{n}": rng.normal(size=(a, 4)).astype(np.float32) for n, (a, _) in enumerate(sizes) if a}
    video = {f"v{n}": rng.normal(size=(v, 6)).astype(np.float32) for n, (_, v) in enumerate(sizes) if v}
    return Streams(video=video, audio=audio, video_step_s=1.0, audio_step_s=1.0)


def whole(sizes, **options):
    segments = {f"v{n}": np.array([[1.0, 4.0]]) for n in range(len(sizes))}
    return Whole(segments, streams(sizes), audio_length=10, video_length=12, **options)


def test_anchors_are_the_middles_of_clusters():
    lengths = np.concatenate([np.array([1.0, 1.1, 0.9]), np.array([10.0, 10.2, 9.8]), np.array([-3.0, 0.0])])
    np.testing.assert_allclose(anchors(lengths, 2, 0), [1.0, 10.0], atol=1e-9)
    with pytest.raises(TspError, match="7 anchors of 6"):
        anchors(lengths, 7, 0)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_anchors_are_scikit_learn_s(precision):
    lengths = np.random.default_rng(1).lognormal(3, 1, 3000).astype(precision)
    with threadpool_limits(1):
        clusters = KMeans(n_clusters=40, init="random", n_init=1, random_state=13).fit(lengths[:, None])
    found = anchors(lengths, 40, 13)
    assert found.dtype == precision
    np.testing.assert_array_equal(found, np.sort(clusters.cluster_centers_.ravel()))


def test_the_later_of_two_segments_in_one_slot_counts():
    segments = torch.tensor([[0, 1.0, 3.2], [1, 1.0, 3.2], [0, 1.2, 3.1]], dtype=torch.float64)
    found = targets(segments, torch.tensor([2.0]), 5, 1.0)
    assert found.slots.tolist() == [[1, 0], [0, 0], [2, 2]]
    assert found.centre.tolist() == pytest.approx([0.1, 0.15], abs=1e-6)


def test_a_segment_beyond_the_last_cell_is_put_there():
    found = targets(torch.tensor([[0, 8.0, 12.0]], dtype=torch.float64), torch.tensor([2.0]), 5, 1.0)
    assert found.slots[2].tolist() == [4]


def test_loss_equals_its_definition():
    torch.manual_seed(0)
    raw = 3 * torch.randn(2, 3, 3, 5, dtype=torch.float64)
    segments = torch.tensor([[0, 0.5, 2.0], [1, 1.0, 4.5], [1, 0.0, 1.0]], dtype=torch.float64)
    wanted = targets(segments, SIZES[1], 5, 1.0)
    there = torch.zeros(2, 3, 5, dtype=torch.bool)
    for row, anchor, cell in wanted.slots.T.tolist():
        there[row, anchor, cell] = True
    p = raw[:, :, 2].sigmoid()
    cross = torch.nn.functional.binary_cross_entropy(p, there.double(), reduction="none")
    found = {name: float(total / n) for name, (total, n) in head_loss(raw, wanted).items()}
    assert found["object"] == pytest.approx(float(cross[there].mean()), abs=1e-9)
    assert found["nothing"] == pytest.approx(float(cross[~there].mean()), abs=1e-9)


def test_best_are_those_of_the_whole_pool(model):
    model.eval()
    data = whole([(7, 9), (10, 12)])
    batch = data.collate([data[0], data[1]])
    pool = []
    for stream, raws in zip(
        (model.audio, model.video),
        model(*(batch[k] for k in ("audio", "video", "audio_mask", "video_mask"))),
        strict=True,
    ):
        pool += [stream.decode(raw) for raw in raws]
    pool = torch.cat(pool, dim=1)
    assert pool.shape == (2, 2 * 2 * 10 + 2 * 3 * 12, 3)
    expected = pool[..., 2].sort(descending=True).values[:, :9]
    torch.testing.assert_close(model.best(batch, 9, mask_padding=False)[..., 2], expected)


def test_padded_cells_are_candidates_unless_masked(model):
    model.eval()
    data = whole([(4, 5)])
    batch = data.collate([data[0]])
    for mask, latest in ((False, 12), (True, 5)):
        found = model.best(batch, 1000, mask_padding=mask)[0]
        assert found[found[:, 2] > 0, 0].max() < latest
        assert found[found[:, 2] > 0, 0].max() > latest - 1


def test_a_padded_batch_equals_each_video_alone(model):
    """Padding is of fixed length, so neighbours in the batch are of no effect."""
    model.eval()
    data = whole([(4, 5), (10, 12), (7, 1)])
    together = model.best(data.collate([data[n] for n in range(3)]), 20, mask_padding=False)
    for row in range(3):
        alone = model.best(data.collate([data[row]]), 20, mask_padding=False)[0]
        np.testing.assert_allclose(together[row].detach(), alone.detach(), rtol=0, atol=1e-5)


def test_padding_is_one_and_reaches_the_heads(model):
    """As released; the encoder sees none of it."""
    model.eval()
    data = whole([(4, 5)])
    batch = data.collate([data[0]])
    assert (batch["video"][0, 5:] == FILL).all()
    args = [batch[k] for k in ("audio", "video", "audio_mask", "video_mask")]
    before = model.encoder(*args)[1]
    args[1] = args[1].clone()
    args[1][0, 5:] = 5.0
    after = model.encoder(*args)[1]
    np.testing.assert_allclose(before[0, :5].detach(), after[0, :5].detach(), atol=1e-5)
    assert (before[0, 5:] - after[0, 5:]).abs().max() > 0.1


def test_frozen_encoder_has_dropout_but_no_gradient(model):
    model.train()
    data = whole([(4, 5)])
    batch = data.collate([data[0]])
    args = [batch[k] for k in ("audio", "video", "audio_mask", "video_mask")]
    heard, seen = model(*args)
    assert not torch.equal(heard[0], model(*args)[0][0])
    torch.stack([x.sum() for x in (*heard, *seen)]).sum().backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert all(p.grad is not None for p in model.audio.parameters())
    own = build_proposer((4, 6), SIZES, (1.0, 1.0), CAPTIONER, replace(PROPOSALS, encoder="own"))
    torch.stack([x.sum() for found in own(*args) for x in found]).sum().backward()
    assert all(p.grad is not None for p in own.encoder.layers.parameters())


def test_a_video_that_is_too_long_is_named():
    with pytest.raises(TspError, match="'v1': 13 video features, but videos are padded to 12"):
        whole([(4, 5), (4, 13)])


def test_short_batch_is_left_out_with_others_each_epoch():
    data = whole([(3, 4)] * 7, full_batches=3)
    assert len(data) == 6
    seen = []
    for epoch in range(6):
        data.set_epoch(epoch)
        chosen = {data[n]["index"] for n in range(6)}
        assert len(chosen) == 6
        seen.append(frozenset(chosen))
    assert len(set(seen)) > 1
    data.set_epoch(2)
    assert {data[n]["index"] for n in range(6)} == seen[2]
    assert len(whole([(3, 4)] * 2, full_batches=3)) == 2


def test_videos_for_proposals():
    def event(n, start, end):
        return Event(video=f"v{n}", start_s=start, end_s=end, duration_s=9.0, sentence="")

    events = [event(0, 1, 2), event(1, 1, 2), event(2, 1, 2), event(0, 3, 9.5), event(3, 1, 2), event(3, 2, 2)]
    found = streams([(3, 4), (0, 4), (3, 0), (3, 4)])
    assert {name: rows.tolist() for name, rows in usable(events, found, "drop").items()} == {"v0": [[1, 2], [3, 9.5]]}
    assert list(usable(events, found, "zero")) == ["v0", "v1"]


@given(
    st.lists(st.tuples(st.floats(-5, 40), st.floats(0, 30), st.floats(0, 1)), max_size=30), st.sampled_from([None, 0.5])
)
def test_selected_segments_lie_in_the_video(rows, threshold):
    config = replace(PROPOSALS, nms=threshold, most=20)
    segments, scores = select(np.array(rows, dtype=np.float64).reshape(-1, 3), 30.0, config)
    assert len(segments) <= 20
    assert (segments >= 0).all()
    assert (segments <= 30).all()
    assert (np.diff(scores) <= 0).all()
    assert (segments[:, 1] - segments[:, 0] > 0.2).all()


def test_nms_keeps_the_first():
    start, end = np.array([0.0, 0.0, 5.0]), np.array([4.0, 2.0, 9.0])
    assert nms(start, end, 0.49) == [0, 2]
    assert nms(start, end, 0.51) == [0, 1, 2]


def write(path, names, width=3, **facts):
    with feature_writer(path, {"stride": 16, "fps": 15.0} | facts) as writer:
        for name in names:
            writer.write(name, np.ones((2, width)))
    return path


def test_streams_of_several_files(tmp_path):
    a, b = write(tmp_path / "a.h5", ["v0", "v1"]), write(tmp_path / "b.h5", ["v2"])
    c = write(tmp_path / "c.h5", ["v2"], stride=96, fps=100.0)
    found = read_streams([a, b], [c], ["v0", "v2"])
    assert (list(found.video), list(found.audio)) == (["v0", "v2"], ["v2"])
    assert found.video_step_s == pytest.approx(16 / 15)
    assert found.audio_step_s == pytest.approx(0.96)


def test_all_missing_videos_are_named_at_once(tmp_path):
    a = write(tmp_path / "a.h5", ["v0"])
    with pytest.raises(TspError, match="no features of v7, v8"):
        read_streams([a], [a], ["v7", "v0", "v8"])
    assert list(read_streams([a], [a], ["v7", "v0"], missing="skip").video) == ["v0"]


def test_streams_that_do_not_fit(tmp_path):
    a, b = write(tmp_path / "a.h5", ["v0"]), write(tmp_path / "b.h5", ["v1"], width=4)
    with pytest.raises(TspError, match="differ"):
        read_streams([a, b], [a], ["v0", "v1"])
    with feature_writer(tmp_path / "c.h5", {}) as writer:
        writer.write("v0", np.ones((2, 3)))
    with pytest.raises(TspError, match="times of its features are unknown"):
        read_streams([tmp_path / "c.h5"], [a], ["v0"])
