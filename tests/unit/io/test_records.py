"""Records of outputs: detection of files that changed after their step, and putting outputs back."""

import pytest

from tsp.errors import TspError
from tsp.io import records

FACTS = {"rule": "r", "wildcards": {}, "params": {}}


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results/a.csv").write_text("x\n1\n")
    records.write(["results/a.csv"], FACTS)
    return tmp_path / "results/a.csv"


def test_an_unchanged_file_passes(made):
    assert set(records.check(["results/a.csv"])) == {"results/a.csv"}
    record = records.read("results/a.csv")
    assert (record["rule"], record["bytes"]) == ("r", 4)


@pytest.mark.parametrize("content", ["x\n2\n", "", "x\n"])
def test_a_changed_file_is_one_line_that_says_what_to_do(made, content):
    made.write_text(content)
    with pytest.raises(TspError, match=r"results/a\.csv: differs from what its step wrote.*delete it") as caught:
        records.check(["results/a.csv"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{}", "[]"])
def test_a_damaged_record_is_noticed_too(made, text):
    (records.FOLDER / "results/a.csv.json").write_text(text)
    with pytest.raises(TspError, match=r"a\.csv\.json"):
        records.check(["results/a.csv"])


def test_what_is_made_again_is_forgotten_first(made):
    records.forget(["results/a.csv", "results/never.csv"])
    made.write_text("x\n2\n")
    records.check(["results/a.csv"])
    assert records.read("results/a.csv") is None


def test_files_elsewhere_folders_and_missing_files_are_not_recorded(made, tmp_path):
    records.write([made, "results", "../b.csv", "results/missing.csv"], FACTS)
    found = records.check([made, "results", "../b.csv", "results/missing.csv"])
    assert list(found) == [str(made)]
    assert [p.name for p in (tmp_path / records.FOLDER).rglob("*.json")] == ["a.csv.json"]


def test_outputs_are_put_back_together(made):
    other = made.with_name("b.csv")
    other.write_text("y\n")
    records.write(["results/b.csv"], FACTS)
    made.unlink()
    other.unlink()
    assert records.put_back(records.read_all(["results/a.csv", "results/b.csv"]))
    assert (made.read_text(), other.read_text()) == ("x\n1\n", "y\n")


def test_a_damaged_or_deleted_link_puts_nothing_back(made):
    other = made.with_name("b.csv")
    other.write_text("y\n")
    records.write(["results/b.csv"], FACTS)
    made.unlink()
    other.write_text("damaged in place: the link is another name of the same file")
    other.unlink()
    assert not records.put_back(records.read_all(["results/a.csv", "results/b.csv"]))
    assert not made.exists()
    (records.KEPT / "results/a.csv").unlink()
    assert not records.put_back(records.read_all(["results/a.csv"]))


def test_without_hard_links_small_files_are_copied(made, monkeypatch):
    def refuse(self, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    other = made.with_name("b.csv")
    other.write_text("y\n")
    records.write(["results/b.csv"], FACTS)
    other.write_text("edited in place")
    assert records.put_back(records.read_all(["results/b.csv"]))
    assert other.read_text() == "y\n"
    monkeypatch.setattr(records, "LARGEST_COPY", 1)
    records.write(["results/b.csv"], FACTS)
    assert not records.put_back(records.read_all(["results/a.csv"]))
