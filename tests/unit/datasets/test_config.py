"""Data sets of the shipped configuration, and invalid ones."""

import pytest
import yaml

from tsp.config.load import read_config
from tsp.datasets.config import DatasetConfig
from tsp.datasets.synthetic import SyntheticConfig
from tsp.errors import TspError
from tsp.resolve import resolve
from tsp.video.config import StandardiseConfig

PLAIN = {"reader": "tsp.datasets.thumos14:read", "subsets": {"train": {"official": "training"}}, "labels": ["run"]}


def parse(tmp_path, document, kind=DatasetConfig):
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(document))
    return read_config(tmp_path / "dataset.yaml", kind)


def test_every_shipped_data_set(tmp_path, repository):
    datasets = yaml.safe_load((repository / "config/config.yaml").read_text())["datasets"]
    assert {"activitynet", "thumos14", "synthetic"} <= set(datasets)
    for document in datasets.values():
        config = parse(tmp_path, document)
        assert callable(resolve(config.reader))
        assert {config.train, config.valid} <= set(config.subsets) | {"train", "valid"}
        parse(tmp_path, config.standardise, StandardiseConfig)
        if config.generate is not None:
            parse(tmp_path, config.generate, SyntheticConfig)


def test_defaults(tmp_path):
    config = parse(tmp_path, PLAIN)
    assert (config.background.rule, config.background.min_clips, config.max_failed) == ("released", 5, 0.01)
    assert config.subsets["train"].shards == 1
    # The official code computes its thresholds with linspace; the ninth is below 0.9.
    assert config.tious[8] < 0.9 == pytest.approx(config.tious[8])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"max_faild": 0.1}, "max_faild"),
        ({"background": {"rule": "cleaner"}}, "background"),
        ({"subsets": {"train": {"oficial": "x"}}}, "oficial"),
        ({"shard_size": "many"}, "shard_size"),
        ({"labels": None}, "labels"),
    ],
)
def test_mistakes_are_named(tmp_path, change, named):
    with pytest.raises(TspError, match=named):
        parse(tmp_path, {**PLAIN, **change})
