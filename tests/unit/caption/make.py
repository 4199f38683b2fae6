"""A tiny captioned data set: features whose level names the sentence."""

import json

import numpy as np

from tsp.caption.config import CaptionerConfig, CaptionTrainer, Config, ProposalConfig, ProposalTrainer
from tsp.caption.data import CaptionInputs, Measured
from tsp.io.features import feature_writer

SENTENCES = ("A red disc hops.", "A blue square shakes.", "Nothing moves here.")
CAPTIONER = CaptionerConfig(
    tokeniser="simple",
    vectors=None,
    train_vectors=True,
    word_width=16,
    width=16,
    heads=2,
    layers=1,
    widening=2,
    metric="loss",
    most_words=8,
    smoothing=0.1,
    lr=5e-3,
    caption_batch=4,
    trainer=CaptionTrainer(epochs=3, batch_size=4, log_every=1),
)
PROPOSALS = ProposalConfig(
    audio_anchors=2,
    video_anchors=3,
    audio_kernels=(1, 3),
    video_kernels=(1, 5),
    head_width=8,
    audio_length=24,
    video_length=24,
    most=5,
    silent="zero",
    lr=5e-3,
    trainer=ProposalTrainer(epochs=3, batch_size=4, log_every=1),
)
CONFIG = Config(captioner=CAPTIONER, proposals=PROPOSALS)


def data_set(folder, *, train=8, valid=4):
    """Feature files and references of videos of 16 s, one feature a second, every third without sound."""
    rng = np.random.default_rng(0)
    paths = {}
    for subset, n in (("train", train), ("valid", valid)):
        video, audio, references = {}, {}, {}
        for number in range(n):
            name = f"v_{subset}{number}"
            kind = number % len(SENTENCES)
            rows = rng.normal(0, 0.1, (16, 6)).astype(np.float32)
            first = 2 + number % 4
            rows[first : first + 6, kind] += 2
            video[name] = rows
            if number % 3:
                audio[name] = rng.normal(0, 0.1, (16, 4)).astype(np.float32)
            times = [[float(first), float(first + 6)], [0.0, float(first) - 0.5 * (number % 2)]]
            sentences = [SENTENCES[kind], SENTENCES[2]]
            references[name] = {"duration": 16.0, "timestamps": times, "sentences": sentences}
        for stream, rows in (("video", video), ("audio", audio)):
            paths[f"{subset}_{stream}"] = [folder / f"{subset}_{stream}.h5"]
            facts = {"stride": 16, "fps": 16.0, "clip_length": 16}
            with feature_writer(paths[f"{subset}_{stream}"][0], facts) as writer:
                for name, array in rows.items():
                    writer.write(name, array)
        (folder / f"{subset}.json").write_text(json.dumps(references))
    valid = Measured(video=paths["valid_video"], audio=paths["valid_audio"], references=[folder / "valid.json"])
    train = {"video": paths["train_video"], "audio": paths["train_audio"], "captions": folder / "train.json"}
    return CaptionInputs(**train, valid=valid)
