"""The page of captions: sentences beside their references, bars within the lane, names that are no HTML."""

import json
import re

import pytest

from tsp.errors import TspError
from tsp.report.caption_page import captions_page

NAME = "v_<b>&a"


def write(folder, name, content):
    (folder / name).write_text(json.dumps(content))
    return folder / name


def submission(*entries):
    rows = [{"sentence": s, "timestamp": t, "proposal_score": 0.5} for t, s in entries]
    return {"version": "x", "results": {NAME: rows}, "external_data": {"used": False, "details": ""}}


@pytest.fixture
def files(tmp_path):
    truth = {NAME: {"duration": 10.0, "timestamps": [[0, 4], [4, 10]], "sentences": ["A dog runs.", "A <i> sits."]}}
    return {
        "references": write(tmp_path, "r.json", truth),
        "runs": {
            "TSP": (
                write(tmp_path, "a.json", submission(([0, 4], "A dog walks"), ([4, 10], "A <i> sits"))),
                write(tmp_path, "l.json", submission(([0, 6], "A dog"), ([5, 10], "A cat"))),
            )
        },
    }


def page(tmp_path, files):
    captions_page(tmp_path / "page.html", tables=[], videos=tmp_path, **files)
    return (tmp_path / "page.html").read_text()


def test_sentences_and_bars(tmp_path, files):
    html = page(tmp_path, files)
    # Only the word that the reference lacks is marked, and nothing from the files becomes markup.
    assert "A dog <u>walks</u>" in html
    assert "A &lt;i&gt; sits" in html
    assert "<b>" not in html
    bars = [tuple(map(float, b)) for b in re.findall(r"left:([\d.]+)%;width:([\d.]+)%;top:([\d.]+)rem", html)]
    assert all(left + width <= 100 for left, width, _ in bars)
    # Two annotated events in one row; two proposals that overlap in two.
    assert [top for *_, top in bars] == [0.2, 0.2, 0.2, 1.1]
    assert f"{NAME.replace('<', '&lt;').replace('>', '&gt;').replace('&a', '&amp;a')}.mp4 is not here" in html


def test_a_video_that_no_run_described(tmp_path, files):
    files["runs"]["TSP"] = (write(tmp_path, "a.json", submission() | {"results": {}}), files["runs"]["TSP"][1])
    with pytest.raises(TspError, match="none of its videos"):
        page(tmp_path, files)
