"""Detection of outputs that changed after their step."""

import pytest

from tsp.errors import TspError
from tsp.io import sums


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results/a.csv").write_text("x\n1\n")
    sums.record(["results/a.csv"])
    return tmp_path / "results/a.csv"


def test_an_unchanged_file_passes(made):
    sums.check(["results/a.csv"])


@pytest.mark.parametrize("content", ["x\n2\n", "", "x\n"])
def test_a_changed_file_is_one_line_that_says_what_to_do(made, content):
    made.write_text(content)
    with pytest.raises(TspError, match=r"results/a\.csv: differs from what its step wrote.*delete it") as caught:
        sums.check(["results/a.csv"])
    assert "\n" not in str(caught.value)


def test_a_damaged_record_is_noticed_too(made):
    (sums.FOLDER / "results/a.csv.sha256").write_text("")
    with pytest.raises(TspError, match="differs from what its step wrote"):
        sums.check(["results/a.csv"])


def test_what_is_made_again_is_forgotten_first(made):
    sums.forget(["results/a.csv", "results/never.csv"])
    made.write_text("x\n2\n")
    sums.check(["results/a.csv"])


def test_files_elsewhere_folders_and_missing_files_are_not_recorded(made, tmp_path):
    sums.record([made, "results", "../b.csv", "results/missing.csv"])
    sums.check([made, "results", "../b.csv", "results/missing.csv"])
    assert [p.name for p in (tmp_path / sums.FOLDER).rglob("*.sha256")] == ["a.csv.sha256"]
