"""Configuration files: YAML to plain values, and plain values to frozen dataclasses."""

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from tsp.datasets.config import DatasetConfig
from tsp.errors import TspError
from tsp.io.files import atomic, read_json, read_text

T = TypeVar("T")
# The path of keys to a wrong entry, and the error message.
Fault = tuple[tuple[str, ...], str]
ROOT = Path(__file__).parents[3]
# The safe loader in C, where PyYAML has it: ten times faster, and these files are read at every start.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
FILES = ("config.yaml", "runs.yaml", "experiments.yaml", "tables.yaml")


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Make a frozen dataclass from plain values; strings such as "3" or "true" are converted to the field's type.

    Raises:
        TspError: every unknown key, wrong type and invalid choice, one line each, prefixed with `where`.
    """
    try:
        return adapter(cls).validate_python(dict(values))
    except ValidationError as error:
        raise TspError("\n".join(f"{where}: {text}" for _, text in faults_of(cls, error))) from None


def read_config(path: str | Path, cls: type[T]) -> T:
    """Read a resolved YAML file of a run or experiment."""
    return build(cls, read_yaml(path), str(path))


def write_config(path: str | Path, config: Any) -> None:
    """Write a dataclass (or plain mapping) as YAML, keys in declared order."""
    data = asdict(config) if is_dataclass(config) and not isinstance(config, type) else config
    with atomic(path) as temporary:
        # Through JSON: tuples become lists, and anything but plain values is refused.
        temporary.write_text(yaml.safe_dump(json.loads(json.dumps(data)), sort_keys=False, allow_unicode=True))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file that must hold a mapping."""
    try:
        data = yaml.load(read_text(path), Loader=LOADER)
    except yaml.YAMLError as error:
        raise TspError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise TspError(f"{path}: expected a mapping of keys at the top level")
    return data


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`, mappings merged key by key."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = merge(old, value)
        merged[key] = value
    return merged


def read_folder(
    folder: Path = ROOT / "config", overlays: Iterable[Path] = (), preset: str | None = None
) -> tuple[dict[str, Any], list[Path]]:
    """The four files merged, with the demo overlay if the preset is `demo`, then `overlays`; and all their paths."""
    files = [folder / name for name in FILES]
    overlays = list(overlays)
    stated = [read_yaml(path).get("preset") for path in (files[0], *overlays)]
    chosen = preset or [p for p in stated if p][-1]
    files += [folder / "demo.yaml"] * (chosen == "demo") + overlays
    values: dict[str, Any] = {}
    for path in files:
        values = merge(values, read_yaml(path))
    return {**values, "preset": chosen}, files


def run_entry(values: Mapping[str, Any], run: str) -> dict[str, Any]:
    """A run as the user wrote it, merged with its base: the part of the configuration that the run depends on."""
    entry = values["runs"][run]
    return merge(values["runs"].get(entry.get("base"), {}), {k: v for k, v in entry.items() if k != "base"})


def labels_of(dataset: DatasetConfig) -> list[str]:
    """Action names of a data set in id order."""
    if isinstance(dataset.labels, list):
        return dataset.labels
    path = Path(dataset.labels)
    return list(read_json(path if path.exists() else ROOT / path))


def adapter(cls: type[T]) -> TypeAdapter[T]:
    """The pydantic adapter of a plain dataclass; unknown keys are refused at every level."""
    _forbid_unknown(cls)
    return TypeAdapter(cls)


def _forbid_unknown(cls: Any) -> None:
    if is_dataclass(cls) and "__pydantic_config__" not in vars(cls):
        setattr(cls, "__pydantic_config__", ConfigDict(extra="forbid", use_attribute_docstrings=True))  # noqa: B010
    for inner in fields(cls) if is_dataclass(cls) else ():
        for part in _parts(inner.type):
            if "__pydantic_config__" not in vars(part):
                _forbid_unknown(part)


def _parts(annotation: Any) -> list[type]:
    if isinstance(annotation, type) and is_dataclass(annotation):
        return [annotation]
    return [part for arg in getattr(annotation, "__args__", ()) for part in _parts(arg)]


def faults_in(cls: type, values: Mapping[str, Any]) -> list[Fault]:
    """The errors that `build` would raise."""
    try:
        adapter(cls).validate_python(dict(values))
    except ValidationError as error:
        return faults_of(cls, error)
    return []


def faults_of(cls: Any, error: ValidationError) -> list[Fault]:
    """Pydantic's errors as paths of keys and messages with key, value and allowed values."""
    found = []
    for item in error.errors(include_url=False):
        loc = tuple(str(part) for part in item["loc"])
        key = ".".join(loc)
        if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            allowed = _allowed(cls, loc[:-1])
            guess = difflib.get_close_matches(loc[-1], allowed, 1)
            hint = f"did you mean {guess[0]!r}? " if guess else ""
            found.append((loc, f"{key}: unknown key; {hint}allowed: {', '.join(allowed)}"))
        elif item["type"].startswith("missing"):
            found.append((loc, f"{key}: this key is required"))
        else:
            text = item["msg"][0].lower() + item["msg"][1:]
            # An error across several keys contains their values.
            shown = f"{key}: " if isinstance(item["input"], Mapping) else f"{key}: {item['input']!r}: "
            found.append((loc, (shown if key else "") + text.removeprefix("value error, ")))
    return found


def _allowed(cls: Any, loc: tuple[str, ...]) -> list[str]:
    """Field names of the dataclass at a path; a part that is not a field is a key of a dict."""
    for part in loc:
        names = {f.name: f.type for f in fields(cls)} if is_dataclass(cls) else {}
        inner = _parts(names[part]) if part in names else [cls]
        if not inner:
            return []
        cls = inner[0]
    return [f.name for f in fields(cls)] if is_dataclass(cls) else []


def one_of(names: Iterable[str], value: Any) -> str:
    """The allowed names, after the one closest to `value`."""
    listed = list(names)
    guess = difflib.get_close_matches(str(value), listed, 1)
    return (f"did you mean {guess[0]!r}? " if guess else "") + "allowed: " + ", ".join(listed)
