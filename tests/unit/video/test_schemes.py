"""Schemes of the sources of videos."""

import pytest

from tsp.io.http import FetchError
from tsp.io.sources import local_path
from tsp.video.config import DownloadConfig
from tsp.video.fetching import fetch, is_page

CONFIG = DownloadConfig()


def test_schemes_are_read_in_any_case(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"a")
    (tmp_path / "raw").mkdir()
    assert fetch("v_a.mp4", f"FILE://{tmp_path}/a.mp4", tmp_path / "raw", CONFIG).read_bytes() == b"a"
    assert is_page("HTTPS://example.org/watch?v=1") and local_path("HTTP://example.org/a.mp4") is None


def test_other_schemes_are_refused_by_name(tmp_path):
    with pytest.raises(FetchError) as caught:
        fetch("v_a.mp4", "FTP://127.0.0.1/a.mp4", tmp_path, CONFIG)
    assert (
        caught.value.status == "blocked"
        and str(caught.value) == "ftp:// is not supported; state http(s)://, file:// or a path"
    )
