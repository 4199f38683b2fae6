"""A small P-GCN and its steps on a small data set with proposals."""

import numpy as np
from unit.localise.make import raw_of, side

from tsp.io.predictions import read_predictions
from tsp.localise.method import TrainingInputs
from tsp.localise.pgcn import method as pgcn
from tsp.localise.pgcn.config import PgcnTrainer
from tsp.localise.pgcn.data import Neighbourhoods, read_source, trainables
from tsp.localise.pgcn.detections import (
    read_outputs,
)
from tsp.localise.pgcn.method import Config
from tsp.localise.pgcn.proposal_types import target_statistics

SMALL = Config(
    pooling="time",
    hidden=8,
    graph_dropout=0.2,
    dropout=0.2,
    lr=0.02,
    multiplier=4,
    trainer=PgcnTrainer(epochs=6, batch_size=4, milestones=(5,), validate_every=1),
)


def segments_of(video, rng, n=40):
    """Proposals about the action of a video and elsewhere."""
    truth = np.array([(s.start_s, s.end_s) for s in video.segments])
    moved = truth[rng.integers(len(truth), size=n)] + rng.normal(size=(n, 2)) * rng.choice([0.3, 3.0], (n, 1))
    # None much longer than an action: what is pooled by its largest value says little of how much lies beside it.
    anywhere = rng.uniform(0, video.duration_s, (n, 1)) + [0, 1] * rng.uniform(2, 9, (n, 1))
    return np.sort(np.clip(np.concatenate([moved, anywhere]), 0, video.duration_s), axis=1)


def train(data, output, seed=0, config=SMALL):
    inputs = TrainingInputs(train=side(data, "train", listed=True), valid=side(data, "valid", listed=True))
    weights = output / "weights.safetensors"
    pgcn.train(config, inputs, seed=seed, weights=weights, work=output / "work", device="cpu")
    return weights.read_bytes()


def infer(data, output, config=SMALL):
    inputs = side(data, "valid", listed=True)
    pgcn.infer(config, inputs, weights=data / "seed0/weights.safetensors", output=output, device="cpu")
    classes, videos = read_outputs(output)
    return classes, {video.name: video for video in videos}


def post_process(data, raw, config=SMALL, labels=None):
    output = raw.with_suffix(".json")
    pgcn.post_process(config, raw_of(data, raw), labels=labels, output=output)
    return read_predictions(output)


def sample_of(data, config, index=0):
    sources = read_source(config, side(data, "train", listed=True))
    videos = trainables(config, sources, data / "train.h5")
    samples = Neighbourhoods(videos, config, target_statistics(v.pools for v in videos), 0, repeat=2, batch=4)
    return videos, samples
