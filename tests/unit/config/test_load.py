"""Configuration: every fault at once, with file, key, value and what is allowed."""

import copy
import re
from dataclasses import dataclass, field

import pytest
import yaml

from tsp.config.check import check_settings, schema
from tsp.config.experiments import resolve_experiment
from tsp.config.load import build, merge, read_config, read_folder, run_entry, write_config
from tsp.errors import TspError
from tsp.io.files import read_json
from tsp.plan.identity import code
from tsp.resolve import resolve


@pytest.fixture(scope="module")
def original():
    return read_folder()


@pytest.fixture
def values(original):
    return copy.deepcopy(original[0])


@pytest.mark.parametrize("preset", ["demo", "paper"])
def test_shipped_configuration_has_no_fault(preset):
    values, files = read_folder(preset=preset)
    settings = check_settings(values, files)
    assert (
        settings.build.tables
        == {
            "demo": ["miniature", "miniature_proposals", "miniature_refined"],
            "paper": [
                *("tal_activitynet", "proposals_activitynet", "tal_thumos14", "refined_thumos14"),
                *("short_activitynet", "short_thumos14", "captions"),
            ],
        }[preset]
    )
    for name in settings.experiments:
        resolve_experiment(name, values["experiments"][name])
    for encoder in settings.encoders.values():
        assert callable(resolve(encoder.factory))


def test_schema_is_in_sync(repository):
    """`tsp schema` rewrites it."""
    assert read_json(repository / "config" / "schema.json") == schema()


FAULTS = [
    (("runs", "mini_tsp", "head_lrr"), 1e-3, ["runs.yaml", "runs.mini_tsp.head_lrr", "did you mean 'head_lr'"]),
    (("runs", "mini_tsp", "head_lr"), "fast", ["runs.yaml", "runs.mini_tsp.head_lr", "'fast'", "number"]),
    (("runs", "mini_tsp", "encoder"), "r2plus1d_43", ["'r2plus1d_43' is no encoder", "did you mean 'r2plus1d_34'"]),
    (("runs", "mini_tsp", "gvf"), "mean", ["runs.mini_tsp.gvf", "'mean'", "'max' or 'avg'"]),
    (("runs", "mini_tac", "base"), "mini_tps", ["'mini_tps' is no run", "did you mean 'mini_tsp'"]),
    (("runs", "mini_tsp", "start"), "nothing", ["runs.mini_tsp.start", "is no run", "mini_start"]),
    (("runs", "mini_tsp", "trainer", "epochs"), 0, ["runs.mini_tsp.trainer", "epochs is 0"]),
    (("datasets", "synthetic", "videos"), "/no/such", ["config.yaml", "datasets.synthetic.videos", "no such folder"]),
    (("datasets", "synthetic", "standardise", "crff"), 3, ["datasets.synthetic.standardise", "crff", "allowed", "crf"]),
    (("experiments", "gtad_synthetic", "labels"), "mini_x", ["experiments.yaml", "is no run", "mini_tac"]),
    (("experiments", "gtad_synthetic", "labels"), None, ["experiments.yaml", "labels: this key is required"]),
    (
        ("experiments", "pgcn_synthetic", "refines", "experiment"),
        "bmn_synthetik",
        ["experiments.yaml", "no experiment on synthetic that makes proposals", "did you mean 'bmn_synthetic'"],
    ),
    (("experiments", "pgcn_synthetic", "refines", "run"), "mini", ["'mini' is no run"]),
    (("experiments", "pgcn_synthetic", "refines", "train"), "a.txt", ["either `experiment`, or `train` and `valid`"]),
    (
        ("experiments", "pgcn_synthetic", "refines"),
        {"train": "a.txt", "valid": "b.json"},
        ["expected two of .txt or .json"],
    ),
    (("download", "rate_limit"), "2X", ["download", "'2X'", "500K"]),
    (
        ("tables", "miniature", "rows"),
        [{"run": "x", "label": "X"}],
        ["tables.yaml", "mini_tsp is not a row of this table", "allowed: x"],
    ),
    (("build", "tables"), ["minature"], ["demo.yaml", "did you mean 'miniature'"]),
    (("nonsense",), 1, ["nonsense: unknown key", "datasets"]),
]


