"""Downloads from a local server that answers, rejects, stalls and disconnects, and from folders."""

import hashlib
import http.server
import json
import threading
import urllib.error
import urllib.parse

import pandas as pd
import pytest

from tsp.datasets.listing import write_canonical
from tsp.errors import TspError
from tsp.io import http as fetching
from tsp.io.annotations import read_annotations, write_annotations
from tsp.io.http import FetchError
from tsp.io.store import Store
from tsp.io.tables import LIST_COLUMNS, MANIFEST_COLUMNS, read_manifest, write_table
from tsp.types import Segment, Video
from tsp.video import fetching as raw_files
from tsp.video.config import DownloadConfig
from tsp.video.download import download_shard
from tsp.video.fetching import fetch, fetch_again
from tsp.video.raw import raw_path

BODY = bytes(range(256)) * 64
CONFIG = DownloadConfig(timeout_s=0.3, attempts=3, workers=2)


class Handler(http.server.BaseHTTPRequestHandler):
    """The first part of the path selects the behaviour; the remainder is a file name."""

    def do_GET(self):
        name = urllib.parse.unquote(self.path.split("?")[0].split("/")[1])
        asked = self.headers.get("Range")
        self.server.seen.append((name, asked))
        getattr(self, f"on_{name}")(asked, sum(n == name for n, _ in self.server.seen))

    def send(self, code, body=b"", **headers):
        self.send_response(code)
        for key, value in {"Content_Length": len(body), "Content_Type": "video/mp4", **headers}.items():
            self.send_header(key.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def on_ok(self, asked, count):
        self.send(200, BODY)

    def on_missing(self, asked, count):
        self.send(404)

    def on_removed(self, asked, count):
        self.send(410)

    def on_forbidden(self, asked, count):
        self.send(403)

    def on_teapot(self, asked, count):
        self.send(418)

    def on_busy(self, asked, count):
        self.send(429, Retry_After=0) if count < 3 else self.send(200, BODY)

    def on_down(self, asked, count):
        self.send(503, Retry_After=0)

    def on_page(self, asked, count):
        self.send(200, b"<html>sign in</html>", Content_Type="text/html; charset=utf-8")

    def on_xhtml(self, asked, count):
        self.send(200, b"<html/>", Content_Type="application/xhtml+xml")

    def on_json(self, asked, count):
        self.send(200, b"{}", Content_Type="application/json")

    def on_empty(self, asked, count):
        self.send(200)

    def on_stall(self, asked, count):
        self.server.free.wait(5)

    def on_cut(self, asked, count):
        """Half of the remaining bytes each time, the third time all; no Content-Type."""
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        left = BODY[start:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(left)))
        self.send_header("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
        self.end_headers()
        self.wfile.write(left if count == 3 else left[: len(left) // 2])

    def on_tagged(self, asked, count):
        self.send(200, BODY, ETag='"1"', Last_Modified="Thu, 01 Jan 2026 00:00:00 GMT")

    def on_replaced(self, asked, count):
        """Interrupted once, with another version afterwards; honours If-Range."""
        tag, body = ('"1"', BODY) if count == 1 else ('"2"', BODY[::-1])
        if asked and self.headers["If-Range"] == tag:
            raise AssertionError("the old version is gone")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", tag)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if count == 1 else body)

    def on_deaf(self, asked, count):
        """Ignores range requests."""
        self.send(200, BODY)

    def on_past(self, asked, count):
        self.send(416) if asked else self.send(200, BODY)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.seen, running.free = [], threading.Event()
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.free.set()
        running.shutdown()
        thread.join()


def url(server, what, name="a.mp4"):
    return f"http://127.0.0.1:{server.server_port}/{what}/{name}"


def files(folder):
    """Names of the files of a store, without its records."""
    return sorted(p.name for p in folder.iterdir() if p.name != ".made")


def refused(source, store, config=CONFIG):
    with pytest.raises(FetchError) as caught:
        fetch("v_a.mp4", source, store, config)
    return caught.value.status, str(caught.value)


def test_a_file(server, tmp_path):
    path = fetch("v_a.mp4", url(server, "ok", "some.MKV?token=1"), tmp_path, CONFIG)
    assert path == tmp_path / "v_a.mkv"
    assert path.read_bytes() == BODY
    assert files(tmp_path) == ["v_a.mkv"]


def test_a_recorded_file_is_not_fetched_again(server, tmp_path):
    for _ in range(2):
        assert fetch("v_a.mp4", url(server, "ok"), tmp_path, CONFIG).read_bytes() == BODY
    assert len(server.seen) == 1


def test_a_file_of_unknown_origin_is_fetched_again(server, tmp_path, caplog):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/v_a.webm").write_bytes(b"old")
    run_shard(tmp_path, [("a", "v_a.mp4", url(server, "ok"))])
    assert files(tmp_path / "raw") == ["v_a.mp4"]
    assert "1 raw files had no record of their source and were fetched again" in caplog.text


def test_another_address_is_fetched(server, tmp_path):
    fetch("v_a.mp4", url(server, "busy", "a.webm"), tmp_path, CONFIG)
    refused(url(server, "missing"), tmp_path)
    assert files(tmp_path) == ["v_a.webm"]  # until the new one has arrived
    fetch("v_a.mp4", url(server, "ok"), tmp_path, CONFIG)
    assert files(tmp_path) == ["v_a.mp4"]
    assert Store(tmp_path).names() == ["v_a.mp4"]


def test_what_the_server_said_is_recorded(server, tmp_path):
    fetch("v_a.mp4", url(server, "tagged"), tmp_path, CONFIG)
    assert Store(tmp_path).notes("v_a.mp4") == {
        "source": url(server, "tagged"),
        "server": {
            "address": url(server, "tagged"),
            "etag": '"1"',
            "last_modified": "Thu, 01 Jan 2026 00:00:00 GMT",
            "length": len(BODY),
        },
    }


@pytest.mark.parametrize(
    ("what", "status", "words"),
    [
        ("missing", "gone", "HTTP 404"),
        ("removed", "gone", "HTTP 410"),
        ("forbidden", "private", "HTTP 403"),
        ("teapot", "blocked", "HTTP 418"),
        ("page", "blocked", "text/html instead of a video"),
        ("xhtml", "blocked", "application/xhtml+xml instead of a video"),
        ("json", "blocked", "application/json instead of a video"),
        ("empty", "corrupt", "empty file"),
    ],
)
def test_refusals_are_final(server, tmp_path, what, status, words):
    found, reason = refused(url(server, what), tmp_path)
    assert found == status
    assert words in reason
    assert len(server.seen) == 1
    assert list(tmp_path.iterdir()) == []


def test_too_many_requests_then_ok(server, tmp_path):
    assert fetch("v_a.mp4", url(server, "busy"), tmp_path, CONFIG).read_bytes() == BODY
    assert len(server.seen) == 3


def test_attempts_end(server, tmp_path):
    status, reason = refused(url(server, "down"), tmp_path)
    assert (status, len(server.seen)) == ("transient", 3)
    assert "HTTP 503" in reason


def test_pauses(monkeypatch):
    pauses = []
    monkeypatch.setattr(fetching.time, "sleep", pauses.append)

    def fail(*waits):
        left = list(waits)

        def attempt():
            raise FetchError("transient", "later", left.pop(0))

        with pytest.raises(FetchError):
            fetching.with_retries(attempt, len(waits), lambda error, pause: None)

    fail(None, None, None, None)
    assert pauses == [1, 2, 4]
    pauses.clear()
    fail(7.0, 3600.0, None)
    assert pauses == [7, 60]


def test_a_cut_connection_is_continued(server, tmp_path):
    path = fetch("v_a.mp4", url(server, "cut"), tmp_path, CONFIG)
    assert path.read_bytes() == BODY
    assert [asked for _, asked in server.seen] == [None, "bytes=8192-", "bytes=12288-"]


def test_a_cut_connection_is_never_taken_for_a_file(server, tmp_path):
    config = DownloadConfig(attempts=1, timeout_s=0.3)
    status, reason = refused(url(server, "cut"), tmp_path, config)
    assert (status, reason) == ("transient", "connection cut after 8192 of 16384 bytes")
    # The next job resumes from there.
    assert files(tmp_path) == ["v_a.mp4.from.part", "v_a.mp4.part"]
    assert raw_path(tmp_path, "v_a.mp4") is None
    refused(url(server, "cut"), tmp_path, config)
    assert server.seen[-1] == ("cut", "bytes=8192-")


@pytest.mark.parametrize("what", ["deaf", "past"])
def test_a_part_that_cannot_be_continued_is_begun_again(server, tmp_path, what):
    (tmp_path / "v_a.mp4.part").write_bytes(b"x" * 100)
    (tmp_path / "v_a.mp4.from.part").write_text(json.dumps({"url": url(server, what), "version": ""}))
    assert fetch("v_a.mp4", url(server, what), tmp_path, CONFIG).read_bytes() == BODY


@pytest.mark.parametrize("origin", ["", '{"url": "http://127.0.0.1/other.mp4"}', "[1]"])
def test_a_part_of_another_file_is_not_continued(server, tmp_path, origin):
    (tmp_path / "v_a.mp4.part").write_bytes(b"x" * 100)
    (tmp_path / "v_a.mp4.from.part").write_text(origin)
    assert fetch("v_a.mp4", url(server, "ok"), tmp_path, CONFIG).read_bytes() == BODY
    assert server.seen == [("ok", None)]
    assert files(tmp_path) == ["v_a.mp4"]


def test_a_part_of_another_version_is_not_continued(server, tmp_path):
    assert fetch("v_a.mp4", url(server, "replaced"), tmp_path, CONFIG).read_bytes() == BODY[::-1]
    assert [asked for _, asked in server.seen] == [None, "bytes=8192-"]


def test_a_server_that_says_nothing(server, tmp_path):
    status, reason = refused(url(server, "stall"), tmp_path, DownloadConfig(attempts=1, timeout_s=0.1))
    assert status == "transient"
    assert "timed out" in reason


def test_nobody_listens(tmp_path):
    status, reason = refused("http://127.0.0.1:9/a.mp4", tmp_path, DownloadConfig(attempts=1, timeout_s=0.3))
    assert (status, reason[:17]) == ("transient", "connection failed")


def test_rate_limit(server, tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr(fetching.time, "sleep", pauses.append)
    fetch("v_a.mp4", url(server, "ok"), tmp_path, DownloadConfig(rate_limit="2K"))
    assert sum(pauses) == pytest.approx(8.0, abs=0.3)


@pytest.mark.parametrize(("text", "value"), [("500", 500), ("500K", 512_000), ("1.5m", 1_572_864), (None, None)])
def test_rate_limits(text, value):
    assert DownloadConfig(rate_limit=text).bytes_per_s == value


@pytest.mark.parametrize("fields", [{"rate_limit": "fast"}, {"rate_limit": "-1"}, {"workers": 0}, {"attempts": 0}])
def test_impossible_options(fields):
    with pytest.raises(TspError, match="download"):
        DownloadConfig(**fields)


@pytest.mark.parametrize("name", ["../out.mp4", "a/b.mp4", "/etc/x.mp4", "..", ".", "", "a\0b.mp4", "sub/"])
def test_names_that_leave_the_folder(server, tmp_path, name):
    store = tmp_path / "raw"
    store.mkdir()
    with pytest.raises(FetchError, match="is no file name") as caught:
        fetch(name, url(server, "ok"), store, CONFIG)
    assert caught.value.status == "corrupt"
    assert [p.name for p in tmp_path.rglob("*")] == ["raw"]
    assert server.seen == []


@pytest.mark.parametrize(
    "name", ["-dash", "with space", 'quote\'s "two"', "ünïcode", "a:b", "100%d", "dots.in.name", "NA"]
)
def test_odd_names(server, tmp_path, name):
    path = fetch(f"v_{name}.mp4", url(server, "ok", f"{name}.webm"), tmp_path, CONFIG)
    assert path == tmp_path / f"v_{name}.webm" == raw_path(tmp_path, f"v_{name}.mp4")
    assert path.read_bytes() == BODY


def write_list(path, rows):
    write_table(pd.DataFrame(rows, columns=LIST_COLUMNS), path)
    return path


def run_shard(tmp_path, rows):
    videos = write_list(tmp_path / "list.csv", rows)
    output = tmp_path / "manifest.csv"
    download_shard(videos, tmp_path / "raw", output, CONFIG)
    return output


def test_a_shard_is_a_manifest(server, tmp_path):
    rows = [(what, f"v_{what}.mp4", url(server, what)) for what in ("ok", "missing", "forbidden", "page")]
    rows += [("evil", "../evil.mp4", url(server, "ok")), ("NA", "v_NA.mp4", url(server, "ok"))]
    output = run_shard(tmp_path, rows)
    found = read_manifest(output)
    assert list(found.columns) == MANIFEST_COLUMNS
    assert found["video"].tolist() == ["ok", "missing", "forbidden", "page", "evil", "NA"]
    assert found["status"].tolist() == ["ok", "gone", "private", "blocked", "corrupt", "ok"]
    assert (
        output.read_text().splitlines()[1] == f"ok,v_ok.mp4,ok,,{len(BODY)},{hashlib.sha256(BODY).hexdigest()},,,,,,,,,"
    )
    assert files(tmp_path / "raw") == ["v_NA.mp4", "v_ok.mp4"]


def test_a_shard_without_videos(tmp_path):
    assert run_shard(tmp_path, []).read_text().splitlines() == [",".join(MANIFEST_COLUMNS)]


def test_a_folder_that_cannot_be_written(server, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(raw_files, "fetch_file", full)
    with pytest.raises(TspError, match=r"cannot be written.*No space left"):
        run_shard(tmp_path, [("a", "v_a.mp4", url(server, "ok"))])


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_local_files(tmp_path, scheme):
    source = tmp_path / "my video #1.AVI"
    source.write_bytes(BODY)
    (tmp_path / "raw").mkdir()
    address = scheme + (urllib.parse.quote(str(source)) if scheme else str(source))
    path = fetch("v_a.mp4", address, tmp_path / "raw", CONFIG)
    assert path == tmp_path / "raw/v_a.avi"
    assert path.read_bytes() == BODY
    assert source.exists()


def test_local_files_on_another_disk_are_copied(tmp_path, monkeypatch):
    (tmp_path / "a.xyz").write_bytes(BODY)
    (tmp_path / "raw").mkdir()
    monkeypatch.setattr(raw_files.Path, "hardlink_to", lambda *arguments: (_ for _ in ()).throw(OSError(18, "")))
    path = fetch("v_a.mp4", str(tmp_path / "a.xyz"), tmp_path / "raw", CONFIG)
    assert path == tmp_path / "raw/v_a.media" == raw_path(tmp_path / "raw", "v_a.mp4")
    assert path.stat().st_ino != (tmp_path / "a.xyz").stat().st_ino


@pytest.mark.parametrize("source", ["", "/no/such/file.mp4", "/tmp", "x" * 5000, "/" + "y/" * 3000])
def test_local_files_that_are_none(tmp_path, source):
    assert refused(source, tmp_path)[0] == "gone"


def test_a_folder_of_videos(tmp_path):
    """Files by name or by standardised name, in any folder below; one is missing."""
    folder = tmp_path / "mine"
    (folder / "below").mkdir(parents=True)
    (folder / "v_a.mkv").write_bytes(b"a")
    (folder / "below/b.mp4").write_bytes(b"b")
    action = (Segment(start_s=0.0, end_s=1.0, label="run"),)
    videos = [
        Video(name=n, filename=f"v_{n}.mp4", subset="training", duration_s=9.0, segments=action)
        for n in ("a", "b", "c")
    ]
    write_annotations(tmp_path / "raw.json", videos)
    arguments = ("tsp.datasets.synthetic:read", [str(tmp_path / "raw.json")], str(folder), "https://x/{id}")
    write_canonical(*arguments, tmp_path / "annotations.json")
    rows = [(v.name, v.filename, v.source) for v in read_annotations(tmp_path / "annotations.json")]
    found = read_manifest(run_shard(tmp_path, rows))
    assert found["status"].tolist() == ["ok", "ok", "gone"]
    assert (tmp_path / "raw/v_a.mkv").read_bytes() == b"a"
    assert (tmp_path / "raw/v_b.mp4").read_bytes() == b"b"


def test_a_deleted_raw_file_can_be_fetched_again(server, tmp_path):
    raw, digest = tmp_path / "raw", hashlib.sha256(BODY).hexdigest()
    raw.mkdir()
    fetch("v_a.mp4", url(server, "ok", "a.webm"), raw, CONFIG).unlink()
    assert fetch_again("v_a.mp4", raw, digest, CONFIG) == raw / "v_a.webm"
    (raw / "v_a.webm").unlink()
    with pytest.raises(FetchError, match=r"ok/a\.webm: other content than at its download"):
        fetch_again("v_a.mp4", raw, "0" * 64, CONFIG)
    assert files(raw) == Store(raw).names() == []
    with pytest.raises(FetchError, match="the raw file is missing; download the shard again"):
        fetch_again("v_a.mp4", raw, digest, CONFIG)


@pytest.mark.parametrize("source", ["http://[::1/x.mp4", "http://a:xx/v.mp4", "http://" + "a" * 70 + ".com/v.mp4"])
def test_impossible_addresses_are_final(tmp_path, source):
    videos = tmp_path / "list.csv"
    write_table(pd.DataFrame([["a", "a.mp4", source]], columns=LIST_COLUMNS), videos)
    download_shard(videos, tmp_path / "raw", tmp_path / "out.csv", DownloadConfig(attempts=1, timeout_s=3))
    row = read_manifest(tmp_path / "out.csv").iloc[0]
    assert row["status"] == "blocked"
    assert row["reason"].startswith("not an address that can be requested")


@pytest.mark.parametrize(("code", "status"), [(407, "transient"), (521, "transient"), (501, "blocked")])
def test_codes_of_networks(code, status):
    error = urllib.error.HTTPError("http://a/b", code, "x\ny", {"Retry-After": "\u00b2"}, None)
    found = fetching._http_error(error)
    assert (found.status, str(found), found.wait_s) == (status, f"HTTP {code} x y", None)
