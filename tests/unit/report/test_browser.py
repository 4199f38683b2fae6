"""The rendered page: structure without a browser, and widths in Chromium where it is installed."""

import itertools
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from unit.report.test_page import png

from tsp.io.captions import CaptionedEvent, write_captions
from tsp.io.files import write_json
from tsp.report.captions import EXAMPLES, SENTENCES, draw_events, examples_of, write_caption_page
from tsp.report.config import ColumnConfig, DifferenceConfig, RowConfig, TableConfig
from tsp.report.page import Page, Picture, build_page
from tsp.report.tables import build_table, write_table_files

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = {"telephone": 400, "screen": 1280}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A wide table of two runs with three seeds."""
    folder = tmp_path_factory.mktemp("table")
    config = TableConfig(
        title="A title of some length that has to be broken on a narrow screen",
        rows=[RowConfig(run=run, label=f"features of {run}") for run in ("tac", "tsp")],
        columns=[ColumnConfig(experiment="e", metric=f"mAP@0.{n}", title=f"mAP@0.{n}") for n in range(1, 10)],
        differences=[DifferenceConfig(title="TSP - TAC", minuend="tsp", subtrahend="tac")],
    )
    scores = {
        ("e", run, seed): {"mAP": {f"0.{n}0": 0.1 * k + 0.01 * seed * n for n in range(1, 10)}}
        for k, run in enumerate(("tac", "tsp"))
        for seed in range(3)
    }
    write_table_files(build_table(config, scores), folder / "t.csv", folder / "t.md", folder / "t.html")
    return folder / "t.html"


@pytest.fixture(scope="module")
def caption_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("captions")
    names = [f"v_{n}" for n in range(5)]
    entry = {"duration": 20.0, "timestamps": [[8, 12], [1, 4]], "sentences": ["Then <b>.", "First."]}
    write_json(folder / "references.json", dict.fromkeys(names, entry))
    events = [CaptionedEvent(start_s=n, end_s=n + 3.0, sentence=f"Sentence {n}", score=1 - n / 10) for n in range(8)]
    for run in ("tac", "tsp"):
        # One video less, so that the first of both is the second.
        write_captions(folder / f"{run}.json", dict.fromkeys(names[run == "tsp" :], events), version="x")
    (folder / "v_1.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    return folder


@pytest.fixture(scope="module")
def caption_page(caption_files, table):
    predictions = {label: caption_files / f"{label.lower()}.json" for label in ("TAC", "TSP")}
    examples = examples_of([caption_files / "references.json"], predictions)
    draw_events(examples, caption_files / "events.png", note="miniature")
    page = caption_files / "page.html"
    write_caption_page(page, table=table, examples=examples, figure=caption_files / "events.png", videos=caption_files)
    return page, examples


@pytest.fixture(scope="module")
def report(tmp_path_factory, table, caption_page):
    folder = tmp_path_factory.mktemp("report")
    (folder / "o.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    page = Page(
        title="TSP",
        intro="Features of an encoder.",
        miniature=True,
        tables=[table],
        pictures=[Picture(path=png(folder / f"{n}.png", n), title=f"Figure {n}", group="G-TAD") for n in (900, 1700)],
        overlays=[Picture(path=folder / "o.mp4", title="G-TAD")],
        captions=[caption_page[0]],
        buckets={"G-TAD": [["bucket", "instances", "a very long name of a run"], ["Length XS", "3", "12.00"]]},
        provenance={"code": "abc"},
        digests={f"results/a/long/path/of/a/file/{n}/encoder.safetensors": "0" * 64 for n in range(2)},
    )
    build_page(folder / "index.html", page)
    return folder / "index.html"


class Elements(HTMLParser):
    """Start tags with their attributes and the classes of what they are in."""

    def __init__(self, text):
        super().__init__()
        self.stack, self.found = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.found.append((tag, attributes, list(self.stack)))
        if tag not in ("meta", "img", "br"):
            self.stack.append((attributes.get("class") or "").split())

    def handle_endtag(self, tag):
        self.stack.pop()

    def all(self, name):
        return [
            (attributes, [c for classes in inside for c in classes])
            for tag, attributes, inside in self.found
            if tag == name
        ]


def test_pictures_and_videos_are_inside_and_described(report):
    elements = Elements(report.read_text())
    assert len(elements.all("img")) == 3
    assert all(a["src"].startswith("data:image/png;base64,") and a["alt"] for a, _ in elements.all("img"))
    assert len(elements.all("video")) == 2
    assert all(a["src"].startswith("data:video/mp4;base64,") and a["aria-label"] for a, _ in elements.all("video"))


def test_what_may_be_wide_scrolls_in_its_own_box(report):
    elements = Elements(report.read_text())
    for name in ("table", "img"):
        assert all("scroll" in inside for _, inside in elements.all(name)), name
    scrolling = [a for tag, a, _ in elements.found if a.get("class") == "scroll"]
    # Those who have no mouse reach it by the keyboard.
    assert all(a["tabindex"] == "0" for a in scrolling)
    style = report.read_text().split("<style>")[1].split("</style>")[0]
    assert re.search(r"\.scroll\{[^}]*overflow-x:auto", style)
    assert re.search(r"figure\{[^}]*max-width:100%", style)
    assert re.search(r"figure video\{[^}]*width:100%", style)


def test_headings_skip_no_level_and_links_lead_somewhere(report):
    elements = Elements(report.read_text())
    levels = [int(tag[1]) for tag, _, _ in elements.found if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))
    identities = [a["id"] for _, a, _ in elements.found if "id" in a]
    assert len(set(identities)) == len(identities)
    assert {a["href"][1:] for a, _ in elements.all("a")} == set(identities)


def test_captions_show_the_first_videos_of_all_runs(caption_files, caption_page):
    page, examples = caption_page
    assert [e.name for e in examples] == ["v_1", "v_2", "v_3"]
    assert len(examples) == EXAMPLES
    assert [(e.start_s, e.sentence) for e in examples[0].events["reference"]] == [(1, "First."), (8, "Then <b>.")]
    assert len(examples[0].events["TSP"]) == SENTENCES
    text = page.read_text()
    assert "Then &lt;b&gt;." in text
    assert "8.0–12.0 s" in text
    assert f"Not embedded: <code>{caption_files / 'v_2.mp4'}" in text
    rows = (caption_files / "events.csv").read_text().splitlines()
    assert rows[0] == "video,who,number,start_s,end_s,score,sentence"
    assert len(rows) == 1 + 3 * (2 + 2 * SENTENCES)


@pytest.mark.parametrize("kind", WIDTHS)
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH")
def test_nothing_is_wider_than_the_window(report, tmp_path, kind):
    """A copy that measures itself: the page has no script of its own."""
    measure = (
        "<script>document.title=[document.documentElement.scrollWidth,innerWidth,"
        "[...document.images].filter(i=>!i.naturalWidth).length].join(' ')</script>"
    )
    copy = tmp_path / "copy.html"
    copy.write_text(report.read_text().replace("</body>", f"{measure}</body>"))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    command += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path / 'x'}"]
    command += [f"--window-size={WIDTHS[kind]},2000", "--dump-dom", copy.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r"<title>(\d+) (\d+) (\d+)</title>", done.stdout)
    assert found, done.stderr[-500:]
    wide, window, broken = map(int, found.groups())
    assert window <= max(WIDTHS[kind], 500)  # the least that some versions open
    assert wide <= window
    assert broken == 0