@pytest.mark.parametrize(("path", "value", "said"), FAULTS, ids=[".".join(f[0]) for f in FAULTS])
def test_one_fault_names_file_key_value_and_what_is_allowed(values, original, path, value, said):
    node = values
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    with pytest.raises(TspError) as error:
        check_settings(values, original[1])
    for text in said:
        assert text in str(error.value)


def test_all_faults_are_listed_at_once(values):
    values["runs"]["mini_tsp"]["encoder"] = "x"
    values["runs"]["mini_tac"]["base"] = "y"
    values["datasets"]["synthetic"]["train"] = "z"
    with pytest.raises(TspError, match=r"(?s)3 faults.*'y' is no run.*'z' is no subset.*'x' is no encoder"):
        check_settings(values)


def test_a_fault_of_a_base_is_told_once(values):
    values["runs"]["mini_tsp"]["head_lr"] = "fast"
    with pytest.raises(TspError, match=r"has 1 fault:\n.*runs\.mini_tsp\.head_lr"):
        check_settings(values)


def test_a_base_has_no_base(values):
    values["runs"]["third"] = {"base": "mini_tac"}
    with pytest.raises(TspError, match="a base has none"):
        check_settings(values)


def test_a_run_depends_on_its_base_and_its_differences_alone(values):
    entry = run_entry(values, "mini_tac")
    assert entry["heads"] == ["action"]
    assert entry["head_lr"] == values["runs"]["mini_tsp"]["head_lr"]
    assert "base" not in entry
    values["runs"]["mini_start"]["head_lr"] = 1
    assert run_entry(values, "mini_tac") == entry


@dataclass(frozen=True, kw_only=True)
class Inner:
    """Inner."""

    number: int = 1
    """A number."""


@dataclass(frozen=True, kw_only=True)
class Outer:
    """Outer."""

    inner: Inner = field(default_factory=Inner)
    """Inner."""
    sizes: tuple[int, int] = (1, 2)
    """Sizes."""


def test_text_from_the_command_line_becomes_its_type():
    assert build(Inner, {"number": "7"}, "x").number == 7


def test_resolved_files_round_trip(tmp_path):
    write_config(tmp_path / "c.yaml", Outer(inner=Inner(number=3)))
    assert read_config(tmp_path / "c.yaml", Outer) == Outer(inner=Inner(number=3))
    assert yaml.safe_load((tmp_path / "c.yaml").read_text()) == {"inner": {"number": 3}, "sizes": [1, 2]}


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", ""])
def test_a_broken_yaml_file_is_named(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(TspError, match=r"c\.yaml"):
        read_config(tmp_path / "c.yaml", Outer)


def test_merging_keeps_what_is_not_overridden():
    assert merge({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"c": 3}, "d": [2]}) == {"a": {"b": 1, "c": 3}, "d": [2]}


@pytest.mark.parametrize("path", ["tsp.nothing:x", "tsp.types:nothing"])
def test_unknown_dotted_paths_are_told(path):
    with pytest.raises(TspError, match="nothing"):
        resolve(path)


def test_code_versions_exist_for_the_real_library():
    assert len({code("extract_features"), code("download")}) == 2


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("datasets", "synthetic", "standardise", "fps"), "fast", "datasets.synthetic.standardise.fps: 'fast': "),
        (("datasets", "synthetic", "standardise", "fps"), 0, "datasets.synthetic.standardise: standardise: fps and "),
        (("captions", "bmt_synthetic", "settings", "missing"), "x", "captions.bmt_synthetic.settings.missing: 'x': "),
    ],
)
def test_settings_of_a_step_are_checked_with_their_full_key(values, path, value, line):
    node = values
    for part in path[:-1]:
        node = node.setdefault(part, {})
    node[path[-1]] = value
    with pytest.raises(TspError, match=r"(?m)^  " + re.escape(line)):
        check_settings(values)
