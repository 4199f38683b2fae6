"""Video-level class scores: of our own action head, or of a published file."""

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
from tsp.io.files import read_json, sha256, write_json
from tsp.io.predictions import THUMOS14_CLASSES

log = logging.getLogger(__name__)
# The action head of a model with two heads (TSP) and with one (TAC).
ACTION_HEADS = ("fc1", "fc")
UCF101 = 101


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
        """The `n` best classes of a video with their scores; on ties the first class comes first."""
        if video not in self.scores:
            raise TspError(f"{self.source}: no class scores of video {video!r}")
        row = self.scores[video]
        return [(self.classes[k], float(row[k])) for k in np.argsort(-row, kind="stable")[:n]]


def read_video_scores(path: str | Path) -> VideoScores:
    """Read class scores of whole videos.

    Args:
        path: JSON `{"results": {video: [K scores]}, "class": [K names]}`, the layout of the shared CUHK files and
            ours; or `.npy` `[V, 101]`, the UntrimmedNet scores of THUMOS14's test videos (row = number of the video
            - 1, column = class id - 1).

    Raises:
        TspError: another layout, or a row of another length.
    """
    if Path(path).suffix == ".npy":
        return _read_untrimmednet(Path(path))
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


def _read_untrimmednet(path: Path) -> VideoScores:
    try:
        table = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise TspError(f"{path}: cannot be read as a NumPy array ({error})") from error
    if table.ndim != 2 or table.shape[1] != UCF101 or not np.isfinite(table).all():
        raise TspError(f"{path}: expected finite scores [videos, {UCF101}], found shape {table.shape}")
    # Highest id first: the released code prefers it on ties.
    ids = sorted(THUMOS14_CLASSES, reverse=True)
    picked = table[:, [k - 1 for k in ids]].astype(np.float64)
    scores = {f"video_test_{number:07d}": row for number, row in enumerate(picked, 1)}
    return VideoScores(scores=scores, classes=[THUMOS14_CLASSES[k] for k in ids], source=str(path))


def _knows_actions(weights: Path) -> bool:
    """False if the facts beside the weights state a region head only."""
    facts = weights.with_suffix(".json")
    run = read_json(facts).get("run", {}) if facts.is_file() else {}
    return "action" in run.get("heads", ["action"])


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
    head = next((name for name in ACTION_HEADS if f"{name}.weight" in state), None) if _knows_actions(weights) else None
    if head is None or len(state[f"{head}.weight"]) != len(labels):
        found = "no action head" if head is None else f"{len(state[f'{head}.weight'])} classes, not {len(labels)}"
        raise TspError(f"{weights}: has {found}; `labels` of an experiment must name a run trained on its actions")
    weight, bias = state[f"{head}.weight"].float(), state[f"{head}.bias"].float()
    names = {video.key: video.name for video in read_annotations(annotations)}
    results = {}
    with FeatureFile(features) as file:
        left_out = [key for key in file.names if key not in names]
        for key in file.names:
            clips = torch.from_numpy(file[key])
            if key in names and len(clips):
                results[names[key]] = (clips @ weight.T + bias).softmax(1).double().mean(0).tolist()
    if not results:
        raise TspError(f"{features}: none of its {len(left_out)} videos is in {annotations}")
    source = {"features": str(features), "weights_sha256": sha256(weights), "head": head}
    write_json(output, {"class": list(labels), "results": results, "source": source}, indent=None)
    log.info("%d videos scored, %d not annotated", len(results), len(left_out))
