"""The report page: everything inside one file, nothing from outside."""

import re
import struct
import zlib
from html.parser import HTMLParser

import pandas as pd
import pytest

from tsp.errors import TspError
from tsp.io.tables import MANIFEST_COLUMNS, write_table
from tsp.report.markup import BEGIN, END
from tsp.report.page import Cost, Page, Picture, build_page, duration, stage_costs
from tsp.report.tables import MINIATURE

HEADER = "s\th:m:s\tmax_rss\tmean_load\n"


def png(path, width=20):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(b"\0" * (width + 1))
    head = struct.pack(">IIBBBBB", width, 1, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    return path


@pytest.fixture
def page(tmp_path):
    def build(**more):
        build_page(tmp_path / "index.html", Page(title="A & B", **more))
        return (tmp_path / "index.html").read_text()

    return build


class Balance(HTMLParser):
    """Every tag that is opened is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open, self.faults = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)


def test_everything_is_inside_one_well_formed_file(tmp_path, page):
    table = tmp_path / "t.html"
    table.write_text(f"<html>{BEGIN}<section><h2>My table</h2></section>{END}</html>")
    (tmp_path / "f.csv").write_text("x\n")
    manifest = tmp_path / "m.csv"
    lost = {"status": "gone", "reason": "Not <there>"}
    rows = [{"video": "a", "status": "ok"}, {"video": "b", **lost}, {"video": "c", **lost}]
    write_table(pd.DataFrame(rows, columns=MANIFEST_COLUMNS), manifest)
    (tmp_path / "extract").mkdir()
    (tmp_path / "extract" / "1.tsv").write_text(HEADER + "75\t0:01:15\t1500\t90\n")
    text = page(
        miniature=True,
        intro="<b>",
        tables=[table],
        pictures=[Picture(path=png(tmp_path / "f.png"), title='Dots "x"', caption="a < b")],
        manifests={"train": manifest},
        benchmarks=[tmp_path / "extract" / "1.tsv"],
        provenance={"commit": "abc<"},
    )
    parser = Balance()
    parser.feed(text)
    assert (parser.faults, parser.open) == ([], [])
    assert "<title>A &amp; B</title>" in text
    assert re.findall(r'src="(.{22})', text) == ["data:image/png;base64,"]
    assert not re.search(r"https?://|<link|<script|url\(|@import", text)
    assert MINIATURE.replace("'", "&#39;") in text
    for expected in (
        "My table",
        "&lt;b&gt;",
        "a &lt; b",
        "f.csv",
        "2 × gone: Not &lt;there&gt;",
        "1,500 MB",
        "abc&lt;",
    ):
        assert expected in text
    assert set(re.findall(r'href="#(\w+)"', text)) == set(re.findall(r'<section id="(\w+)"', text))


def test_empty_parts_are_left_out(page):
    text = page()
    assert "<section" not in text
    assert "banner" not in text.split("</style>")[1]


def test_wide_figures_are_marked_so_that_telephones_scroll_them(tmp_path, page):
    text = page(pictures=[Picture(path=png(tmp_path / f"{w}.png", w), title=str(w)) for w in (900, 1500)])
    assert re.findall(r'<figure( class="wide")? style="width:(\d+)px"', text) == [("", "468"), (' class="wide"', "780")]


def test_a_missing_or_wrong_figure_is_named(tmp_path, page):
    with pytest.raises(TspError, match=r"no\.png: the figure cannot be read"):
        page(pictures=[Picture(path=tmp_path / "no.png", title="x")])
    (tmp_path / "x.png").write_text("not a picture, but text")
    with pytest.raises(TspError, match=r"x\.png: the figure is not a PNG"):
        page(pictures=[Picture(path=tmp_path / "x.png", title="x")])


def test_costs_add_up_by_rule(tmp_path):
    texts = {"a/1": "10\tx\t100\t1\n", "a/2": "30\tx\tNA\t1\n", "b/1": "0.5\tx\t-\t1\n2\tx\tnan\t1\n"}
    for name, text in texts.items():
        path = tmp_path / f"{name}.tsv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(HEADER + text)
    assert stage_costs([tmp_path / f"{name}.tsv" for name in texts]) == [
        Cost(stage="a", jobs=2, total_s=40, longest_s=30, memory_mb=100),
        Cost(stage="b", jobs=2, total_s=2.5, longest_s=2, memory_mb=None),
    ]
    (tmp_path / "bad.tsv").write_text("x\ty\n1\t2\n")
    with pytest.raises(TspError, match=r"bad\.tsv: no column 's'"):
        stage_costs([tmp_path / "bad.tsv"])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.96, "10 s"),
        (99, "99 s"),
        (100, "2 min"),
        (5950, "99 min"),
        (7500, "2 h 05 min"),
        (190000, "2 d 4 h"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
