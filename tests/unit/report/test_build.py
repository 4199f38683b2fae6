"""The report from its sources: which figures are on the page, and what its provenance states."""

import hashlib
import re
import subprocess
from dataclasses import replace

import pytest
from unit.report.test_page import HEADER, png

from tsp.report.build import FEATURE_FIGURES, FIGURES, ReportFacts, ReportSources, provenance, write_report
from tsp.report.markup import write_standalone


@pytest.fixture(autouse=True)
def no_repository_above(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))


@pytest.fixture
def sources(tmp_path):
    for table in ("one", "two"):
        folder = tmp_path / "figures" / table
        folder.mkdir(parents=True)
        for stem in FIGURES:
            png(folder / f"{stem}.png")
        for stem in ("sensitivity", "false_negatives"):
            (folder / f"{stem}.csv").write_text("run,percent\n")
    write_standalone(tmp_path / "one.html", "One", "<h2>Table one</h2>")
    (tmp_path / "overlay.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    (tmp_path / "extract").mkdir()
    (tmp_path / "extract" / "1.tsv").write_text(HEADER + "75\t0:01:15\t1500\t90\n")
    (tmp_path / "weights").write_bytes(b"weights")
    return ReportSources(
        tables=[tmp_path / "one.html"],
        figures={table: tmp_path / "figures" / table for table in ("one", "two")},
        featured={"one"},
        overlays={"two": tmp_path / "overlay.mp4"},
        captions=[],
        manifests={},
        benchmarks=[tmp_path / "extract" / "1.tsv"],
        inputs=[tmp_path / "weights"],
    )


@pytest.fixture
def facts(tmp_path):
    return ReportFacts(titles={"one": "Title <one>"}, miniature=False, configuration={"a": 1}, repository=tmp_path)


def test_tables_of_the_same_features_show_their_figures_once(tmp_path, sources, facts):
    write_report(tmp_path / "index.html", sources, facts)
    page = (tmp_path / "index.html").read_text()
    shown = re.findall(r'<img alt="([^"]+)"', page)
    every = [title for title, _ in FIGURES.values()]
    shared = [FIGURES[stem][0] for stem in FEATURE_FIGURES]
    assert shown == [*every, *(title for title in every if title not in shared)]
    assert re.findall(r'<h3 class="group">([^<]+)</h3>', page) == [
        "Title &lt;one&gt;",
        "two",
        "Videos with their predictions",
    ]
    assert '<video controls muted preload="metadata" aria-label="two"' in page
    assert "Table one" in page
    assert hashlib.sha256(b"weights").hexdigest() in page
    assert "not under version control" in page
    assert "Miniature" not in page


def test_the_miniature_is_labelled(tmp_path, sources, facts):
    write_report(tmp_path / "index.html", sources, replace(facts, miniature=True))
    page = (tmp_path / "index.html").read_text()
    assert '<div class="miniature">' in page
    assert '<p class="banner"><strong>Miniature' in page


def test_provenance_follows_code_and_configuration(tmp_path):
    one, other = (provenance({"a": value}, tmp_path) for value in (1, 2))
    assert one["configuration"] != other["configuration"]
    assert one["code"] == "not under version control"
    assert {name: one[name] for name in one if name != "configuration"} == {
        name: other[name] for name in other if name != "configuration"
    }
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    assert re.fullmatch(r"[0-9a-f]{7,}", str(provenance({}, tmp_path)["code"]))
