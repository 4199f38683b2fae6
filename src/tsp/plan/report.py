"""What the rules of tables, figures and the report need, and what the preset builds."""

from collections.abc import Callable, Hashable
from dataclasses import asdict
from typing import Any

from tsp.caption.config import CaptioningConfig
from tsp.config.settings import ExperimentConfig, Settings
from tsp.plan.inputs import Paths, Wildcards
from tsp.plan.paths import Captions, Data, Features, Report, Run, Table, Training
from tsp.report.config import TableConfig

# Figures of every table (src/tsp/report/build.py says what they show).
FIGURES = ("seeds", "curves", "recall", "classes", "timeline", "false_positives", "sensitivity", "false_negatives")
# Figures of features, which several tables may share.
FEATURE_FIGURES = ("training", "similarity")

# Experiment or captioning, run, seed.
Cell = tuple[str, str, int]


class ReportPlan:
    """Inputs and parameters of `rules/report.smk`, and the targets of the preset.

    Args:
        settings: the checked configuration.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.miniature = settings.preset == "demo"
        self.captioned_tables = [table for table in settings.tables if self._is_captioned(table)]
        self.detection_tables = [table for table in settings.build.tables if table not in self.captioned_tables]
        # Several tables may show the same features in the same method, or in another one: figures are drawn once.
        self.drawn_tables = self._first_of(lambda table: (self._first_experiment(table), *self._features_of(table)))
        self.featured_tables = self._first_of(self._features_of)
        self.titles = {table: settings.tables[table].title for table in self.drawn_tables}

    # What the preset builds

    @property
    def built_tables(self) -> list[str]:
        """Tables of `all`."""
        return [Table.MD.format(table=table) for table in self.settings.build.tables]

    @property
    def built_features(self) -> list[str]:
        """Feature files of `all` without a table."""
        return [Features.named(name) for name in self.settings.build.features]

    @property
    def table_features(self) -> list[str]:
        """Every feature file that the tables need."""
        return list(
            dict.fromkeys(
                Features.FILE.format(run=run, stride=e.stride, dataset=e.dataset, subset=subset)
                for experiment, run, _ in self._built_cells()
                for e in [self._downstream(experiment)]
                for subset in self._used_subsets(e.dataset)
            )
        )

    @property
    def ablation_tables(self) -> list[str]:
        """Tables of `ablations`."""
        return [Table.MD.format(table=table) for table in self.settings.build.ablations]

    @property
    def caption_tables(self) -> list[str]:
        """Tables of `captions`."""
        return [Table.MD.format(table=table) for table in self.settings.build.captions]

    @property
    def caption_pages(self) -> list[str]:
        """Pages of examples of `captions`."""
        return [Report.CAPTIONS.format(table=table) for table in self.settings.build.captions]

    # Tables and figures

    def entry(self, wildcards: Wildcards) -> dict[str, Any]:
        """The options of a table."""
        return asdict(self._table(wildcards))

    def cells(self, wildcards: Wildcards) -> list[Cell]:
        """Everything that a table shows."""
        return self._cells(wildcards.table)

    def scores(self, wildcards: Wildcards) -> list[str]:
        """Scores of everything that a table shows, in the order of its cells."""
        return [
            Captions.SCORES.format(captioning=name, run=run, seed=seed)
            if name in self.settings.captions
            else Training.SCORES.format(experiment=name, run=run, seed=seed)
            for name, run, seed in self._cells(wildcards.table)
        ]

    def trained_encoders(self, wildcards: Wildcards) -> list[str]:
        """Runs trained here that a table depends on: rows, start runs, those of video-level classes and proposals."""
        table = self._table(wildcards)
        used = [row.run for row in table.rows]
        names = dict.fromkeys(column.experiment for column in table.columns)
        for e in (self.settings.experiments[name] for name in names if name in self.settings.experiments):
            used += [name for name in (e.labels, e.refines and e.refines.run) if name]
        for name in used:
            run = self.settings.runs.get(name)
            used += [run.start] if run is not None and run.start and run.start not in used else []
        runs = self.settings.runs
        return [name for name in dict.fromkeys(used) if name in runs and runs[name].is_trained]

    def encoder_facts(self, wildcards: Wildcards) -> list[str]:
        """Facts of these runs, which name what is outdated."""
        return [Run.FACTS.format(run=run) for run in self.trained_encoders(wildcards)]

    def row_labels(self, wildcards: Wildcards) -> list[str]:
        """Texts of a table's rows."""
        return [row.label for row in self._table(wildcards).rows]

    def predictions(self, wildcards: Wildcards) -> list[str]:
        """The first seed's predictions of a table's first experiment, in row order."""
        name = self._first_experiment(wildcards.table)
        seed = self.settings.experiments[name].seeds[0]
        rows = self._table(wildcards).rows
        return [Training.PREDICTIONS.format(experiment=name, run=row.run, seed=seed) for row in rows]

    def features(self, wildcards: Wildcards) -> list[str]:
        """Features that a table's first experiment is measured on, in row order."""
        e = self._drawn_experiment(wildcards)
        subset = self.settings.datasets[e.dataset].valid
        rows = self._table(wildcards).rows
        return [Features.FILE.format(run=row.run, stride=e.stride, dataset=e.dataset, subset=subset) for row in rows]

    def trained_runs(self, wildcards: Wildcards) -> list[str]:
        """Runs of a table that are trained here."""
        return [row.run for row in self._table(wildcards).rows if self.settings.runs[row.run].dataset]

    def training_logs(self, wildcards: Wildcards) -> list[str]:
        """Logs of these runs."""
        return [Run.LOG.format(run=run) for run in self.trained_runs(wildcards)]

    def annotations(self, wildcards: Wildcards) -> str:
        """Annotations of a table's first experiment."""
        return Data.ANNOTATIONS.format(dataset=self._drawn_experiment(wildcards).dataset)

    def official_subset(self, wildcards: Wildcards) -> str:
        """The annotations' own name of the subset that a table is measured on."""
        d = self.settings.datasets[self._drawn_experiment(wildcards).dataset]
        return d.subsets[d.valid].official

    def videos(self, wildcards: Wildcards) -> str:
        """Folder of the videos that a table is measured on."""
        return self._measured(Data.VIDEOS, self._drawn_experiment(wildcards).dataset)

    def manifest(self, wildcards: Wildcards) -> str:
        """Manifest of these videos."""
        return self._measured(Data.MANIFEST, self._drawn_experiment(wildcards).dataset)

    def overlay(self, wildcards: Wildcards) -> str | None:
        """Video to draw predictions on; None: the step chooses."""
        return self._table(wildcards).overlay

    # Examples of captions

    def example_captions(self, wildcards: Wildcards) -> list[str]:
        """Captions of the first seed, in row order."""
        name = self._first_captioning(wildcards)
        seed = self.settings.captions[name].seeds[0]
        rows = self._table(wildcards).rows
        return [Captions.CAPTIONS.format(captioning=name, run=row.run, seed=seed) for row in rows]

    def example_references(self, wildcards: Wildcards) -> list[str]:
        """Reference captions of the same videos."""
        return self.settings.captions[self._first_captioning(wildcards)].references

    def example_videos(self, wildcards: Wildcards) -> str:
        """Folder of the captioned videos."""
        return self._measured(Data.VIDEOS, self.settings.captions[self._first_captioning(wildcards)].dataset)

    def example_manifest(self, wildcards: Wildcards) -> Paths:
        """Manifest of the captioned videos; none where only features were released."""
        if self._has_released_features(wildcards.table):
            return []
        return self._measured(Data.MANIFEST, self.settings.captions[self._first_captioning(wildcards)].dataset)

    def example_note(self, wildcards: Wildcards) -> str:
        """Note beside the examples of the miniature."""
        return "miniature" if self._table(wildcards).miniature else ""

    # The report

    @property
    def tables(self) -> list[str]:
        """Tables of the report."""
        return [Table.HTML.format(table=table) for table in self.detection_tables]

    @property
    def shown_captions(self) -> list[str]:
        """Pages of captions whose tables the preset builds; what else has been made before changes no page."""
        tables = [table for table in self.captioned_tables if table in self.settings.build.tables]
        return [Report.CAPTIONS.format(table=table) for table in tables]

    @property
    def overlays(self) -> list[str]:
        """Videos with predictions; released features come without videos to draw on."""
        return [
            Report.OVERLAY.format(table=table) for table in self.drawn_tables if not self._has_released_features(table)
        ]

    @property
    def manifests(self) -> list[str]:
        """Manifests of all videos that the tables are measured on or learn from."""
        return [Data.MANIFEST.format(dataset=name, subset=subset) for name, subset in self._built_subsets()]

    @property
    def manifest_names(self) -> list[str]:
        """Data set and subset of each manifest."""
        return [f"{name} {subset}" for name, subset in self._built_subsets()]

    @property
    def findings(self) -> list[str]:
        """Reports on the annotations of all data sets whose videos are used."""
        return [Data.FINDINGS.format(dataset=name) for name in dict.fromkeys(name for name, _ in self._built_subsets())]

    def examined_metadata(self, wildcards: Wildcards) -> list[str]:
        """Metadata of the subsets of a data set that are used."""
        used = [subset for name, subset in self._built_subsets() if name == wildcards.dataset]
        return [Data.METADATA.format(dataset=wildcards.dataset, subset=subset) for subset in used]

    @property
    def all_annotations(self) -> list[str]:
        """Annotations of all data sets of the tables."""
        names = sorted({self._downstream(experiment).dataset for experiment, _, _ in self._built_cells()})
        return [Data.ANNOTATIONS.format(dataset=name) for name in names]

    @property
    def encoders(self) -> list[str]:
        """Encoders of all rows; released features need none."""
        runs = dict.fromkeys(run for _, run, _ in self._built_cells())
        return [Run.ENCODER.format(run=run) for run in runs if not self.settings.runs[run].features]

    # Tables and what they show

    def _table(self, wildcards: Wildcards) -> TableConfig:
        return self.settings.tables[wildcards.table]

    def _downstream(self, name: str) -> ExperimentConfig | CaptioningConfig:
        return self.settings.captions[name] if name in self.settings.captions else self.settings.experiments[name]

    def _cells(self, table: str) -> list[Cell]:
        entry = self.settings.tables[table]
        used = dict.fromkeys(c.experiment for c in entry.columns)
        return [(e, row.run, seed) for e in used for row in entry.rows for seed in self._downstream(e).seeds]

    def _built_cells(self) -> list[Cell]:
        return list(dict.fromkeys(cell for table in self.settings.build.tables for cell in self._cells(table)))

    def _built_subsets(self) -> list[tuple[str, str]]:
        return sorted(
            {
                (e.dataset, subset)
                for experiment, run, _ in self._built_cells()
                if not self.settings.runs[run].features
                for e in [self._downstream(experiment)]
                for subset in self._used_subsets(e.dataset)
            }
        )

    def _used_subsets(self, dataset: str) -> tuple[str, str]:
        d = self.settings.datasets[dataset]
        return d.train, d.valid

    def _measured(self, pattern: str, dataset: str) -> str:
        return pattern.format(dataset=dataset, subset=self.settings.datasets[dataset].valid)

    def _is_captioned(self, table: str) -> bool:
        return any(column.experiment in self.settings.captions for column in self.settings.tables[table].columns)

    def _has_released_features(self, table: str) -> bool:
        return any(self.settings.runs[row.run].features for row in self.settings.tables[table].rows)

    def _first_experiment(self, table: str) -> str:
        return self.settings.tables[table].columns[0].experiment

    def _drawn_experiment(self, wildcards: Wildcards) -> ExperimentConfig:
        return self.settings.experiments[self._first_experiment(wildcards.table)]

    def _first_captioning(self, wildcards: Wildcards) -> str:
        return next(c.experiment for c in self._table(wildcards).columns if c.experiment in self.settings.captions)

    def _features_of(self, table: str) -> tuple[Hashable, ...]:
        e = self._downstream(self._first_experiment(table))
        return (e.dataset, e.stride, *(row.run for row in self.settings.tables[table].rows))

    def _first_of(self, key: Callable[[str], Hashable]) -> list[str]:
        """Of the built tables of detections with the same key the first one, in order."""
        found: dict[Hashable, str] = {}
        for table in self.detection_tables:
            found.setdefault(key(table), table)
        return list(found.values())
