"""The figures of a table and the report page, each from the files it needs."""

import hashlib
import json
import platform
import subprocess
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tsp.io.annotations import read_annotations
from tsp.io.files import sha256
from tsp.report import errors
from tsp.report.config import TableConfig
from tsp.report.figures import class_bars, map_curves, recall_curves, seed_dots, training_curves
from tsp.report.overlay import pick_videos, timeline_of_files
from tsp.report.page import Page, Picture, build_page
from tsp.report.scores import Cell, read_scores
from tsp.report.similarity import similarity_of_files

# Figures of a table: file stem -> title and caption.
FIGURES = {
    "seeds": ("Every seed", "Average mAP of every training; a line joins the trainings that share a seed."),
    "curves": ("mAP over tIoU", "Mean of the seeds, band from the lowest to the highest seed."),
    "recall": ("Proposals", "Average recall over the number of proposals; mean of the seeds, band over the seeds."),
    "classes": ("Per class", "Average AP of each class, sorted by what the last run gains over the first."),
    "timeline": ("Predictions over time", "Annotated actions above the five best predictions of each run (seed 0)."),
    "similarity": (
        "Temporal similarity of features",
        "Cosine similarity of every two clips of one video, as they are and without their mean over the video; actions"
        " marked along the edges: features that are sensitive to time show the actions as blocks.",
    ),
    "training": ("Pretraining", "Losses and accuracies of the encoders."),
    "false_positives": (
        "What predictions are, and what errors cost",
        "Left: kinds of predictions from the best-ranked to the tenth as many again; right: what removing each kind of"
        " error would gain. Means of the seeds (DETAD).",
    ),
    "sensitivity": (
        "By what the actions are like",
        "Normalised average mAP of the instances of each bucket; dashed: of all. Means of the seeds (DETAD).",
    ),
    "false_negatives": (
        "Missed actions",
        "Share of the instances of each bucket that no prediction finds; dashed: of all. Means of the seeds (DETAD).",
    ),
}
FEATURE_FIGURES = ("training", "similarity")
OVERLAY = "Annotated actions above the five best predictions of each run (seed 0); hatched: another class."
PACKAGES = ("torch", "torchvision", "numpy", "pandas", "h5py", "av", "safetensors", "matplotlib", "snakemake")


@dataclass(frozen=True, kw_only=True)
class FigureSources:
    """Files that the figures of a table are drawn from.

    Args:
        scores: scores.json by (experiment, run, seed).
        predictions: predictions.json by run, of one seed.
        annotations: canonical annotations.
        subset: the annotation's own name of the measured subset.
    """

    scores: Mapping[Cell, Path]
    predictions: Mapping[str, Path]
    annotations: Path
    subset: str


@dataclass(frozen=True, kw_only=True)
class FeatureFigureSources:
    """Files that the figures of a table's features are drawn from.

    Args:
        features: feature file by run.
        logs: log.jsonl by run, of the pretraining.
        annotations: canonical annotations.
        subset: the annotation's own name of the measured subset.
    """

    features: Mapping[str, Path]
    logs: Mapping[str, Path]
    annotations: Path
    subset: str


def draw_figures(config: TableConfig, sources: FigureSources, folder: Path) -> None:
    """Draw the figures of a table's predictions into `folder`, for the experiment of its first column."""
    runs = {row.run: row.label for row in config.rows}
    experiment = config.columns[0].experiment
    note = "miniature" if config.miniature else ""
    scores = read_scores(sources.scores)
    seed_dots(scores, runs, folder / "seeds.png", experiment=experiment, note=note)
    map_curves(scores, runs, folder / "curves.png", experiment=experiment, note=note)
    recall_curves(scores, runs, folder / "recall.png", experiment=experiment, note=note)
    class_bars(scores, runs, folder / "classes.png", experiment=experiment, note=note)
    errors.draw_all(errors.analyses_of(scores, runs, experiment), folder, note=note)
    timeline_of_files(
        sources.annotations,
        _labelled(sources.predictions, runs),
        folder / "timeline.png",
        subset=sources.subset,
        note=note,
    )


