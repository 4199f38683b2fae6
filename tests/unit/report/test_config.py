"""Errors in the configuration of a table."""

import pytest
from pydantic import TypeAdapter

from tsp.report.config import TableConfig

build = TypeAdapter(TableConfig).validate_python
TABLE = {
    "title": "t",
    "rows": [{"run": "tsp", "label": "TSP"}, {"run": "tac", "label": "TAC"}],
    "columns": [{"experiment": "e", "metric": "average_mAP", "title": "average"}],
}
PUBLISHED = {
    "run": "tsp",
    "experiment": "e",
    "metric": "average_mAP",
    "value": 1.0,
    "source": "s",
    "certainty": "verified",
}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"published": [{**PUBLISHED, "run": "x"}]}, "published: x is not a row of this table; allowed: tsp, tac"),
        ({"published": [{**PUBLISHED, "metric": "mAP@0.5"}]}, "published: e mAP@0.5 is not a column"),
        ({"published": [PUBLISHED, PUBLISHED]}, "published: tsp e average_mAP is listed twice"),
        ({"published": [{**PUBLISHED, "certainty": "sure"}]}, "second-hand"),
        ({"published": [{k: v for k, v in PUBLISHED.items() if k != "source"}]}, "source"),
        ({"differences": [{"title": "d", "minuend": "tsp", "subtrahend": "x"}]}, "differences: x is not a row"),
        ({"rows": [{"run": "tsp", "label": "a"}] * 2}, "rows: tsp is listed twice"),
        ({"columns": TABLE["columns"] * 2}, "columns: e average_mAP is listed twice"),
    ],
)
def test_errors_name_the_entry(change, text):
    with pytest.raises(ValueError, match=text):
        build(TABLE | change)


def test_a_good_table_is_built():
    table = build(TABLE | {"published": [PUBLISHED]})
    assert (table.columns[0].scale, table.published[0].certainty, table.miniature) == (100, "verified", False)
