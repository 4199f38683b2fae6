"""The released ground-truth files, byte for byte, from official annotations."""

import gzip
import json

import pandas as pd
import pytest

from tsp.cli import main
from tsp.io.tables import read_segments

CASES = [
    ("activitynet", "train", 15_956, 31_366),
    ("activitynet", "valid", 7_747, 15_401),
    ("thumos14", "valid", 2_178, 5_185),
    ("thumos14", "test", 2_573, 5_931),
]


def released(shared, dataset, subset):
    stem = {"activitynet": "activitynet_v1-3", "thumos14": "thumos14"}[dataset]
    folder = shared / "tsp" / dataset
    metadata = next(folder.glob(f"{stem}_{subset}_metadata.csv*"))
    return metadata, folder / f"{stem}_{subset}_tsp_groundtruth.csv.gz"


def official(shared, tmp_path, dataset, subset):
    """Official annotations: as published for THUMOS14; the JSON of ActivityNet is rebuilt from its Action rows."""
    if dataset == "thumos14":
        return shared / "gtad" / {"valid": "val_Annotation.csv", "test": "test_Annotation.csv"}[subset]
    rows = read_segments(released(shared, dataset, subset)[1])
    rows = rows[rows["temporal-region-label"] == "Action"]
    database = {
        name: {
            "subset": {"train": "training", "valid": "validation"}[subset],
            "duration": 0.0,
            "url": f"https://www.youtube.com/watch?v={name}",
            "annotations": [
                {"segment": list(times), "label": label}
                for *times, label in group[["t-start", "t-end", "action-label"]].values.tolist()
            ],
        }
        for name, group in rows.groupby("video-name", sort=False)
    }
    path = tmp_path / "activity_net.v1-3.min.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"version": "1.3", "taxonomy": [], "database": database}).encode()))
    return path


@pytest.mark.parametrize(("dataset", "subset", "background", "rows"), CASES)
def test_released_files_are_reproduced(shared, tmp_path, dataset, subset, background, rows):
    metadata, expected = released(shared, dataset, subset)
    output = tmp_path / "segments.csv"
    annotations = official(shared, tmp_path, dataset, subset)
    arguments = ["groundtruth", "--dataset", dataset, "--annotations", str(annotations), "--metadata", str(metadata)]
    assert main([*arguments, "--subset", subset, "--output", str(output)]) == 0
    assert output.read_bytes() == gzip.decompress(expected.read_bytes())
    table = pd.read_csv(output)
    assert len(table) == rows
    assert (table["temporal-region-label"] == "No action").sum() == background


def test_rows_of_the_videos_that_bmn_shares_are_equal(shared, tmp_path):
    """Times to 1e-9 s: the released file went through an inexact decimal parser (see `_released_length`)."""
    metadata, expected = released(shared, "activitynet", "train")
    output = tmp_path / "segments.csv"
    source = shared / "bmn" / "anet_anno_action.json.gz"
    arguments = ["groundtruth", "--dataset", "activitynet", "--annotations", str(source), "--metadata", str(metadata)]
    assert main([*arguments, "--subset", "training", "--output", str(output)]) == 0
    ours, theirs = read_segments(output), read_segments(expected)
    theirs = theirs[theirs["video-name"].isin(set(ours["video-name"]))].reset_index(drop=True)
    assert ours["video-name"].nunique() == 9_649
    pd.testing.assert_frame_equal(ours, theirs, rtol=0, atol=1e-9)
