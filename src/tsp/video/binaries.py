"""Where the ffmpeg program is."""

import functools
import shutil


@functools.cache
def ffmpeg_path() -> str:
    """The ffmpeg on the PATH, else the one of the imageio-ffmpeg wheel, so that no root is needed."""
    found = shutil.which("ffmpeg")
    if found:
        return found
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())
