"""Re-encoding of one raw video to mp4 with constant frame rate; ffmpeg-python builds the commands."""

import contextlib
import logging
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ffmpeg

from tsp.errors import TspError
from tsp.io.files import atomic
from tsp.io.tables import FACT_COLUMNS
from tsp.video.binaries import ffmpeg_path
from tsp.video.config import StandardiseConfig
from tsp.video.decode import VideoReader
from tsp.video.sound import SoundReader, is_same_sound
from tsp.video.source import Source, damaged_pictures, examine, is_torn

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a standardised video beside its bytes; columns of the manifest."""

    offset_s: float
    """Time stamp of the source that is second 0."""
    picture_start_s: float
    """Second of the first picture of the source; it is repeated from second 0."""
    sound_start_s: float | None
    """Second of the first sound."""
    audio: str
    """`copied`: the packets of the source; `lossless`: encoded again, as FLAC; `undecodable`; `none`."""
    damaged_share: float
    """Share of the pictures that are missing or damaged, 0 to 1."""
    notes: str
    """Sentences on what is ignored or damaged."""

    def check(self, config: StandardiseConfig) -> None:
        """Raise `UnusableVideo` where more is damaged than the options accept."""
        if self.damaged_share > config.max_damaged:
            raise UnusableVideo(f"damaged: {self.damaged_share:.0%} of its frames are missing or broken")

    def row(self) -> dict[str, Any]:
        """Their columns of the manifest."""
        return dict(zip(FACT_COLUMNS, vars(self).values(), strict=True))


class UnusableVideo(Exception):
    """Why one video cannot be used; becomes a row of the manifest."""


def command(source: Path, output: Path, config: StandardiseConfig, found: Source | None = None) -> list[str]:
    """The ffmpeg command of the pictures: filter `fps=fps=30`, otherwise the defaults of ffmpeg.

    Args:
        source: raw video.
        output: mp4 to write.
        config: frame rate and speed options.
        found: its streams and time base; None: one stream that begins with the container.

    Paper: videos are re-encoded at 30 fps (released code); tsp.md 1.1.
    """
    moved = _is_moved(found)
    video = _input(source, config, found, moved=moved)[str(found.picture if found else 0)]
    # A picture that begins after second 0 is repeated from there; ffmpeg would make its time second 0.
    late = {"start_time": 0} if found and found.picture_start_s else {}
    video = video.filter("fps", fps=config.fps, **late)
    odd = found is not None and (found.width % 2 or found.height % 2)
    if config.shrink is not None:
        height, width = config.shrink
        video = video.filter("scale", width, height)
        odd = height % 2 or width % 2
    # 4:2:0 colour requires even sides.
    if odd or config.shrink is not None:
        video = video.filter("format", "yuv444p" if odd else "yuv420p")
    options: dict[str, Any] = {}
    if config.keyframe_interval is not None:
        options |= {"g": config.keyframe_interval}
    if config.crf is not None:
        options |= {"crf": config.crf}
    return _compiled(ffmpeg.output(video, f"file:{output}", **EQUAL, **options), moved=moved)


def _input(source: Path, config: StandardiseConfig, found: Source | None, *, moved: bool) -> Any:
    # Without `-copyts` it counts from where the container begins, or, in MPEG streams, from the first stream in use.
    clock = {"itsoffset": f"{-float(found.offset_s):.6f}"} if found and moved else {}
    # `file:` keeps names with a leading dash or a colon from being parsed as options or protocols.
    return ffmpeg.input(f"file:{source}", probesize=config.probesize, **clock)


def _is_moved(found: Source | None) -> bool:
    return found is not None and bool(found.shift_s or found.picture_start_s)


# Equal inputs give equal bytes: one thread, no dates, and no time limit for the interleaving of sound and picture,
# which since ffmpeg 7 otherwise depends on which of their threads is ahead.
EQUAL = {"threads": 1, "map_metadata": -1, "fflags": "+bitexact", "max_interleave_delta": 0}


def _compiled(output: Any, *, moved: bool = False) -> list[str]:
    words = ["-nostdin", "-hide_banner", "-nostats", "-v", "repeat+level+info", *["-copyts"] * moved]
    return list(output.global_args(*words).overwrite_output().compile(cmd=ffmpeg_path()))


def standardise_video(source: Path, output: Path, config: StandardiseConfig) -> Facts:
    """Re-encode one video; the same input gives the same bytes with the same ffmpeg.

    Second t of `output` is what a player presents at second t of `source`, counted from the earlier start of its
    pictures and its sound. The sound is not encoded again unless its packets do not fit into mp4; then it is FLAC.

    Raises:
        UnusableVideo: the video cannot be used.
        TspError: the disk is full or the folder is not writable.
    """
    found = _examined(source, config)
    if found.joined:
        return _standardise_joined(source, output, config)
    if found.missing > config.max_damaged * found.expected:
        raise UnusableVideo(found.cut_short or f"damaged: {found.missing} of {found.expected} frames are missing")
    notes, audio = list(found.notes), found.audio
    with atomic(output) as temporary:
        share = _encode_pictures(source, found, temporary, config, notes)
        if found.sound is not None:
            audio = _add_sound(source, found, temporary, config, notes)
    start_s = found.sound_start_s
    return Facts(
        offset_s=round(float(found.offset_s), 6),
        picture_start_s=round(float(found.picture_start_s), 6),
        sound_start_s=None if start_s is None else round(float(start_s), 6),
        audio=audio,
        damaged_share=round(share, 4),
        notes="; ".join(notes),
    )


def _examined(source: Path, config: StandardiseConfig) -> Source:
    try:
        return examine(source, config.probesize)
    except TspError as error:
        raise UnusableVideo(str(error)) from None


def _standardise_joined(source: Path, output: Path, config: StandardiseConfig) -> Facts:
    """Standardise recordings in one file as a player presents them: one after the other."""
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".joined-") as folder:
        whole = Path(folder) / "whole.ts"
        parts = ffmpeg.input(f"file:{source}", probesize=config.probesize)
        _encode(_compiled(ffmpeg.output(parts, f"file:{whole}", c="copy", f="mpegts")), output, config)
        if _examined(whole, config).joined:
            raise UnusableVideo("its recordings cannot be joined: their clocks differ")
        facts = standardise_video(whole, output, config)
    notes = "several recordings in one file are joined; " + facts.notes
    return replace(facts, notes=notes.removesuffix("; "))


def _encode_pictures(source: Path, found: Source, output: Path, config: StandardiseConfig, notes: list[str]) -> float:
    """Write the pictures; the share of them that is missing or broken."""
    messages = _encode(command(source, output, config, found), output, config)
    gaps = found.gaps if found.corrupt or is_torn(messages) else 0
    expected = found.expected + gaps
    lost = max(found.corrupt, damaged_pictures(messages, found.codec)) + found.missing + gaps
    share = min(1.0, lost / max(1, expected))
    if found.gaps and not gaps:
        notes.append(f"its pictures pause, for {found.gaps} frames in all")
    if lost:
        log.info("%s: messages of ffmpeg:\n%s", source, messages)
        detail = f" ({found.cut_short})" if found.cut_short else ""
        notes.append(f"{lost} of {expected} frames are missing or broken{detail}")
    if share > config.max_damaged:
        raise UnusableVideo(f"damaged: {share:.0%} of its frames are missing or broken")
    if reason := defect(output):
        raise UnusableVideo(reason)
    return share


def _encode(words: list[str], output: Path, config: StandardiseConfig) -> str:
    """Run ffmpeg; its messages."""
    try:
        done = subprocess.run(words, capture_output=True, timeout=config.timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise UnusableVideo(f"ffmpeg was stopped after {config.timeout_s:g} s") from None
    messages = _messages(done.stderr, output)
    if done.returncode:
        log.info("%s: messages of ffmpeg:\n%s", output, messages)
        raise UnusableVideo(f"ffmpeg cannot encode it: {_last_line(messages) or f'exit status {done.returncode}'}")
    return messages


def _messages(said: bytes, output: Path) -> str:
    """What ffmpeg wrote, unless it is that the disk is full."""
    messages = said.decode("utf-8", "replace").strip()
    if "No space left on device" in messages:
        raise TspError(f"{output}: cannot be written (No space left on device); free space and run again")
    return messages


def defect(path: Path) -> str | None:
    """Why a standardised file cannot be used; None: it can."""
    try:
        with VideoReader(path) as reader:
            return None if reader.n_frames else "no frames"
    except TspError as error:
        return str(error).removeprefix(f"{path}: ")


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    # Without the name and address of the part of ffmpeg that reports it.
    return re.sub(r"^(\[[^\]]*\] )+", "", " ".join(lines[-1].split()))[:300] if lines else ""


def _add_sound(source: Path, found: Source, video: Path, config: StandardiseConfig, notes: list[str]) -> str:
    """Add the sound of the source, at its seconds, to a video without sound.

    Returns:
        `copied`, `lossless`, or `undecodable`: the video stays as it is, and `notes` gets a sentence.
    """
    pictures, sound = ffmpeg.input(f"file:{video}"), _input(source, config, found, moved=True)
    kept = {"vcodec": "copy", **EQUAL, "strict": "experimental"}
    zero_s = float(found.offset_s)
    with atomic(video) as output:
        try:
            copy = ffmpeg.output(pictures["0"], sound[str(found.sound)], f"file:{output}", acodec="copy", **kept)
            _encode(_compiled(copy, moved=True), video, config)
            with SoundReader(output) as one, SoundReader(source, found.sound, zero_s, config.probesize) as other:
                if is_same_sound(one, other):
                    return "copied"
        except (UnusableVideo, TspError) as error:
            log.info("%s: its sound cannot be copied: %s", source, error)
        try:
            with SoundReader(source, found.sound, zero_s, config.probesize) as reader:
                raw = ffmpeg.input("pipe:0", format="s16le", ar=reader.rate, ac=reader.channels)
                words = _compiled(ffmpeg.output(pictures["0"], raw["0"], f"file:{output}", acodec="flac", **kept))
                words.remove("-nostdin")
                _pipe(words, (block.T.tobytes() for block in reader.blocks()), video)
                return "lossless"
        except (UnusableVideo, TspError) as error:
            notes.append(f"its sound cannot be kept and is ignored: {error}")
            shutil.copyfile(video, output)
            return "undecodable"


def _pipe(words: list[str], blocks: Iterable[bytes], output: Path) -> None:
    """Run ffmpeg with these bytes as its input."""
    with tempfile.TemporaryFile() as said, subprocess.Popen(words, stdin=subprocess.PIPE, stderr=said) as process:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            for block in blocks:
                process.stdin.write(block)
            process.stdin.close()
        status = process.wait()
        said.seek(0)
        messages = _messages(said.read(), output)
    if status:
        raise UnusableVideo(_last_line(messages) or f"ffmpeg exit status {status}")
