"""A small localisation data set whose actions can be read off the features."""

import numpy as np

from tsp.io.annotations import write_annotations
from tsp.io.features import feature_writer
from tsp.io.files import write_json
from tsp.io.predictions import read_predictions
from tsp.localise import bmn, gtad
from tsp.localise.gtad import Config, GtadTrainer
from tsp.localise.method import Raw, SubsetInputs, TrainingInputs
from tsp.localise.windows import Windows
from tsp.types import Segment, Video

SMALL = Config(
    length=16,
    durations=12,
    hidden_1d=16,
    hidden_3d=16,
    hidden_2d=8,
    stem_groups=2,
    gcn_width=8,
    gcn_groups=2,
    inner_samples=4,
    context_samples=2,
    trainer=GtadTrainer(epochs=2, batch_size=4, milestones=(1,)),
)
SMALL_BMN = bmn.Config(
    length=16,
    durations=12,
    bins=4,
    hidden_1d=16,
    matching_channels=8,
    hidden_3d=16,
    hidden_2d=8,
    groups=2,
    trainer=bmn.BmnTrainer(epochs=2, batch_size=4, milestones=(1,)),
)
WINDOWS = Windows(step_frames=10, longest_frames=None, coverage=0.5)
METHODS = {"gtad": (gtad, SMALL), "bmn": (bmn, SMALL_BMN)}
SUBSETS = {"train": "training", "valid": "validation"}
LABELS = ["jump", "run"]


def make_set(folder, videos=12, channels=8, seed=0):
    """Features, annotations and class scores; every third video is for validation."""
    rng = np.random.default_rng(seed)
    made, files = [], {name: folder / f"{name}.h5" for name in SUBSETS}
    rows = {name: {} for name in SUBSETS}
    for k in range(videos):
        duration, subset = float(rng.uniform(20, 40)), "valid" if k % 3 == 2 else "train"
        start = float(rng.uniform(0.1, 0.5)) * duration
        end = start + float(rng.uniform(0.2, 0.4)) * duration
        label = LABELS[k % 2]
        n = int(duration)
        inside = (np.arange(n) + 0.5 > start) & (np.arange(n) + 0.5 < end)
        rows[subset][f"v_{k}"] = (rng.normal(size=(n, channels)) * 0.3 + 2 * inside[:, None]).astype(np.float32)
        segments = (Segment(start_s=start, end_s=end, label=label),)
        made.append(
            Video(name=str(k), filename=f"v_{k}.mp4", subset=SUBSETS[subset], duration_s=duration, segments=segments)
        )
    for name, path in files.items():
        with feature_writer(path, {"stride": 15, "fps": 15, "clip_length": 16}) as writer:
            for key, row in rows[name].items():
                writer.write(key, row)
    write_annotations(folder / "annotations.json", made)
    scores = {v.name: [0.9, 0.1] if v.segments[0].label == LABELS[0] else [0.2, 0.8] for v in made}
    write_json(folder / "labels.json", {"results": scores, "class": LABELS})
    return made


def train(method, config, data, output, seed=0):
    """Bytes of the weights of a training on `make_set`'s files."""
    inputs = TrainingInputs(train=side(data, "train"), valid=side(data, "valid"))
    weights = output / "weights.safetensors"
    method.train(config, inputs, seed=seed, weights=weights, work=output / "work", device="cpu")
    return weights.read_bytes()


def side(data, name, listed=False):
    """The files of `train` or `valid`, with or without its proposals."""
    return SubsetInputs(
        features=data / f"{name}.h5",
        annotations=data / "annotations.json",
        subset=SUBSETS[name],
        proposals=data / f"{name}.txt" if listed else None,
    )


def infer(method, config, data, weights, output):
    """Raw predictions of the validation videos."""
    method.infer(config, side(data, "valid"), weights=weights, output=output, device="cpu")


def raw_of(data, path):
    return Raw(path=path, annotations=data / "annotations.json", subset="validation")


def detect(method, config, data, raw, output):
    method.post_process(config, raw_of(data, raw), labels=data / "labels.json", output=output)
    return read_predictions(output)


def propose(method, config, data, raw, output):
    method.propose(config, raw_of(data, raw), output=output)
    return read_predictions(output)
