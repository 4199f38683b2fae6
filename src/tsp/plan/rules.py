"""What each rule needs: its input files, parameters and resources, as functions of a job's wildcards.

The rules name the methods of one `Plan`. Those of captions and of the report are `Plan.captions` and `Plan.report`.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tsp.config.load import build, labels_of, run_entry
from tsp.config.settings import ExperimentConfig, Settings
from tsp.datasets.config import DatasetConfig
from tsp.datasets.listing import canonical_digest, shard_digests
from tsp.io.sources import facts_path, shard_token
from tsp.localise.config import RefinesConfig
from tsp.plan.captions import CaptionPlan
from tsp.plan.code import StepCode
from tsp.plan.inputs import Paths, Resource, Wildcards, given_file, released
from tsp.plan.paths import Data, Experiment, Features, Gvf, Labels, Released, Run, Sound, Training
from tsp.plan.report import ReportPlan
from tsp.pretrain.config import RunConfig
from tsp.video.config import StandardiseConfig

# Frames between the clips whose features are pooled; the paper's extraction default (tsp.md 8).
GVF_STRIDE = 16


class Plan:
    """Inputs, parameters and resources of the rules from videos to scores.

    Args:
        settings: the checked configuration.
        values: the merged configuration files as the user wrote them.
    """

    def __init__(self, settings: Settings, values: Mapping[str, Any]) -> None:
        self.settings = settings
        self.values = values
        self.captions = CaptionPlan(settings)
        self.report = ReportPlan(settings)
        self.code = StepCode(settings)
        self.miniature = settings.preset == "demo"
        # The profile's `resources: gpu` limits how many of these run at once; the miniature needs no GPU.
        self.gpus = 0 if self.miniature else 1
        # Kept, since every shard asks for them.
        self._standardise_of: dict[str, dict[str, Any]] = {}
        # Names that wildcards of single rules are limited to.
        self.generated = [name for name, d in settings.datasets.items() if d.generate is not None]
        self.released = [name for name, run in settings.runs.items() if run.weights]
        self.with_released_features = [name for name, run in settings.runs.items() if run.features]
        self.with_own_features = [name for name, run in settings.runs.items() if not run.features]
        refiners = {name: e.refines for name, e in settings.experiments.items() if e.refines}
        self.refiners_of_experiments = [name for name, refines in refiners.items() if refines.experiment]
        # Given lists are read where they are; predictions in ActivityNet's format are converted to lists.
        self.refiners_of_predictions = [
            name for name, refines in refiners.items() if (refines.train or "").endswith(".json")
        ]
        self.subsets = {subset for d in settings.datasets.values() for subset in d.subsets}
        self.subsets |= {name.rpartition("-")[2] for run in settings.runs.values() for name in run.features}

    # Resources

    def threads(self, paper: int) -> int:
        """The miniature's jobs take one thread each: they run side by side, with the same bits on any machine."""
        return 1 if self.miniature else paper

    def memory(self, paper: int) -> Resource:
        """Megabytes, multiplied by the number of the attempt."""
        first = 2000 if self.miniature else paper

        def megabytes(wildcards: Wildcards, attempt: int) -> int:
            return first * attempt

        return megabytes

    def minutes(self, paper: int) -> Resource:
        """Minutes, multiplied by the number of the attempt; an interrupted training resumes."""

        def limit(wildcards: Wildcards, attempt: int) -> int:
            return paper * attempt

        return limit

    def training_memory(self, wildcards: Wildcards, attempt: int) -> int:
        """Megabytes to train a localiser: one that refines proposals holds those of every video."""
        refines = self._experiment(wildcards).refines is not None
        return self.memory(32000 if refines else 16000)(wildcards, attempt)

    # Videos and annotations

    def raw_annotations(self, wildcards: Wildcards) -> list[str]:
        """The annotation files of a data set."""
        return self._dataset(wildcards).annotations

    def generated_annotations(self, wildcards: Wildcards) -> list[str]:
        """The annotation files, where a rule generates them."""
        return self.raw_annotations(wildcards) if wildcards.dataset in self.generated else []

    def given_annotations(self, wildcards: Wildcards) -> list[str]:
        """The annotation files, where the user provides them."""
        return [] if wildcards.dataset in self.generated else self.raw_annotations(wildcards)

    def rendering(self, wildcards: Wildcards) -> dict[str, Any]:
        """What to render of a generated data set, defaults included."""
        from tsp.datasets.synthetic import SyntheticConfig

        generate = self._dataset(wildcards).generate
        assert generate is not None
        return asdict(build(SyntheticConfig, generate, f"datasets.{wildcards.dataset}.generate"))

    def listing(self, wildcards: Wildcards) -> dict[str, Any]:
        """How the annotations are read and where the videos come from."""
        d = self._dataset(wildcards)
        return {"reader": d.reader, "annotations": d.annotations, "videos": d.videos, "url": d.url}

    def examine(self, wildcards: Wildcards) -> dict[str, Any]:
        """Arguments of `examine.Policy.of`."""
        d = self._dataset(wildcards)
        known = {"subsets": [subset.official for subset in d.subsets.values()], "labels": labels_of(d)}
        return {"options": asdict(d.examine), "rule": d.background.rule, **known}

    def official_subset(self, wildcards: Wildcards) -> str:
        """The annotations' own name of a subset."""
        return self._dataset(wildcards).subsets[wildcards.subset].official

    def shard(self, wildcards: Wildcards) -> dict[str, int]:
        """Which rows of a subset a shard has.

        Of the number of shards only whether this is the last one, so that more shards leave the others unchanged.
        """
        shard = int(wildcards.shard)
        last = shard == self._shards(wildcards) - 1
        size = self._dataset(wildcards).shard_size
        return {"shard": shard, "shards": shard + (1 if last else 2), "shard_size": size}

    def shard_digest(self, wildcards: Wildcards) -> str:
        """Digest of the shard's rows in the given annotations; it changes when, and only when, these rows do."""
        d = self._dataset(wildcards)
        if d.generate is not None:
            return "generated"
        official, shards = self.official_subset(wildcards), self._shards(wildcards)
        digests = shard_digests(
            d.reader, tuple(d.annotations), official, shards, d.shard_size, videos=d.videos, url=d.url
        )
        return digests[int(wildcards.shard)] if digests else "unknown"

    def canonical_digest(self, wildcards: Wildcards) -> str:
        """Digest of the annotations with the sources of the videos, where the user provides them."""
        d = self._dataset(wildcards)
        if d.generate is not None:
            return "generated"
        return canonical_digest(d.reader, tuple(d.annotations), d.videos, d.url)

    def rendered_files(self, wildcards: Wildcards) -> str:
        """A token that changes where files of a generated data set were deleted or damaged."""
        annotations = Path(Data.ORIGIN.format(**wildcards))
        return shard_token(annotations, facts_path(annotations.parent, "origin"))

    def sources(self, wildcards: Wildcards) -> str:
        """A token that changes with the content of the local files that the videos of a shard come from."""
        store = Path(Data.RAW.format(**wildcards))
        return shard_token(Path(Data.LIST.format(**wildcards)), facts_path(store, wildcards.shard))

    @property
    def download(self) -> dict[str, Any]:
        """How raw videos are fetched."""
        return asdict(self.settings.download)

    def standardise(self, wildcards: Wildcards) -> dict[str, Any]:
        """How the videos of a data set are re-encoded, defaults included."""
        name = wildcards.dataset
        if name not in self._standardise_of:
            options = self._dataset(wildcards).standardise
            self._standardise_of[name] = asdict(build(StandardiseConfig, options, f"datasets.{name}.standardise"))
        return self._standardise_of[name]

    def max_failed(self, wildcards: Wildcards) -> float:
        """Accepted fraction of unusable videos."""
        return self._dataset(wildcards).max_failed

    def background(self, wildcards: Wildcards) -> dict[str, Any]:
        """How `No action` segments are found."""
        return asdict(self._dataset(wildcards).background)

    def probed_shards(self, wildcards: Wildcards) -> list[str]:
        """The manifests of all shards of a subset."""
        return self._all_shards(Data.PROBE, wildcards)

    # Pretraining runs

    def run_settings(self, wildcards: Wildcards) -> dict[str, Any]:
        """All options of a run and of its encoder, without `track_code`, which only says when to train again."""
        run = self._run(wildcards)
        settings = {"run": asdict(run), "encoder": asdict(self.settings.encoders[run.encoder])}
        del settings["run"]["track_code"]
        return settings

    def written_run(self, wildcards: Wildcards) -> dict[str, Any]:
        """What the user wrote of a run and of its encoder, likewise."""
        entry = run_entry(self.values, wildcards.run)
        encoder = self.values["encoders"][entry["encoder"]]
        return {"run": {k: v for k, v in entry.items() if k != "track_code"}, "encoder": encoder}

    def track_code(self, wildcards: Wildcards) -> str:
        """Whether a run is trained again when its code, defaults or inputs change; what is not trained always is."""
        run = self._run(wildcards)
        return run.track_code if run.is_trained else "all"

    def gvf_features(self, wildcards: Wildcards) -> list[str]:
        """Features of the start weights, of both subsets of a data set."""
        name, d = wildcards.dataset, self._dataset(wildcards)
        return [
            Features.FILE.format(run=wildcards.run, stride=GVF_STRIDE, dataset=name, subset=subset)
            for subset in dict.fromkeys((d.train, d.valid))
        ]

    def released_weights(self, wildcards: Wildcards) -> dict[str, str | None]:
        """Where the released weights of a run come from."""
        weights = self._run(wildcards).weights
        assert weights is not None
        return released(weights)

    def given_weights(self, wildcards: Wildcards) -> Paths:
        """The local copy of released weights, if one is given."""
        weights = self._run(wildcards).weights
        return given_file(weights) if weights else []

    def given_features(self, wildcards: Wildcards) -> Paths:
        """The local copy of released features, if one is given."""
        return given_file(self._run(wildcards).features["stride{stride}/{dataset}-{subset}".format(**wildcards)])

    def train_segments(self, wildcards: Wildcards) -> Paths:
        """Segments that a run learns from; none without a data set."""
        return self._subset_of_run(Data.SEGMENTS, wildcards, "train")

    def valid_segments(self, wildcards: Wildcards) -> Paths:
        """Segments that choose the best epoch of a run; none without a data set."""
        return self._subset_of_run(Data.SEGMENTS, wildcards, "valid")

    def train_manifest(self, wildcards: Wildcards) -> Paths:
        """Checksums of the videos that a run learns from; none without a data set."""
        return self._subset_of_run(Data.MANIFEST, wildcards, "train")

    def valid_manifest(self, wildcards: Wildcards) -> Paths:
        """Checksums of the videos that choose the best epoch of a run; none without a data set."""
        return self._subset_of_run(Data.MANIFEST, wildcards, "valid")

    def train_videos(self, wildcards: Wildcards) -> Paths:
        """Folder of the videos that a run learns from; none without a data set."""
        return self._subset_of_run(Data.VIDEOS, wildcards, "train")

    def valid_videos(self, wildcards: Wildcards) -> Paths:
        """Folder of the videos that choose the best epoch of a run; none without a data set."""
        return self._subset_of_run(Data.VIDEOS, wildcards, "valid")

    def run_gvf(self, wildcards: Wildcards) -> Paths:
        """Global video features that a run reads, if any."""
        run = self._run(wildcards)
        return Gvf.FILE.format(dataset=run.dataset, run=run.start, pool=run.gvf) if run.gvf else []

    def run_start(self, wildcards: Wildcards) -> Paths:
        """Weights of another run that a run starts from, if any."""
        start = self._run(wildcards).start
        return Run.ENCODER.format(run=start) if start else []

    def run_weights(self, wildcards: Wildcards) -> Paths:
        """Released weights that a run converts or starts from, if any."""
        return Released.ENCODER.format(run=wildcards.run) if self._run(wildcards).weights else []

    def run_labels(self, wildcards: Wildcards) -> list[str]:
        """Action classes of a run's head in id order; none without a head."""
        run = self._run(wildcards)
        named = run.dataset or run.classes
        return labels_of(self.settings.datasets[named]) if named else []

    # Features

    @property
    def extract(self) -> dict[str, Any]:
        """How features are extracted."""
        return asdict(self.settings.extract)

    def feature_shards(self, wildcards: Wildcards) -> list[str]:
        """The features of all shards of a subset."""
        return self._all_shards(Features.SHARD, wildcards)

    def sound_shards(self, wildcards: Wildcards) -> list[str]:
        """The sound features of all shards of a subset."""
        return self._all_shards(Sound.SHARD, wildcards)

    def released_features(self, wildcards: Wildcards) -> dict[str, str | None]:
        """Where the released features of a run on one subset come from."""
        key = "stride{stride}/{dataset}-{subset}".format(**wildcards)
        return released(self._run(wildcards).features[key])

    # Localisers

    def experiment_entry(self, wildcards: Wildcards) -> dict[str, Any]:
        """The options of an experiment, without those that only say which jobs there are.

        Another seed or sweep therefore leaves the trainings as they are.
        """
        entry = asdict(self._experiment(wildcards))
        return {key: value for key, value in entry.items() if key not in ("seeds", "sweep")}

    def train_features(self, wildcards: Wildcards) -> str:
        """Features that an experiment learns from."""
        return self._features(wildcards, "train")

    def valid_features(self, wildcards: Wildcards) -> str:
        """Features that an experiment is measured on."""
        return self._features(wildcards, "valid")

    def annotations(self, wildcards: Wildcards) -> str:
        """Annotations of an experiment's data set."""
        return Data.ANNOTATIONS.format(dataset=self._experiment(wildcards).dataset)

    def train_proposals(self, wildcards: Wildcards) -> Paths:
        """List of the training proposals that an experiment refines; none for one that refines nothing."""
        return self._proposals(wildcards, "train")

    def valid_proposals(self, wildcards: Wildcards) -> Paths:
        """List of the measured proposals that an experiment refines; none for one that refines nothing."""
        return self._proposals(wildcards, "valid")

    def labels(self, wildcards: Wildcards) -> Paths:
        """Video-level class scores: a file, or those of a run; none for a method with classes of its own."""
        e = self._experiment(wildcards)
        if e.labels is None:
            return []
        if e.labels not in self.settings.runs:
            return e.labels
        subset = self.settings.datasets[e.dataset].valid
        return Labels.FILE.format(run=e.labels, stride=e.stride, dataset=e.dataset, subset=subset)

    def official_subsets(self, wildcards: Wildcards) -> dict[str, str]:
        """The annotations' own names of the training and of the measured subset."""
        d = self._dataset_of_experiment(wildcards)
        return {"train": d.subsets[d.train].official, "valid": d.subsets[d.valid].official}

    def training_subset(self, wildcards: Wildcards) -> str:
        """The annotations' own name of the subset that an experiment learns from."""
        return self.official_subsets(wildcards)["train"]

    def measured_subset(self, wildcards: Wildcards) -> str:
        """The annotations' own name of the subset that an experiment is measured on."""
        return self.official_subsets(wildcards)["valid"]

    def listed_subset(self, wildcards: Wildcards) -> str:
        """The annotations' own name of the subset whose proposals are listed."""
        return self.official_subsets(wildcards)[wildcards.side]

    def sweep(self, wildcards: Wildcards) -> dict[str, list[Any]]:
        """Options of post-processing and the values to try."""
        return self._experiment(wildcards).sweep

    # Proposals to refine

    def source_config(self, wildcards: Wildcards) -> str:
        """Configuration of the experiment whose candidates are refined."""
        return Experiment.CONFIG.format(experiment=self._refines(wildcards).experiment)

    def source_raw(self, wildcards: Wildcards) -> str:
        """Raw predictions of the experiment whose candidates are refined."""
        refines = self._refines(wildcards)
        pattern = Training.RAW if wildcards.side == "valid" else Training.RAW_TRAIN
        return pattern.format(experiment=refines.experiment, run=wildcards.run, seed=refines.seed)

    def source_metadata(self, wildcards: Wildcards) -> Paths:
        """Frames of the listed videos; none where only features were released."""
        return self._metadata(wildcards, wildcards.side)

    def source_predictions(self, wildcards: Wildcards) -> str:
        """Given proposals in ActivityNet's format."""
        path = getattr(self._refines(wildcards), wildcards.side)
        assert isinstance(path, str)
        return path

    def source_settings(self, wildcards: Wildcards) -> dict[str, Any]:
        """Options of post-processing that differ from those of the refined experiment."""
        return self._refines(wildcards).settings

    def kept_proposals(self, wildcards: Wildcards) -> int | None:
        """How many proposals of a video are kept; None: all."""
        refines = self._refines(wildcards)
        return refines.train_keep if wildcards.side == "train" else refines.valid_keep

    # Scores

    def measured_metadata(self, wildcards: Wildcards) -> Paths:
        """Durations of the measured videos, which annotations may lack; none where only features were released."""
        return self._metadata(wildcards, "valid")

    def tious(self, wildcards: Wildcards) -> list[float]:
        """Thresholds of detection mAP."""
        return self._dataset_of_experiment(wildcards).tious

    def buckets(self, wildcards: Wildcards) -> Any:
        """Groups of the error analyses."""
        return self._dataset_of_experiment(wildcards).buckets

    # What the wildcards name

    def _dataset(self, wildcards: Wildcards) -> DatasetConfig:
        return self.settings.datasets[wildcards.dataset]

    def _run(self, wildcards: Wildcards) -> RunConfig:
        return self.settings.runs[wildcards.run]

    def _experiment(self, wildcards: Wildcards) -> ExperimentConfig:
        return self.settings.experiments[wildcards.experiment]

    def _dataset_of_experiment(self, wildcards: Wildcards) -> DatasetConfig:
        return self.settings.datasets[self._experiment(wildcards).dataset]

    def _refines(self, wildcards: Wildcards) -> RefinesConfig:
        refines = self._experiment(wildcards).refines
        assert refines is not None
        return refines

    def _shards(self, wildcards: Wildcards) -> int:
        return self._dataset(wildcards).subsets[wildcards.subset].shards

    def _all_shards(self, pattern: str, wildcards: Wildcards) -> list[str]:
        return [pattern.format(**wildcards, shard=number) for number in range(self._shards(wildcards))]

    def _subset_of_run(self, pattern: str, wildcards: Wildcards, side: str) -> Paths:
        name = self._run(wildcards).dataset
        return [] if name is None else pattern.format(dataset=name, subset=getattr(self.settings.datasets[name], side))

    def _features(self, wildcards: Wildcards, side: str) -> str:
        e = self._experiment(wildcards)
        subset = getattr(self.settings.datasets[e.dataset], side)
        return Features.FILE.format(run=wildcards.run, stride=e.stride, dataset=e.dataset, subset=subset)

    def _proposals(self, wildcards: Wildcards, side: str) -> Paths:
        refines = self._experiment(wildcards).refines
        if refines is None:
            return []
        given: str | None = getattr(refines, side)
        if given and given.endswith(".txt"):
            return given
        return Experiment.PROPOSALS.format(experiment=wildcards.experiment, run=refines.run or wildcards.run, side=side)

    def _metadata(self, wildcards: Wildcards, side: str) -> Paths:
        if self._run(wildcards).features:
            return []
        name = self._experiment(wildcards).dataset
        return Data.METADATA.format(dataset=name, subset=getattr(self.settings.datasets[name], side))
