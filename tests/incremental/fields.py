"""Every field of the configuration that the preset `demo` reaches, with another value for it."""

from typing import Any

from incremental.edits import options_of, other

from tsp.caption.config import Config as CaptionConfig
from tsp.config.check import check_settings
from tsp.config.load import build, read_folder
from tsp.config.settings import Settings
from tsp.datasets.synthetic import SyntheticConfig
from tsp.resolve import resolve
from tsp.video.config import StandardiseConfig

DATASETS = ("synthetic", "synthetic_trimmed")
RUNS = ("mini_start", "mini_tsp", "mini_tac")
EXPERIMENTS = ("gtad_synthetic", "bmn_synthetic", "pgcn_synthetic")
TABLES = ("miniature", "miniature_proposals", "miniature_refined", "miniature_captions")

Field = tuple[tuple[str, ...], Any]


def fields_of_preset() -> list[Field]:
    """Path of each field and another value; MISSING where none can be guessed from its type."""
    values, files = read_folder(preset="demo")
    settings = check_settings(values, files)
    return [*_of_datasets(settings), *_of_methods(settings), *_of_others(settings)]


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