def draw_feature_figures(config: TableConfig, sources: FeatureFigureSources, folder: Path) -> None:
    """Draw the training curves of a table's features, and their similarity in one video, into `folder`."""
    runs = {row.run: row.label for row in config.rows}
    note = "miniature" if config.miniature else ""
    training_curves(_labelled(sources.logs, runs), folder / "training.png", note=note)
    video = pick_videos(read_annotations(sources.annotations), sources.subset, 1)[0]
    similarity_of_files(_labelled(sources.features, runs), video, folder / "similarity.png", note=note)


def _labelled(paths: Mapping[str, Path], runs: Mapping[str, str]) -> dict[str, Path]:
    return {runs[run]: path for run, path in paths.items()}


@dataclass(frozen=True, kw_only=True)
class ReportSources:
    """Files that the report is made from.

    Args:
        tables: HTML files, in order.
        figures: table -> folder of its figures.
        featured: tables whose folder holds `FEATURE_FIGURES`: tables of the same features share them.
        overlays: table -> its rendered video.
        captions: pages of `captions.write_caption_page`.
        manifests: `<dataset> <subset>` -> manifest of its videos.
        benchmarks: Snakemake's benchmark files.
        inputs: files whose sha256 is stated.
    """

    tables: Sequence[Path]
    figures: Mapping[str, Path]
    featured: Collection[str]
    overlays: Mapping[str, Path]
    captions: Sequence[Path]
    manifests: Mapping[str, Path]
    benchmarks: Iterable[Path]
    inputs: Iterable[Path]


@dataclass(frozen=True, kw_only=True)
class ReportFacts:
    """What the report states besides the content of its files.

    Args:
        titles: table -> its heading.
        miniature: label everything as the miniature's.
        configuration: the whole configuration, for its hash.
        repository: where the code version is read from.
    """

    titles: Mapping[str, str]
    miniature: bool
    configuration: Mapping[str, Any]
    repository: Path


def write_report(output: Path, sources: ReportSources, facts: ReportFacts) -> None:
    """Write the report page.

    Args:
        output: `index.html`.
        sources: files.
        facts: headings, and what the provenance states.
    """
    titles = {table: facts.titles.get(table, table) for table in [*sources.figures, *sources.overlays]}
    pictures = [
        Picture(path=folder / f"{stem}.png", title=title, caption=caption, group=titles[table])
        for table, folder in sources.figures.items()
        for stem, (title, caption) in FIGURES.items()
        if stem not in FEATURE_FIGURES or table in sources.featured
    ]
    page = Page(
        title="TSP, reproduced",
        intro="Features of an encoder pretrained to tell actions from background (TSP) beside those of a plain"
        " classifier (TAC), in the same downstream method.",
        miniature=facts.miniature,
        tables=sources.tables,
        pictures=pictures,
        overlays=[Picture(path=path, title=titles[table], caption=OVERLAY) for table, path in sources.overlays.items()],
        captions=sources.captions,
        buckets={titles[table]: errors.bucket_rows(folder) for table, folder in sources.figures.items()},
        manifests=sources.manifests,
        benchmarks=sorted(sources.benchmarks),
        provenance=provenance(facts.configuration, facts.repository),
        digests={str(path): sha256(path) for path in sources.inputs},
    )
    build_page(output, page)


def provenance(configuration: Mapping[str, Any], repository: Path) -> dict[str, object]:
    """Code version, configuration hash, package versions and machine."""
    text = json.dumps(configuration, sort_keys=True, default=str)
    return {
        "code": _commit(repository),
        "configuration": f"sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]}",
        **{name: _version(name) for name in PACKAGES},
        "Python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        # With conda, each step has its own environment.
        return "not in this environment"


def _commit(repository: Path) -> str:
    call: Sequence[str] = ["git", "-C", str(repository), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(call, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "not under version control"
