"""The identity of a video, and the file names and keys that follow from it.

A video is its `name`: an ActivityNet id, a THUMOS14 file stem, the stem of a file in a folder. Its standardised file is
`file_name(name, prefix)`, its key in every feature file `feature_key(file name)`. The prefix belongs to the data set:
ActivityNet publishes the video `abc` as `v_abc.mp4`, the other data sets use none. A reader of annotations applies it
once; the annotation file, the manifests and the tables state the file name, so that nothing else needs to know it.

Foreign files name ActivityNet's videos with or without the prefix; `activitynet_names` and `possible_keys` accept both.
"""

from collections.abc import Collection

ACTIVITYNET = "v_"


def file_name(name: str, prefix: str = "") -> str:
    """Name of the standardised file of a video.

    Args:
        name: of the video.
        prefix: of the data set's files.
    """
    return f"{prefix}{name}.mp4"


def feature_key(filename: str) -> str:
    """Key of a video in feature files: its file name without the extension."""
    return filename.rsplit(".", 1)[0]


def activitynet_names(published: Collection[str]) -> list[str]:
    """Names of the videos of a foreign file about ActivityNet.

    Args:
        published: all names of the file; they carry the prefix if every one begins with it, since some ids do as well.
    """
    prefix = ACTIVITYNET if all(name.startswith(ACTIVITYNET) for name in published) else ""
    return [name.removeprefix(prefix) for name in published]


def possible_keys(name: str) -> tuple[str, str]:
    """Keys that a video may have where its data set is unknown: with no prefix, and with that of ActivityNet."""
    return name, ACTIVITYNET + name
