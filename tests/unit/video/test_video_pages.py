"""Video pages: what yt-dlp is asked for, and the reasons that its errors become."""

import types
from dataclasses import replace

import pandas as pd
import pytest
import yt_dlp
import yt_dlp.networking.exceptions

from tsp.errors import TspError
from tsp.io.sources import facts_path, shard_token
from tsp.io.tables import LIST_COLUMNS, read_manifest, write_table
from tsp.video import download
from tsp.video.config import DownloadConfig
from tsp.video.download import download_shard
from tsp.video.fetching import fetch
from tsp.video.pages import Blocked, fetch_page, missing_runtime, page_error


class Page(Exception):
    """Like the errors of yt-dlp."""

    exc_info = None


# Recorded messages of yt-dlp, by the status that they become; `stop`: the shard ends.
RECORDED = {
    "gone": [
        "ERROR: [youtube] x: Video unavailable. This video has been removed by the uploader",
        "ERROR: [youtube] x: Video unavailable",
        "ERROR: [youtube] x: Video unavailable. This video is no longer available because the YouTube account"
        " associated with this video has been terminated.",
        "ERROR: [youtube] x: Video unavailable. This video contains content from X, who has blocked it on copyright"
        " grounds",
        "ERROR: [youtube] x: This video has been removed for violating YouTube's Terms of Service",
        "ERROR: [youtube] x: This video isn't available anymore; it does not exist",
    ],
    "private": [
        "ERROR: [youtube] x: Private video. Sign in if you've been granted access to this video",
        "ERROR: [youtube] x: Sign in to confirm your age. This video may be inappropriate for some users.",
        "ERROR: [youtube] x: Join this channel to get access to members-only content like this video",
        "ERROR: [vimeo] x: The web client only works when logged-in. Use --cookies",
        "ERROR: [x] x: This video is only available for registered users",
    ],
    "blocked": [
        "ERROR: [youtube] x: Video unavailable. The uploader has not made this video available in your country",
        "ERROR: [youtube] x: Video unavailable. This video contains content from X, who has blocked it in your country",
        "ERROR: [x] x: This video is not available from your location due to geo restriction",
        "ERROR: Unsupported URL: http://a.b/c",
        "ERROR: [youtube] x: Requested format is not available. Use --list-formats",
    ],
    "transient": [
        "ERROR: The read operation timed out",
        "ERROR: [youtube] x: Premieres in 3 hours",
        "ERROR: [youtube] x: This live event will begin in 5 minutes.",
        "ERROR: unable to download video data: HTTP Error 403: Forbidden",
        "ERROR: [youtube] x: nsig extraction failed: Some formats may be missing",
        "ERROR: [youtube] x: Unable to extract initial player response; please report this issue",
        "ERROR: [x] x: something that no version has reported before",
    ],
    "stop": [
        "ERROR: [youtube] x: Sign in to confirm you're not a bot. Use --cookies-from-browser or --cookies",
        "ERROR: [youtube] x: Sign in to confirm you\u2019re not a bot. Use --cookies-from-browser or --cookies",
        "ERROR: [youtube] x: Video unavailable. This content isn't available, try again later. Your account has been"
        " rate-limited by YouTube for up to an hour",
        "ERROR: [youtube] x: Unable to download API page: HTTP Error 429: Too Many Requests",
    ],
}


@pytest.mark.parametrize(("status", "text"), [(status, text) for status, texts in RECORDED.items() for text in texts])
def test_words_of_video_pages(status, text):
    fault = page_error(Page(text))
    assert isinstance(fault, Blocked) == (status == "stop")
    assert fault.status == ("transient" if status == "stop" else status)
    assert not str(fault).startswith("ERROR")
    assert ("cookies" in str(fault)) == (status == "private" or "cookies" in text)


def test_types_of_errors():
    page = Page("ERROR: [x] x: words in another language")
    for cause, status in (
        (yt_dlp.utils.GeoRestrictedError("x"), "blocked"),
        (yt_dlp.utils.UserNotLive(), "transient"),
        (yt_dlp.networking.exceptions.TransportError("x"), "transient"),
    ):
        page.exc_info = (None, cause, None)
        assert page_error(page).status == status


def shard(folder, names):
    rows = [(name, f"v_{name}.mp4", f"https://www.youtube.com/watch?v={name}") for name in names]
    write_table(pd.DataFrame(rows, columns=LIST_COLUMNS), folder / "list.csv")
    facts = facts_path(folder / "raw", "0")
    token = shard_token(folder / "list.csv", facts)
    config = DownloadConfig(workers=1, attempts=1)
    download_shard(folder / "list.csv", folder / "raw", folder / "m.csv", config, facts=facts, token=token)
    return read_manifest(folder / "m.csv").set_index("video")["status"].to_dict(), token


