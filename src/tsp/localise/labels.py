"""Video-level classes: from an own action head, or from a published file of class scores."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tsp.encoders.weights import load_state
from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.io.features import FeatureFile
from tsp.io.files import read_json, write_json

log = logging.getLogger(__name__)
# The action head of a model with one head (TAC) and with two (TSP).
ACTION_HEADS = ("fc1", "fc")


@dataclass(frozen=True, kw_only=True)
class VideoScores:
    """Class scores of videos.

    Args:
        scores: video name -> `[K]`.
        classes: `K` names.
        source: the file, for messages.
    """

    scores: dict[str, NDArray[np.float64]]
    classes: list[str]
    source: str

    def best(self, video: str, n: int) -> list[tuple[str, float]]:
        """The `n` best classes of a video with their scores; equal scores: the first class first."""
        if video not in self.scores:
            raise TspError(f"{self.source}: no class scores of video {video!r}")
        row = self.scores[video]
        return [(self.classes[k], float(row[k])) for k in np.argsort(-row, kind="stable")[:n]]


def read_video_scores(path: str | Path) -> VideoScores:
    """Read `{"results": {video: [K scores]}, "class": [K names]}`, the layout of the shared CUHK files and ours.

    Raises:
        TspError: another layout, or a row of another length.
    """
    document = read_json(path)
    try:
        classes = [str(name) for name in document["class"]]
        scores = {name: np.asarray(row, dtype=np.float64) for name, row in document["results"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TspError(f'{path}: expected {{"results": {{video: scores}}, "class": names}} ({error!r})') from error
    for name, row in scores.items():
        if row.shape != (len(classes),) or not np.isfinite(row).all():
            raise TspError(f"{path}: results[{name!r}]: expected {len(classes)} finite scores, found {row.shape}")
    return VideoScores(scores=scores, classes=classes, source=str(path))


def video_scores(features: Path, weights: Path, annotations: Path, labels: Sequence[str], output: Path) -> None:
    """Score whole videos: the action head's softmax, averaged over the clips of a video.

    Args:
        features: feature file of the run.
        weights: the run's weights with their action head.
        annotations: canonical annotations, for the names of the videos.
        labels: action names in id order.
        output: JSON to write.

    Raises:
        TspError: no action head, or one of another width than the labels.
    """
    state = load_state(weights)
    head = next((name for name in ACTION_HEADS if f"{name}.weight" in state), None)
    if head is None:
        raise TspError(f"{weights}: has no action head; `labels` of an experiment must name a run that has one")
    weight, bias = state[f"{head}.weight"].float(), state[f"{head}.bias"].float()
    names = {video.key: video.name for video in read_annotations(annotations)}
    with FeatureFile(features) as file:
        if len(weight) != len(labels):
            raise TspError(f"{weights}: the action head has {len(weight)} classes, the data set {len(labels)}")
        logits = {key: torch.from_numpy(file[key]) @ weight.T + bias for key in file.names if key in names}
    results = {names[key]: rows.softmax(1).double().mean(0).tolist() for key, rows in logits.items()}
    write_json(output, {"class": list(labels), "results": results, "source": {"features": str(features), "head": head}})
    log.info("%d videos scored", len(results))
