"""Video pages: what yt-dlp is asked for, and the reasons that its errors become."""

import types
from dataclasses import replace

import pytest
import yt_dlp

from tsp.video.config import DownloadConfig
from tsp.video.fetching import fetch
from tsp.video.pages import fetch_page, page_error


class Page(Exception):
    """Like the errors of yt-dlp."""

    exc_info = None


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("ERROR: [youtube] x: Video unavailable. This video has been removed", "gone"),
        ("ERROR: [youtube] x: Private video. Sign in if you've been granted access", "private"),
        ("ERROR: [youtube] x: Sign in to confirm your age", "private"),
        ("ERROR: The read operation timed out", "transient"),
        ("ERROR: Unsupported URL", "blocked"),
    ],
)
def test_words_of_video_pages(text, status):
    fault = page_error(Page(text))
    assert fault.status == status
    assert not str(fault).startswith("ERROR")


def test_codes_of_video_pages():
    for code, status in ((404, "gone"), (429, "transient"), (451, "blocked")):
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
