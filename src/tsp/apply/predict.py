"""One video through a trained encoder: features, foreground probability, best actions (`tsp predict`)."""

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tsp.config.load import build
from tsp.encoders.build import build_encoder
from tsp.encoders.config import EncoderConfig
from tsp.encoders.weights import State, encoder_state, load_state, load_strict
from tsp.errors import TspError
from tsp.features.config import ExtractConfig
from tsp.features.extract import extract
from tsp.io.features import feature_writer
from tsp.io.files import read_json, sha256, write_json
from tsp.io.tables import ACTION
from tsp.names import feature_key
from tsp.pretrain.data import REGIONS
from tsp.pretrain.gvf import POOLS
from tsp.report.overlay import foreground_curve
from tsp.segments import feature_time
from tsp.training.distributed import pick_device
from tsp.video.config import StandardiseConfig
from tsp.video.encode import UnusableVideo, standardise_video

log = logging.getLogger(__name__)
Array = NDArray[np.float32]
BEST = 5


@dataclass(frozen=True, kw_only=True)
class Model:
    """Weights with their encoder and the facts of their JSON file."""

    path: Path
    state: State
    encoder: EncoderConfig
    facts: dict[str, Any]

    def head(self, kind: Literal["action", "region"]) -> tuple[Tensor, Tensor] | None:
        """Weight `[K, D]` and bias `[K]` of a head; None if the model has none."""
        layer = {"action": "fc1", "region": "fc2"}[kind]
        if f"{layer}.weight" not in self.state:
            only = self.facts.get("run", {}).get("heads", ["action"])
            layer = "fc" if only == [kind] and "fc.weight" in self.state else ""
        if not layer:
            return None
        return self.state[f"{layer}.weight"].float(), self.state[f"{layer}.bias"].float()


def predict(
    video: Path,
    weights: Path,
    output: Path,
    *,
    encoder: str | None = None,
    gvf_weights: Path | None = None,
    stride: int = 16,
    device: str | None = None,
) -> None:
    """Features, foreground probability over time and best actions of one video.

    Args:
        video: any file that ffmpeg can read; it is first standardised to 30 fps.
        weights: `encoder.safetensors` of a run, or a released checkpoint.
        output: folder for `features.h5`, `prediction.json` and, with a region head, `foreground.{png,pdf,csv}`.
        encoder: factory in `tsp.encoders.video_resnet` for weights without a `.json` file next to them.
        gvf_weights: weights whose pooled features the region head was trained with; None: the start weights of the run.
        stride: frames at 15 fps between the starts of consecutive clips.
        device: `cpu`, `cuda`...; None: a GPU if available.

    Raises:
        TspError: the video or the weights cannot be used.

    Paper: section 3.2 (heads, global video feature); the probability is the region head's softmax.
    """
    model = _load(weights, encoder)
    output.mkdir(parents=True, exist_ok=True)
    where = pick_device(device)
    with tempfile.TemporaryDirectory() as folder:
        clean = Path(folder) / "video.mp4"
        try:
            standardise_video(video, clean, StandardiseConfig())
        except UnusableVideo as error:
            raise TspError(f"{video}: {error}") from None
        features = _features(clean, model, stride, where)
        foreground = _foreground(features, clean, model, gvf_weights, where)
    time = {"stride": stride, "fps": model.encoder.fps, "clip_length": model.encoder.clip_length}
    with feature_writer(output / "features.h5", {**time, "weights_sha256": sha256(weights)}) as writer:
        writer.write(feature_key(video.name), features)
    centres = feature_time(np.arange(len(features)), stride, model.encoder.fps, model.encoder.clip_length)
    found: dict[str, Any] = {"video": str(video), "weights": str(weights), **time, "time_s": centres.tolist()}
    found["actions"] = _actions(features, model)
    if foreground is not None:
        found["foreground"] = foreground.tolist()
        foreground_curve(centres, foreground, output / "foreground.png", title=video.name)
    else:
        log.warning("%s: no region head (TAC?), so no foreground probability", weights)
    write_json(output / "prediction.json", found)


def _load(weights: Path, encoder: str | None) -> Model:
    state = load_state(weights)
    beside = weights.with_suffix(".json")
    facts = read_json(beside) if beside.is_file() else {}
    if encoder is None and "encoder" not in facts:
        raise TspError(f"{weights}: no {beside.name} next to it names its encoder; pass --encoder r2plus1d_34")
    stated = {"factory": f"tsp.encoders.video_resnet:{encoder}"} if encoder else facts["encoder"]
    return Model(path=weights, state=state, encoder=build(EncoderConfig, stated, str(weights)), facts=facts)


def _features(video: Path, model: Model, stride: int, device: torch.device) -> Array:
    network = build_encoder(model.encoder.factory)
    load_strict(network, encoder_state(model.state), model.path)
    ((_, found),) = extract([video], network.eval().to(device), model.encoder, stride=stride, config=ExtractConfig())
    if isinstance(found, TspError):
        raise found
    return found


def _foreground(
    features: Array, video: Path, model: Model, gvf_weights: Path | None, device: torch.device
) -> NDArray[np.float64] | None:
    """Probability of `Action` of each clip, `[n]`; None without a region head."""
    head = model.head("region")
    if head is None:
        return None
    weight, bias = head
    seen = torch.from_numpy(features)
    if weight.shape[1] > features.shape[1]:
        start = gvf_weights or _start_weights(model)
        other = Model(path=start, state=load_state(start), encoder=model.encoder, facts={})
        pool = POOLS[model.facts.get("run", {}).get("gvf") or "max"]
        # Pooled over the clips that training pools: stride 16.
        gvf = torch.from_numpy(pool(_features(video, other, 16, device)))
        seen = torch.cat([seen, gvf.expand(len(seen), -1)], dim=1)
    if weight.shape[1] != seen.shape[1]:
        raise TspError(
            f"{model.path}: its region head expects {weight.shape[1]} inputs, features and GVF have {seen.shape[1]}"
        )
    probability: NDArray[np.float64] = (seen @ weight.T + bias).softmax(1)[:, REGIONS.index(ACTION)].double().numpy()
    return probability


def _start_weights(model: Model) -> Path:
    stated = model.facts.get("inputs", {}).get("start")
    # As written at training time, or moved along with the results folder.
    places = (
        [Path(stated["path"]), model.path.parent.parent / Path(stated["path"]).parent.name / "encoder.safetensors"]
        if stated
        else []
    )
    for place in places:
        if place.is_file() and sha256(place) == stated["sha256"]:
            return place
    raise TspError(
        f"{model.path}: its region head needs global video features; pass --gvf-weights (the start weights of the run)"
    )


def _actions(features: Array, model: Model) -> list[dict[str, Any]]:
    """Best actions of the whole video: the action head's softmax, averaged over the clips."""
    head = model.head("action")
    if head is None:
        return []
    weight, bias = head
    scores = (torch.from_numpy(features) @ weight.T + bias).softmax(1).double().mean(0)
    labels = model.facts.get("labels") or [str(k) for k in range(len(scores))]
    best = scores.argsort(descending=True, stable=True)[:BEST].tolist()
    return [{"label": labels[k], "score": float(scores[k])} for k in best]
