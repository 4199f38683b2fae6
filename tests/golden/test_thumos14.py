"""The official test annotation cut to each of the three ground truths in use (evaluation.md 6.2)."""

import json

import pytest

from tsp.cli import main
from tsp.evaluation.thumos14 import VARIANTS
from tsp.io.annotations import read_annotations
from tsp.io.predictions import THUMOS14_CLASSES, write_thumos14

PER_CLASS = [41, 488, 106, 98, 217, 138, 170, 388, 48, 36, 242, 135, 169, 142, 399, 144, 48, 141, 88, 120]


@pytest.mark.parametrize(
    ("variant", "videos", "instances"), [(None, 210, 3311), ("210", 210, 3311), ("212", 212, 3358), ("213", 213, 3358)]
)
def test_variants_of_the_official_file(shared, tmp_path, capsys, variant, videos, instances):
    """Predicted are the instances of G-TAD's file: full scores by the smallest, less by the others."""
    truth = shared / "gtad" / "thumos_gt.json"
    found = {
        v.name: [
            {"segment": [s.start_s, s.end_s], "score": 1 - n / 1000, "label": s.label} for n, s in enumerate(v.segments)
        ]
        for v in read_annotations(truth)
        if v.subset == "test"
    }
    write_thumos14(tmp_path / "p.txt", found)
    official = shared / "gtad" / "test_Annotation.csv"
    arguments = ["detection", "--ground-truth", official, "--predictions", tmp_path / "p.txt", "--dataset", "thumos14"]
    assert main(["evaluate", *map(str, [*arguments, *(["--variant", variant] if variant else [])])]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert (scores["counts"]["videos"], scores["counts"]["instances"]) == (videos, instances)
    assert scores["options"]["variant"] == VARIANTS[variant or "210"]
    assert sorted(scores["per_class"]) == list(THUMOS14_CLASSES.values())
    if videos == 210:
        assert scores["average_mAP"] == 1
    else:
        assert [scores["per_class"][k]["instances"] for k in sorted(scores["per_class"])] == PER_CLASS
        missed = 1 - (242 - 29) / 242 + 1 - (170 - 18) / 170
        assert scores["average_mAP"] == pytest.approx(1 - missed / 20, abs=1e-12)
