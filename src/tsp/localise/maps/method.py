"""A method with boundary scores and a map of segments: from its parts to the functions of the contract.

N segments, T snippets.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import torch
from torch import Tensor, nn

from tsp import __version__
from tsp.encoders.weights import load_state, load_strict
from tsp.errors import TspError
from tsp.io.files import atomic, sha256
from tsp.io.hdf5 import open_hdf5
from tsp.localise.data import Rows, Subset, read_subset
from tsp.localise.fitting import fit_and_save
from tsp.localise.labels import read_video_scores
from tsp.localise.maps import training
from tsp.localise.maps.candidates import unsuppressed
from tsp.localise.maps.detections import Selection, scored_seconds, write_segments
from tsp.localise.maps.targets import Floats
from tsp.localise.maps.training import MapTask
from tsp.localise.method import Candidates, Raw, SubsetInputs, TrainingInputs
from tsp.progress import progress
from tsp.training.distributed import pick_device

log = logging.getLogger(__name__)
PARTS = ("map", "start", "end")


@dataclass(frozen=True, kw_only=True)
class MapMethod:
    """The parts of one method. Its methods `train` to `candidates` are the functions of the method's module.

    Args:
        name: the module, in the provenance of its files.
        title: the method, in its submissions.
        network: feature channels and config -> `[B, C, T]` to map, starts, ends (see `MapTask`).
        task: network, config and fingerprint -> the trainer's view.
        targets: actions `[N, 2]` in units of the video or window, config, and the same actions with the boundaries
            that they have outside a window -> named targets.
        detections: config -> selection of the detections' segments.
        proposals: config -> selection of the proposals.
    """

    name: str
    title: str
    network: Callable[[int, Any], nn.Module]
    task: Callable[[Any, Any, str], MapTask]
    targets: Callable[[Floats, Any, Floats], dict[str, Tensor]]
    detections: Callable[[Any], Selection]
    proposals: Callable[[Any], Selection]

    @property
    def producer(self) -> str:
        """Stated in the files that the method writes."""
        return f"tsp {__version__} {self.name}"

    def examples(self, subset: Subset, config: Any) -> Rows:
        """Features and targets of a subset, in memory."""
        return training.examples(subset, config, lambda actions, ends: self.targets(actions, config, ends))

    def train(
        self,
        config: Any,
        inputs: TrainingInputs,
        *,
        seed: int,
        weights: Path,
        work: Path,
        device: str | None = None,
    ) -> None:
        """See `method.Method.train`."""
        read = {side: _read(config, side) for side in (inputs.train, inputs.valid)}
        for side, subset in read.items():
            if not any(video.segments for video in subset.videos):
                raise TspError(f"{side.annotations}: subset {side.subset!r} has features but no annotated action")
        warnings = training.time_base_warnings({side.subset: subset for side, subset in read.items()}, config)
        for warning in warnings:
            log.warning(warning)
        channels = read[inputs.train].features.shape[1]
        data = tuple(self.examples(read[side], config) for side in (inputs.train, inputs.valid))
        files = {"train_features": inputs.train.features, "valid_features": inputs.valid.features}
        fit_and_save(
            lambda fingerprint: self.task(self.network(channels, config), config, fingerprint),
            (data[0], data[1]),
            config,
            inputs={**files, "annotations": inputs.train.annotations},
            facts={"warnings": warnings} if warnings else None,
            seed=seed,
            weights=weights,
            work=work,
            device=device,
        )

    @torch.inference_mode()
    def infer(
        self, config: Any, inputs: SubsetInputs, *, weights: Path, output: Path, device: str | None = None
    ) -> None:
        """See `method.Method.infer`: `map` `[2, rows, columns]`, `start`, `end` `[T]`, float32, in a group per video.

        With windows a video's group holds a group per window, named by its first snippet, and states `fps` and
        `frames`.
        """
        data = _read(config, inputs)
        target = pick_device(device)
        model = self.network(data.features.shape[1], config)
        load_strict(model, load_state(weights), weights)
        model.eval().to(target)
        size = config.trainer.batch_size
        hashes = {"weights_sha256": sha256(weights), "features_sha256": sha256(inputs.features)}
        with atomic(output) as temporary, open_hdf5(temporary, "w") as file:
            file.attrs.update(producer=self.producer, **hashes)
            for at in progress(range(0, len(data.videos), size), desc="infer", unit="batch"):
                batch = torch.from_numpy(data.features[at : at + size]).to(target)
                found = [part.float().cpu().numpy() for part in model(batch)]
                for row in range(len(batch)):
                    group = _group(file, data, at + row)
                    for name, values in zip(PARTS, found, strict=True):
                        group.create_dataset(name, data=values[row], compression="gzip", compression_opts=1)

    def post_process(self, config: Any, raw: Raw, *, labels: Path | None, output: Path) -> None:
        """See `method.Method.post_process`: the segments of `detections`, each with the video's best classes."""
        if labels is None:
            raise TspError(f"{self.title}: needs video-level class scores, `labels` of the experiment")
        self._write(config, raw, self.detections(config), labels, output)

    def propose(self, config: Any, raw: Raw, *, output: Path) -> None:
        """See `method.Method.propose`: the segments of `proposals`."""
        self._write(config, raw, self.proposals(config), None, output)

    def candidates(self, config: Any, raw: Raw) -> Candidates:
        """See `method.CandidateMethod.candidates`: the segments of `proposals` before suppression."""
        return unsuppressed(raw, self.proposals(config), config.length, config.windows)

    def _write(self, config: Any, raw: Raw, selection: Selection, labels: Path | None, output: Path) -> None:
        facts = {"producer": self.producer, "raw_sha256": sha256(raw.path)}
        classes = None
        if labels is not None:
            classes = (read_video_scores(labels), config.classes)
            facts["labels_sha256"] = sha256(labels)
        found = scored_seconds(raw, selection, config.length, config.windows)
        rounded = config.windows is not None and config.windows.rounded
        write_segments(output, found, version=self.title, facts=facts, labels=classes, rounded=rounded)


def _read(config: Any, inputs: SubsetInputs) -> Subset:
    options = {"align_corners": config.align_corners, "windows": config.windows}
    return read_subset(inputs.features, inputs.annotations, inputs.subset, config.length, **options)


def _group(file: h5py.File, data: Subset, row: int) -> h5py.Group:
    group = file.require_group(data.videos[row].name)
    if not data.windows:
        return group
    window = data.windows[row]
    group.attrs.update(fps=window.fps, frames=window.frames)
    return group.create_group(str(window.first))
