"""Which files of a folder are videos, and which video a name stands for."""

import unicodedata

import pytest

from tsp.datasets import folder as own
from tsp.datasets import listing
from tsp.errors import TspError
from tsp.io.files import files_below, write_json
from tsp.video.raw import only_one, videos_below

MP4 = b"\0\0\0\x20ftypisom" + bytes(100)
KINDS = {
    "mp4": MP4,
    "mkv": b"\x1aE\xdf\xa3" + bytes(100),
    "avi": b"RIFF\0\0\0\0AVI LIST" + bytes(100),
    "mpg": b"\0\0\1\xba" + bytes(100),
    "wmv": bytes.fromhex("3026b2758e66cf11") + bytes(100),
    "ts": (b"G" + bytes(187)) * 4,
    "m2ts": (bytes(4) + b"G" + bytes(187)) * 4,
}


@pytest.fixture
def place(tmp_path):
    def write(name, content=MP4):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    write.folder = tmp_path
    return write


def found(folder):
    return {stem: [str(p.relative_to(folder)) for p in paths] for stem, paths in videos_below(folder).items()}


@pytest.mark.parametrize("kind", KINDS)
def test_content_decides_where_the_ending_does_not(place, kind):
    place("a", KINDS[kind])
    place("b.DATA", KINDS[kind])
    place("c.bin", b"no video" * 200)
    place("d", b"")
    assert found(place.folder) == {"a": ["a"], "b": ["b.DATA"]}


def test_files_beside_videos_are_none(place):
    for name in ("v.mp4", "w.MTS", "x.m2ts", "y.ogv", "z.3GP"):
        place(name, b"whatever")
    for name in ("v.webp", "v.txt", "v.info.json", "v.en.vtt", "v.m4a", "v.mp4.part", "._v.mp4", ".hidden/u.mp4"):
        place(name)
    assert found(place.folder) == {"v": ["v.mp4"], "w": ["w.MTS"], "x": ["x.m2ts"], "y": ["y.ogv"], "z": ["z.3GP"]}


def test_of_one_stem_the_video_is_taken(place):
    place("v.mp4")
    place("v.ts", b"subtitles of another kind")
    place("w.mkv", KINDS["mkv"])
    place("w.gif", b"GIF89a" + bytes(50))
    place("only.gif", b"GIF89a" + bytes(50))
    assert found(place.folder) == {"v": ["v.mp4"], "w": ["w.mkv"], "only": ["only.gif"]}


def test_two_videos_of_one_stem_are_named(place):
    place("v.mp4")
    place("old/v.mkv", KINDS["mkv"])
    with pytest.raises(TspError, match=r"old/v\.mkv and .*/v\.mp4 have the same name 'v'; rename or remove one"):
        only_one(videos_below(place.folder)["v"])
    with pytest.raises(TspError, match="the same name 'v'"):
        own.read([place.folder])


def test_links_are_followed_and_loops_end(place, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "b.mp4").write_bytes(MP4)
    place("in/a.mp4")
    (place.folder / "disk").symlink_to(elsewhere)
    (place.folder / "again").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(place.folder)
    (place.folder / "a_link_to_in").symlink_to(place.folder / "in")
    (place.folder / "dead").symlink_to(place.folder / "none")
    assert sorted(path.name for path in files_below(place.folder)) == ["a.mp4", "b.mp4", "dead"]
    assert found(place.folder)["a"] == ["in/a.mp4"]


def test_a_broken_link_is_a_missing_video(place):
    place("a.mp4")
    (place.folder / "b.mp4").symlink_to(place.folder / "unmounted/b.mp4")
    assert found(place.folder) == {"a": ["a.mp4"], "b": ["b.mp4"]}
    assert sources(place.folder, place.folder, "b") == ["b.mp4"]


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("stated", ["NFC", "NFD"])
def test_accents_are_found_in_both_forms(place, on_disk, stated):
    name = "caf\u00e9"
    file = unicodedata.normalize(on_disk, name) + ".mp4"
    place(file)
    assert sources(place.folder, place.folder, unicodedata.normalize(stated, name)) == [file]


def test_two_files_that_differ_in_the_form_of_an_accent_alone(place):
    for form in ("NFC", "NFD"):
        place(unicodedata.normalize(form, "caf\u00e9") + ".mp4")
    with pytest.raises(TspError, match=r"have the same name"):
        sources(place.folder, place.folder, "caf\u00e9")


def annotated(folder, *names):
    database = {n: {"subset": "training", "duration": 10.0, "annotations": []} for n in names}
    write_json(folder / "anet.json", {"version": "t", "taxonomy": [], "database": database})
    return folder / "anet.json"


def sources(folder, videos, *names):
    path = annotated(folder, *names)
    listing._local_files.cache_clear()
    listing.write_list(
        *("tsp.datasets.activitynet:read", [str(path)], str(videos), ""),
        folder / "list.csv",
        official="training",
        shard=0,
        shards=1,
        shard_size=10,
    )
    return [line.rpartition("/")[2] for line in (folder / "list.csv").read_text().splitlines()[1:]]


def test_files_beside_the_videos_of_a_data_set(shared, tmp_path):
    """`cases/media/sidecars`: a thumbnail and a text file under the stem of a video; a second video in a folder."""
    sidecars = shared.parent / "cases/media/sidecars"
    if not sidecars.is_dir():
        pytest.skip("no cases")
    names = ["aaaaaaaaaaa", "bbbbbbbbbbb"]
    assert sources(tmp_path, sidecars, *names) == ["v_aaaaaaaaaaa.mp4", "v_bbbbbbbbbbb.mp4"]
    with pytest.raises(TspError, match=r"old/v_eeeeeeeeeee\.mp4 and .*/v_eeeeeeeeeee\.mp4 have the same name"):
        sources(tmp_path, sidecars, *names, "eeeeeeeeeee")
