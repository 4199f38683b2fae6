"""Defaults of the options that a record states, read from source text.

Nothing is imported: a record can be compared with the defaults where PyTorch is not installed, in milliseconds.
"""

import ast
import functools
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Default of a field that has none, or whose default is no plain value.
UNSTATED = object()
EMPTY: dict[str, Any] = {"list": [], "tuple": [], "dict": {}, "set": []}
RUN = {"run": "tsp.pretrain.config:RunConfig", "encoder": "tsp.encoders.config:EncoderConfig"}
# Parameters that hold the options of a step, and nothing else.
WHOLE = ("entry", "config", "settings")
# Options in the parameters of rules: rule, parameter -> their class.
CLASSES = {
    ("render", "config"): "tsp.datasets.synthetic:SyntheticConfig",
    ("annotations", "dataset"): "tsp.datasets.config:DatasetConfig",
    ("video_list", "dataset"): "tsp.datasets.config:DatasetConfig",
    ("download", "config"): "tsp.video.config:DownloadConfig",
    ("standardise", "config"): "tsp.video.config:StandardiseConfig",
    ("segments", "background"): "tsp.datasets.config:BackgroundConfig",
    ("extract_features", "config"): "tsp.features.config:ExtractConfig",
    ("table", "entry"): "tsp.report.config:TableConfig",
    ("figures", "entry"): "tsp.report.config:TableConfig",
    ("feature_figures", "entry"): "tsp.report.config:TableConfig",
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting of a step.

    Args:
        key: its path of keys, joined by dots.
        value: what the step used.
        default: the default of the present code; None where `known` is false.
        known: whether there is a default to compare with.
    """

    key: str
    value: Any
    default: Any = None
    known: bool = False

    @property
    def differs(self) -> bool:
        """Whether the value is not the default; true without a default."""
        return not self.known or self.value != self.default


def settings_of(rule: str, params: Mapping[str, Any]) -> list[Setting]:
    """The parameters of a step, options key by key with their defaults.

    The names in `WHOLE` are left out of their keys.
    """
    found: list[Setting] = []
    for name, value in params.items():
        standard = _standard(rule, name, value)
        if standard and isinstance(value, Mapping):
            found += compare(value, standard, "" if name in WHOLE else f"{name}.")
        else:
            found.append(Setting(key=name, value=value))
    return found


def compare(values: Mapping[str, Any], standard: Mapping[str, Any], prefix: str = "") -> Iterator[Setting]:
    """Each value with its default; keys that `values` lacks have their default and are left out."""
    for key, value in values.items():
        default = standard.get(key, UNSTATED)
        if isinstance(value, Mapping) and (value or default is UNSTATED):
            yield from compare(value, default if isinstance(default, Mapping) else {}, f"{prefix}{key}.")
        elif default is UNSTATED:
            yield Setting(key=prefix + key, value=value)
        else:
            yield Setting(key=prefix + key, value=value, default=default, known=True)


def _standard(rule: str, name: str, value: Any) -> Mapping[str, Any]:
    """Defaults of one parameter; empty where its class is unknown."""
    if (rule, name) in CLASSES:
        return defaults(CLASSES[rule, name])
    if (rule, name) == ("pretrain", "settings"):
        return {key: defaults(path) for key, path in RUN.items()}
    if name != "entry" or not isinstance(value, Mapping):
        return {}
    if rule == "resolve_run":
        return {key: defaults(path) for key, path in RUN.items()}
    if rule == "resolve_captions":
        networks = defaults("tsp.caption.config:Config")
        return {**defaults("tsp.caption.config:CaptioningConfig"), "settings": networks, "config": networks}
    if rule == "resolve_experiment":
        inner = value.get("experiment", value)
        method = str(inner.get("method", "")) if isinstance(inner, Mapping) else ""
        options = {**defaults("tsp.config.settings:ExperimentConfig"), "settings": defaults(f"{method}:Config")}
        return {**options, "experiment": options}
    return {}


@functools.cache
def defaults(path: str) -> dict[str, Any]:
    """Fields and defaults of the dataclass `module:name`, nested dataclasses as nested mappings, tuples as lists.

    Returns:
        A field without a default, or whose default is no plain value, is `UNSTATED`; a class or module that does not
        exist has no fields.
    """
    module, _, name = path.partition(":")
    return dict(_fields(module, name))


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Top-level names of a module."""

    classes: dict[str, ast.ClassDef]
    constants: dict[str, ast.expr]
    imported: dict[str, tuple[str, str]]


@functools.cache
def _source(module: str) -> _Source:
    source = _Source(classes={}, constants={}, imported={})
    for node in _tree(module).body:
        if isinstance(node, ast.ClassDef):
            source.classes[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            source.constants[node.targets[0].id] = node.value
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            source.imported.update({a.asname or a.name: (node.module, a.name) for a in node.names})
    return source


def _tree(module: str) -> ast.Module:
    try:
        spec = importlib.util.find_spec(module) if module else None
        text = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
        return ast.parse(text)
    except (ImportError, OSError, ValueError, SyntaxError):
        return ast.parse("")


def _fields(module: str, name: str) -> Iterator[tuple[str, Any]]:
    source = _source(module)
    if name in source.imported:
        yield from _fields(*source.imported[name])
    if name not in source.classes:
        return
    node = source.classes[name]
    for base in node.bases:
        if isinstance(base, ast.Name):
            yield from _fields(module, base.id)
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id, _value(module, statement.value)


def _value(module: str, node: ast.expr | None) -> Any:
    """Plain value of the default of a field."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        stated = {keyword.arg: keyword.value for keyword in node.keywords}
        if node.func.id != "field":  # a dataclass with some of its fields
            made = dict(_fields(module, node.func.id))
            return {**made, **{str(key): _value(module, value) for key, value in stated.items()}} or UNSTATED
        if "default_factory" in stated:
            return _made(module, stated["default_factory"])
        return _value(module, stated.get("default"))
    source = _source(module)
    if isinstance(node, ast.Name) and node.id in source.imported:
        module, name = source.imported[node.id]
        return _value(module, _source(module).constants.get(name))
    if isinstance(node, ast.Name):
        return _value(module, source.constants.get(node.id))
    try:
        return plain(ast.literal_eval(node)) if node is not None else UNSTATED
    except (ValueError, TypeError, SyntaxError):
        return UNSTATED


def _made(module: str, factory: ast.expr) -> Any:
    """What a `default_factory` makes."""
    if isinstance(factory, ast.Lambda):
        return _value(module, factory.body)
    if not isinstance(factory, ast.Name):
        return UNSTATED
    if factory.id in EMPTY:
        return EMPTY[factory.id]
    return dict(_fields(module, factory.id)) or UNSTATED


def plain(value: Any) -> Any:
    """The value as JSON has it: tuples and sets are lists, keys are strings."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(plain, value), key=str)
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value
