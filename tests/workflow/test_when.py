"""The table "When a step runs again" of docs/architecture.md, row by row: which jobs a change schedules.

Dry runs over a miniature whose outputs are empty files that, by Snakemake's records, the present code made. Code is
edited in a copy of the repository.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from unit.video.make import write_video

SMALL = Path(__file__).with_name("small.yaml")
ROW = re.compile(r"^\| ([^|]+?) \| [^|]+? \|$", re.MULTILINE)
# A folder of the user's videos beside the miniature.
MINE = """
datasets:
  mine:
    reader: tsp.datasets.folder:read
    annotations: [videos]
    subsets: {all: {official: all}}
    train: all
    valid: all
    labels: []
"""
TARGETS = ("all", "results/mine/metadata/all.csv")


class Place:
    """A copy of the repository and a folder whose results are up to date."""

    def __init__(self, repository, folder):
        self.repository, self.folder = folder / "repository", folder / "run"
        for name in ("src", "rules", "workflow", "config", "resources", "profiles", "envs"):
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(repository / name, self.repository / name, ignore=ignored)
        shutil.copy(repository / "Snakefile", self.repository)
        self.overlay = folder / "mine.yaml"
        self.overlay.write_text(MINE)
        self.video = self.folder / "videos/a.mp4"
        self.video.parent.mkdir(parents=True)
        write_video(self.video, 20)
        # Real files as far as the videos, so that the sources are recorded; empty ones behind them.
        self.call("--", TARGETS[1])
        for files in self.written(self.call("--dry-run", "--", *TARGETS)):
            for path in files:
                (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
                (self.folder / path).touch()
        self.call("--touch", "--forceall", "--", *TARGETS)

    def call(self, *arguments, overlays=()):
        """Run Snakemake; its output."""
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--snakefile", self.repository / "Snakefile"]
        command += ["--directory", self.folder, "--workflow-profile", self.repository / "profiles/default"]
        command += ["--configfile", SMALL, self.overlay, *overlays, *arguments]
        environment = {**os.environ, "PYTHONPATH": str(self.repository / "src")}
        done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout + done.stderr

    def written(self, text):
        """Output files of each job of a dry run."""
        return [line[12:].split(", ") for line in text.splitlines() if line.startswith("    output: ")]

    def scheduled(self, *overlays):
        """Rules that a dry run would run for a reason of their own, and all that it would run."""
        own, every, rule = set(), set(), ""
        for line in self.call("--dry-run", "--", *TARGETS, overlays=overlays).splitlines():
            if found := re.match(r"(?:local)?rule (\w+):", line):
                rule = found[1]
                every.add(rule)
            elif line.startswith("    reason: ") and not line.startswith(
                "    reason: Input files updated by another job"
            ):
                own.add(rule)
        return own - {"all"}, every - {"all"}


@pytest.fixture(scope="module")
def place(repository, tmp_path_factory):
    place = Place(repository, tmp_path_factory.mktemp("when"))
    assert place.scheduled() == (set(), set())
    return place


@pytest.fixture
def edit(place):
    """Replace text in files of the copied repository; undone afterwards."""
    before = {}

    def change(file, old, new):
        path = place.repository / file
        text = path.read_text()
        before.setdefault(path, text)
        assert old in text, f"{file}: no {old!r}"
        path.write_text(text.replace(old, new, 1))

    yield change
    for path, text in before.items():
        path.write_text(text)


def formatting(place, edit):
    edit("src/tsp/pretrain/gvf.py", "import", "# A comment.\nimport")
    edit("workflow/scripts/gvf.py", '"""', '"""Another docstring. ')
    assert place.scheduled() == (set(), set())


def touched(place, edit):
    place.video.touch()
    assert place.scheduled() == (set(), set())


def run_entry(place, edit):
    overlay = place.folder / "run.yaml"
    overlay.write_text("runs: {mini_tac: {head_lr: 2.0e-3}}\n")
    own, every = place.scheduled(overlay)
    assert own == {"resolve_run"}
    assert {"pretrain", "extract_features", "train_localiser", "table"} <= every
    assert not {"gvf", "standardise", "probe"} & every


def standardising(place, edit):
    overlay = place.folder / "crf.yaml"
    overlay.write_text("datasets: {mine: {standardise: {crf: 40}}}\n")
    # The page shows the whole configuration.
    own, every = place.scheduled(overlay)
    assert own - {"page"} == {"standardise"}
    assert every - {"page"} == {"standardise", "probe", "metadata"}


def default(place, edit):
    edit("src/tsp/localise/bmn.py", "weight_decay: float = 1e-4", "weight_decay: float = 1e-1")
    own, every = place.scheduled()
    assert own == {"resolve_experiment"}
    assert "train_localiser" in every
    assert "extract_features" not in every
    edit("src/tsp/features/config.py", "batch_size: int = ", "batch_size: int = 1")
    assert "extract_features" in place.scheduled()[0]


def code(place, edit):
    edit("src/tsp/pretrain/gvf.py", "def compute_gvf(", "EXTRA = 1\n\n\ndef compute_gvf(")
    assert "gvf" in place.scheduled()[1]
    edit("workflow/scripts/probe.py", "def main", "EXTRA = 1\n\n\ndef main")
    assert "probe" in place.scheduled()[0]
    edit("src/tsp/report/templates/table.html.j2", "<p>", "<p >")
    assert {"table", "page"} <= place.scheduled()[1]


def named(place, edit):
    edit("src/tsp/encoders/video_resnet.py", "\ndef r2plus1d_tiny", "\nEXTRA = 1\n\n\ndef r2plus1d_tiny")
    own, every = place.scheduled()
    assert "pretrain" in own
    assert "extract_features" in every
    assert not {"standardise", "probe"} & every
    edit("src/tsp/datasets/folder.py", "def read(", "EXTRA = 1\n\n\ndef read(")
    assert "video_list" in place.scheduled()[1]
    edit("src/tsp/localise/gtad.py", "POST_PROCESS", "EXTRA = 1\nPOST_PROCESS")
    assert {"train_localiser", "infer_localiser", "post_process"} <= place.scheduled()[1]


def deleted(place, edit):
    path = place.folder / "results/tables/miniature.md"
    path.unlink()
    own, every = place.scheduled()
    assert own == {"table"}
    assert every <= {"table", "page"}
    path.touch()


def intermediate(place, edit):
    path = next((place.folder / "results/experiments/gtad_synthetic").rglob("scores.json"))
    path.unlink()
    assert place.scheduled() == (set(), set())
    (place.folder / "results/tables/miniature.md").unlink()
    assert place.scheduled()[1] >= {"evaluate", "table"}
    path.touch()
    (place.folder / "results/tables/miniature.md").touch()


def annotations(place, edit):
    """The folder is the annotation of its videos; a second shard would stay (test_incremental.py)."""
    other = place.video.with_name("b.mp4")
    shutil.copy(place.video, other)
    assert place.scheduled()[0] == {"video_list"}
    other.unlink()


def source(place, edit):
    content = place.video.read_bytes()
    place.video.write_bytes(content + b"0")
    own, every = place.scheduled()
    assert (own, every) == ({"download"}, {"download", "standardise", "probe", "metadata"})
    place.video.write_bytes(content)
    assert place.scheduled() == (set(), set())
    place.video.rename(place.video.with_suffix(".mov"))
    assert {"video_list", "download"} <= place.scheduled()[1]
    place.video.with_suffix(".mov").rename(place.video)


CHECKS = {
    "a comment, a docstring, formatting": formatting,
    "a source video touched": touched,
    "an entry of `config/runs.yaml`": run_entry,
    "an option of `standardise`": standardising,
    "a default of an option": default,
    "library code, a step script, a resource file": code,
    "an encoder, a reader or a method that the configuration names": named,
    "rows of the annotations": annotations,
    "a source video replaced, renamed, removed or added": source,
    "an output that is asked for deleted": deleted,
    "another output deleted": intermediate,
}


def test_every_row_has_a_check(repository):
    page = (repository / "docs/architecture.md").read_text()
    section = page.split("## When a step runs again")[1].split("\n## ")[0]
    rows = [row for row in ROW.findall(section) if row not in ("change", "---")]
    assert sorted(rows) == sorted(CHECKS)


@pytest.mark.parametrize("row", CHECKS)
def test_row(place, edit, row):
    CHECKS[row](place, edit)