@pytest.fixture
def site(monkeypatch):
    """Pages: what each answers, and which were asked for."""
    answers, asked = {}, []

    def page(url, store, stem, config):
        name = url.rpartition("=")[2]
        asked.append(name)
        if name in answers:
            raise page_error(Page(answers[name]))
        path = store / f"{stem}.webm"
        path.write_bytes(b"a video")
        return path

    monkeypatch.setattr(download, "fetch_page", page)
    return answers, asked


def test_a_site_that_refuses_the_machine_stops_the_shard(tmp_path, site):
    answers, asked = site
    answers["b"] = RECORDED["stop"][0]
    with pytest.raises(TspError, match=r"refuses this machine .*; 3 of 4 videos .* download\.cookies, then run again"):
        shard(tmp_path, "abcd")
    assert asked == ["a", "b"]
    assert not (tmp_path / "m.csv").exists()
    del answers["b"]
    assert set(shard(tmp_path, "abcd")[0].values()) == {"ok"}
    assert asked == ["a", "b", "b", "c", "d"]


def test_temporary_failures_are_tried_again_permanent_ones_are_not(tmp_path, site):
    answers, asked = site
    answers |= {"b": RECORDED["transient"][0], "c": RECORDED["gone"][0]}
    found, first = shard(tmp_path, "abc")
    assert found == {"a": "ok", "b": "transient", "c": "gone"}
    found, second = shard(tmp_path, "abc")
    assert second != first
    del answers["b"]
    found, third = shard(tmp_path, "abc")
    assert found == {"a": "ok", "b": "ok", "c": "gone"}
    assert asked == ["a", "b", "c", "b", "b"]
    assert third not in (first, second)
    # Planning asks for no other download now.
    assert shard_token(tmp_path / "list.csv", facts_path(tmp_path / "raw", "0")) == third
    # A run for another reason asks again.
    del answers["c"]
    assert shard(tmp_path, "abc")[0]["c"] == "ok"


def test_what_reads_pages_with_scripts(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert missing_runtime().startswith("yt-dlp-ejs and deno missing: pages that run scripts may fail; pip install")
    monkeypatch.setattr("shutil.which", lambda name: "/bin/node" if name == "node" else None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert missing_runtime() is None


def test_codes_of_video_pages():
    for code, status in ((404, "gone"), (429, "transient"), (451, "blocked"), (503, "transient")):
        error = Page("ERROR: HTTP Error")
        error.exc_info = (None, types.SimpleNamespace(status=code), None)
        assert page_error(error).status == status
    with pytest.raises(OSError, match="No space"):
        page_error(Page("ERROR: unable to write data: [Errno 28] No space left on device"))


def test_a_page_goes_to_yt_dlp(tmp_path, monkeypatch):
    seen = {}

    class Fake:
        def __init__(self, options):
            seen.update(options)

        def __enter__(self):
            return self

        def __exit__(self, *arguments):
            pass

        def download(self, urls):
            seen["urls"] = urls
            (tmp_path / "name").write_bytes(b"a video")
            (tmp_path / "name").rename(seen["outtmpl"]["default"].replace("%(ext)s", "webm"))

    monkeypatch.setattr(yt_dlp, "YoutubeDL", Fake)
    (tmp_path / "cookies.txt").write_text("# Netscape HTTP Cookie File\n")
    config = DownloadConfig(cookies=str(tmp_path / "cookies.txt"), rate_limit="1M")
    path = fetch("v_a.mp4", "https://www.youtube.com/watch?v=-abc", tmp_path, config, fetch_page=fetch_page)
    assert path == tmp_path / "v_a.webm"
    assert seen["urls"] == ["https://www.youtube.com/watch?v=-abc"]
    assert seen["ratelimit"] == 2**20
    assert seen["cookiefile"] != str(tmp_path / "cookies.txt")
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["cookies.txt", "v_a.webm"]
    del seen["urls"]
    fetch("v_a.mp4", "https://www.youtube.com/watch?v=-abc", tmp_path, config, fetch_page=fetch_page)
    assert "urls" not in seen
    fetch(
        "v_a.mp4", "https://www.youtube.com/watch?v=-abc", tmp_path, replace(config, format="b"), fetch_page=fetch_page
    )
    assert seen["format"] == "b"


@pytest.mark.parametrize(
    "text",
    [
        "[youtube] aDRMbcdefgh: Some new message",
        "[youtube] abc: Postprocessing: ffprobe and ffmpeg not found. Please install or provide the path",
        "[youtube] abc: The provided YouTube account cookies are no longer valid",
        "fragment 1 not found, unable to continue",
    ],
)
def test_faults_of_the_machine_are_not_permanent(text):
    assert page_error(yt_dlp.utils.DownloadError(f"ERROR: {text}")).status == "transient"


@pytest.mark.parametrize("number", [13, 28, 30, 122])
def test_a_disk_that_refuses_stops(number):
    words = {28: "No space left on device"}.get(number, "...")
    with pytest.raises(OSError, match=rf"Errno {number}"):
        page_error(yt_dlp.utils.DownloadError(f"ERROR: unable to open for writing: [Errno {number}] {words}"))
