"""Every field of the configuration that the preset `demo` reaches, with another value for it."""

from typing import Any

from incremental.edits import options_of, other

from tsp.caption.config import Config as CaptionConfig
from tsp.config.check import check_settings
from tsp.config.load import build, merge, read_folder
from tsp.config.settings import Settings
from tsp.datasets.synthetic import SyntheticConfig
from tsp.errors import TspError
from tsp.resolve import resolve
from tsp.video.config import StandardiseConfig

DATASETS = ("synthetic", "synthetic_trimmed")
RUNS = ("mini_start", "mini_tsp", "mini_tac")
EXPERIMENTS = ("gtad_synthetic", "bmn_synthetic", "pgcn_synthetic")
TABLES = ("miniature", "miniature_proposals", "miniature_refined", "miniature_captions")

# Other values that no type suggests.
GIVEN: dict[str, Any] = {
    "datasets.synthetic.labels": ["shake", "hop", "circle", "slash", "weave"],
    "datasets.synthetic_trimmed.labels": ["shake", "hop", "circle", "slash", "weave"],
    "datasets.synthetic.subsets": {"train": {"shards": 3}},
    "datasets.synthetic_trimmed.subsets": {"train": {"shards": 2}},
    "experiments.gtad_synthetic.labels": "mini_tsp",
    "experiments.bmn_synthetic.labels": "mini_tsp",
    "experiments.pgcn_synthetic.refines.run": "mini_tsp",
    "experiments.pgcn_synthetic.refines.experiment": "gtad_synthetic",
    "captions.bmt_synthetic.settings.captioner.trainer.milestones": [2],
    "captions.bmt_synthetic.settings.proposals.trainer.milestones": [2],
    "runs.mini_tac.start": None,
    "download.rate_limit": "5M",
    "tables.miniature.rows": [{"run": "mini_tsp", "label": "TSP"}, {"run": "mini_tac", "label": "TAC"}],
    "tables.miniature.columns": [{"experiment": "gtad_synthetic", "metric": "mAP@0.75", "title": "@0.75"}],
    "tables.miniature.differences": [{"minuend": "mini_tac", "subtrahend": "mini_tsp", "title": "TAC - TSP"}],
    "tables.miniature_proposals.columns": [{"experiment": "bmn_synthetic", "metric": "AR@5", "title": "AR@5"}],
    "tables.miniature_refined.columns": [{"experiment": "pgcn_synthetic", "metric": "mAP@0.50", "title": "mAP@0.5"}],
    "tables.miniature_captions.columns": [{"experiment": "bmt_synthetic", "metric": "F1", "title": "F1"}],
}

Field = tuple[tuple[str, ...], Any]


def fields_of_preset() -> list[Field]:
    """Path of each field and another value; MISSING where none can be guessed from its type."""
    values, files = read_folder(preset="demo")
    settings = check_settings(values, files)
    found = [*_of_datasets(settings), *_of_methods(settings), *_of_others(settings)]
    return [(path, GIVEN.get(".".join(path), value)) for path, value in found]


def fields_of_small() -> list[Field]:
    """Those with a number or a choice: fields of the miniature that a real run of the small workflow survives."""
    unsafe = {
        "length",
        "durations",
        "bins",
        "workers",
        "classes",
        "layers",
        "shards",
        "shard_size",
        "generate",
        "tables",
    }
    return [
        (path, value)
        for path, value in fields_of_preset()
        if isinstance(value, int | float) and not unsafe & set(path) and "epochs" not in path
    ]


def refusal(values: dict[str, Any]) -> str:
    """Why a configuration is refused before any step runs; empty if it is not."""
    try:
        base, files = read_folder(preset="demo")
        merged = merge(base, values)
        settings = check_settings(merged, files)
        _of_datasets(settings)
        _of_methods(settings)
    except TspError as error:
        return str(error)
    return ""


def _others(prefix: tuple[str, ...], config: Any) -> list[Field]:
    return [((*prefix, *path), other(kind, value)) for path, kind, value in options_of(type(config), config)]


def _of_datasets(settings: Settings) -> list[Field]:
    found: list[Field] = []
    for name in DATASETS:
        config = settings.datasets[name]
        found += [
            field for field in _others(("datasets", name), config) if field[0][2] not in ("generate", "standardise")
        ]
        for key, cls in (("generate", SyntheticConfig), ("standardise", StandardiseConfig)):
            found += _others(("datasets", name, key), build(cls, getattr(config, key), key))
    return found


def _of_methods(settings: Settings) -> list[Field]:
    found: list[Field] = []
    for name in EXPERIMENTS:
        config = settings.experiments[name]
        entry = _others(("experiments", name), config)
        found += [field for field in entry if field[0][2] not in ("settings", "sweep")]
        found += _others(("experiments", name, "settings"), build(resolve(config.method).Config, config.settings, name))
    captions = settings.captions["bmt_synthetic"]
    found += [field for field in _others(("captions", "bmt_synthetic"), captions) if field[0][2] != "settings"]
    found += _others(("captions", "bmt_synthetic", "settings"), build(CaptionConfig, captions.settings, "captions"))
    return found


def _of_others(settings: Settings) -> list[Field]:
    found: list[Field] = []
    for name in RUNS:
        found += _others(("runs", name), settings.runs[name])
    found += _others(("encoders", "r2plus1d_tiny"), settings.encoders["r2plus1d_tiny"])
    for section in ("download", "extract", "sound"):
        found += _others((section,), getattr(settings, section))
    for name in TABLES:
        found += [((*path[:2], path[2]), value) for path, value in _others(("tables", name), settings.tables[name])]
    return found
