"""Transforms from pixels to network input, against values worked out by hand."""

import numpy as np
import pytest
import torch

from tsp.encoders.config import EncoderConfig
from tsp.video.transforms import (
    View,
    centre_crop,
    eval_transform,
    normalise,
    prepare_frames,
    random_view,
    resize,
    to_float,
    train_transform,
)


def look(size=(20, 24), crop=16, mean=(0.43216, 0.394666, 0.37645), std=(0.22803, 0.22145, 0.216989)):
    return EncoderConfig(factory="tsp.encoders.video_resnet:r2plus1d_tiny", resize=size, crop=crop, mean=mean, std=std)


def noise(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def ramp(height, width):
    """Frames whose red is the row and green the column."""
    frame = torch.zeros(height, width, 3, dtype=torch.uint8)
    frame[..., 0], frame[..., 1] = torch.arange(height)[:, None], torch.arange(width)[None]
    return frame


def test_to_float_keeps_colours_apart():
    frames = torch.zeros(2, 4, 5, 3, dtype=torch.uint8)
    frames[1, 2, 3] = torch.tensor([255, 51, 0])
    images = to_float(frames)
    assert images.shape == (2, 3, 4, 5)
    assert images.dtype == torch.float32
    assert images[1, :, 2, 3].tolist() == [255.0, 51.0, 0.0]
    assert images.sum().item() == 306.0


def test_resize_is_bilinear_without_antialias():
    row = torch.tensor([0.0, 1.0, 0.0, 0.0]).expand(1, 3, 4, 4)
    # Half the width: output pixel k is the mean of input pixels 2k and 2k + 1; antialias would reach further.
    assert resize(row, (4, 2))[0, 0, 0].tolist() == [0.5, 0.0]
    # A quarter: the two pixels around the centre, 1 and 2, and no others.
    assert resize(row, (4, 1))[0, 0, 0].tolist() == [0.5]


def test_resize_changes_the_aspect_ratio_and_keeps_leading_dimensions():
    assert resize(torch.rand(2, 5, 3, 30, 20), (16, 18)).shape == (2, 5, 3, 16, 18)


def test_normalise_by_channel():
    images = torch.ones(2, 3, 1, 1) * torch.tensor([127.5, 153.0, 178.5]).view(3, 1, 1)
    found = normalise(images, (0.5, 0.5, 0.5), (0.1, 0.2, 0.4))
    assert found[1].flatten().tolist() == pytest.approx([0.0, 0.5, 0.5], abs=1e-6)


@pytest.mark.parametrize(
    ("size", "top", "left"),
    # 128 x 171 as in the paper; 29.5 is rounded to the even 30, 28.5 to the even 28.
    [((128, 171), 8, 30), ((128, 169), 8, 28), ((112, 112), 0, 0), ((113, 115), 0, 2)],
)
def test_centre_crop_rounds_half_to_even(size, top, left):
    images = ramp(*size).movedim(-1, 0)
    found = centre_crop(images, 112)
    assert found.shape == (3, 112, 112)
    assert found[:2, 0, 0].tolist() == [top, left]


def test_eval_transform_by_its_parts():
    clips, want = noise(2, 4, 30, 40, 3), look()
    images = normalise(resize(to_float(clips), want.resize), want.mean, want.std)[..., 2:18, 4:20]
    found = eval_transform(clips, want)
    assert found.shape == (2, 3, 4, 16, 16)
    assert torch.equal(found, images.transpose(1, 2))


def test_clip_by_clip_and_frame_by_frame_are_bit_equal():
    clips, want = noise(3, 4, 30, 40, 3), look()
    together = eval_transform(clips, want)
    for b in range(3):
        assert torch.equal(eval_transform(clips[b], want), together[b])
        for k in range(4):
            assert torch.equal(prepare_frames(clips[b, k : k + 1], want)[0], together[b, :, k])


PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def train(seed, flip, frames=None):
    clip = ramp(20, 24).expand(4, -1, -1, -1) if frames is None else frames
    form = look(**PLAIN)
    return train_transform(clip, form, random_view(form, np.random.default_rng(seed), flip=flip))


def test_train_transform_crops_anywhere_and_the_same_place_in_all_frames():
    corners = set()
    for seed in range(200):
        found = train(seed, 0.0)
        assert found.shape == (3, 4, 16, 16)
        assert torch.equal(found, found[:, :1].expand(-1, 4, -1, -1))
        corners.add(tuple((found[:2, 0, 0, 0] * 255).round().int().tolist()))
    # All 5 rows and 9 columns, the last ones included.
    assert {row for row, _ in corners} == set(range(5))
    assert {column for _, column in corners} == set(range(9))


def test_mirrored_clips_run_backwards():
    straight, mirrored = train(3, 0.0), train(3, 1.0)
    assert (straight[1, 0, 0].diff() > 0).all()
    assert (mirrored[1, 0, 0].diff() < 0).all()
    assert (mirrored[0, 0, :, 0].diff() > 0).all()


def test_share_of_mirrored_clips():
    mirrored = sum(bool(train(seed, 0.25)[1, 0, 0, 0] > train(seed, 0.25)[1, 0, 0, 1]) for seed in range(300))
    assert 45 <= mirrored <= 105


def test_train_transform_depends_on_its_generator_only():
    clip = noise(4, 30, 40, 3)
    assert torch.equal(train(5, 0.5, clip), train(5, 0.5, clip))
    assert any(not torch.equal(train(5, 0.5, clip), train(seed, 0.5, clip)) for seed in range(6, 9))


def test_train_transform_normalises():
    clip, want = noise(4, 20, 24, 3), look()
    plain = train_transform(clip, look(**PLAIN), View(True, 2, 3))
    found = train_transform(clip, want, View(True, 2, 3))
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (want.mean, want.std))
    assert torch.allclose(found, (plain - mean) / std, atol=1e-6)


def test_input_is_left_as_it_was():
    clip = noise(4, 20, 24, 3)
    before = clip.clone()
    train(0, 1.0, clip)
    eval_transform(clip, look())
    assert torch.equal(clip, before)
