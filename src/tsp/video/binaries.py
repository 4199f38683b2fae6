"""Location of the ffmpeg program."""

import functools
import shutil


@functools.cache
def ffmpeg_path() -> str:
    """The ffmpeg on the PATH, or else that of the imageio-ffmpeg wheel, which needs no root to install."""
    found = shutil.which("ffmpeg")
    if found:
        return found
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())
