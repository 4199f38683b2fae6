"""Location and version of the ffmpeg program."""

import functools
import hashlib
import shutil
import subprocess

from tsp.errors import TspError


@functools.cache
def ffmpeg_path() -> str:
    """The ffmpeg on the PATH, or else that of the imageio-ffmpeg wheel, which needs no root to install."""
    found = shutil.which("ffmpeg")
    if found:
        return found
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


@functools.cache
def ffmpeg_version() -> str:
    """Version of the ffmpeg in use, and a digest of how it was built: builds of one version may encode differently.

    Raises:
        TspError: it cannot be run.
    """
    try:
        done = subprocess.run([ffmpeg_path(), "-version"], capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise TspError(f"{ffmpeg_path()}: cannot be run ({error})") from error
    words = done.stdout.decode("utf-8", "replace").split()
    # Paths say where a build is, not what it does.
    build = " ".join(word for word in words if "/" not in word)
    return f"{' '.join(words[2:3])} ({hashlib.sha256(build.encode()).hexdigest()[:8]})"
