"""Raw files of videos: their extensions, and how they are found in a folder."""

import unicodedata
from pathlib import Path

from tsp.errors import TspError
from tsp.io.files import files_below
from tsp.names import feature_key

# Extensions that raw files keep in the store; others become `.media`.
MEDIA_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".flv", ".ts", ".wmv", ".3gp")
# Taken for a video without reading the file; whether it is one turns out when it is standardised.
VIDEO_SUFFIXES = {
    *MEDIA_SUFFIXES,
    *(".mts", ".m2ts", ".m2t", ".vob", ".ogv", ".ogm", ".asf", ".rm", ".rmvb", ".3g2", ".mxf", ".f4v", ".mod", ".tod"),
    *(".m1v", ".m2v", ".mpe", ".mp4v", ".qt", ".divx", ".dv", ".wtv", ".nut", ".y4m", ".264", ".h264", ".265", ".hevc"),
}
# First bytes of files with other extensions, or none, and where they are.
SIGNATURES = (
    *((4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (4, b"wide"), (0, b"\x1aE\xdf\xa3"), (8, b"AVI "), (0, b"FLV")),
    *((0, b"\0\0\1\xba"), (0, b"\0\0\1\xb3"), (0, b"0&\xb2u\x8ef\xcf\x11"), (0, b".RMF"), (0, b"\x06\x0e+4")),
    *((28, b"\x80theora"), (29, b"theora"), (0, b"GIF8"), (0, b"YUV4MPEG2"), (0, b"nut/")),
)
# Of a transport stream: a byte at the start of each packet of 188 bytes, or of 192 with a time code.
SYNC = b"G"
# Pictures, sound and text beside videos.
SIDE_SUFFIXES = {
    *(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".avif", ".svg", ".ico", ".thm", ".lrv"),
    *(".mp3", ".m4a", ".aac", ".wav", ".flac", ".ogg", ".oga", ".opus", ".mka", ".wma", ".ac3", ".aiff"),
    *(".txt", ".csv", ".json", ".xml", ".yaml", ".yml", ".md", ".html", ".nfo", ".srt", ".vtt", ".ass", ".ssa", ".sub"),
    *(".description", ".url", ".part", ".ytdl", ".tmp", ".md5", ".sha256", ".log", ".zip", ".gz", ".tar", ".npy"),
    *(".h5", ".hdf5", ".pkl", ".pt", ".idx", ".py", ".sh"),
}


def raw_names(filename: str) -> list[str]:
    """Names that the raw file for a standardised file name may have: same stem, any extension."""
    return [feature_key(filename) + suffix for suffix in (*MEDIA_SUFFIXES, ".media")]


def raw_path(store: Path, filename: str) -> Path | None:
    """The raw file for a standardised file name; None if missing."""
    return next((store / name for name in raw_names(filename) if (store / name).is_file()), None)


def media_suffix(name: str) -> str:
    """The extension of a raw file for a source of this name; `.media` where its own is not that of a video."""
    suffix = Path(name).suffix.lower()
    return suffix if suffix in MEDIA_SUFFIXES else ".media"


def videos_below(folder: str | Path) -> dict[str, list[Path]]:
    """The videos below a folder by the stem of their names, sorted.

    Thumbnails, subtitles, sound and other files beside videos are none, and neither are hidden files. Files with the
    extension of a video are not read; one with another extension, or without, is a video by its first bytes. Where
    several files have one stem, those that do not begin like a video are left out, and so is an animation (GIF). A link
    to no file counts by its extension. Stems are composed Unicode (NFC), whatever the file system's own form.
    """
    found: dict[str, list[Path]] = {}
    for path in files_below(folder):
        suffix = path.suffix.lower()
        if suffix in VIDEO_SUFFIXES or (suffix not in SIDE_SUFFIXES and begins_like_a_video(path)):
            # Some systems write an accent as a character of its own.
            found.setdefault(unicodedata.normalize("NFC", path.stem), []).append(path)
    return {stem: paths if len(paths) == 1 else _likely(paths) for stem, paths in found.items()}


def _likely(paths: list[Path]) -> list[Path]:
    videos = [path for path in paths if begins_like_a_video(path)] or paths
    return [path for path in videos if path.suffix.lower() != ".gif"] or videos


def begins_like_a_video(path: Path) -> bool:
    """Whether the first bytes of a file are those of a container of videos; False: it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError:
        return False
    is_stream = any(
        len(head) > first + 2 * size and all(head[first + k * size : first + k * size + 1] == SYNC for k in range(3))
        for first, size in ((0, 188), (4, 192))
    )
    return is_stream or any(head[at : at + len(mark)] == mark for at, mark in SIGNATURES)


def only_one(paths: list[Path]) -> Path | None:
    """The only one of the videos with one stem; None: there is none.

    Raises:
        TspError: there are several.
    """
    if len(paths) > 1:
        raise TspError(f"{paths[0]} and {paths[1]} have the same name {paths[0].stem!r}; rename or remove one of them")
    return paths[0] if paths else None
