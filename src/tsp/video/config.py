"""Options of downloading and standardising videos. The defaults are those of the paper."""

from dataclasses import dataclass

from tsp.errors import TspError


@dataclass(frozen=True, kw_only=True)
class DownloadConfig:
    """Options of downloading raw videos."""

    workers: int = 4
    """Concurrent downloads of one job."""
    attempts: int = 3
    """Attempts for a video that fails for a temporary reason (stalled, interrupted, 429, 5xx)."""
    timeout_s: float = 30.0
    """Seconds without data before an attempt counts as failed."""
    rate_limit: str | None = None
    """Bytes per second of each download, such as `500K` or `2M`; null: unlimited."""
    sleep_s: float = 0.0
    """Seconds between requests to video pages; sites block machines that ask too fast."""
    cookies: str | None = None
    """Netscape cookie file for videos that require a login; each download uses a copy."""
    format: str = "bv*[height<=480]+ba/b[height<=480]/b"
    """Format selection of yt-dlp for video pages."""
    keep_raw: bool = True
    """Keep raw files; false: delete each once its standardised file is made, and fetch it again where that must be
    recreated."""

    def __post_init__(self) -> None:
        """Reject options that would fail at the first video."""
        if self.workers < 1 or self.attempts < 1 or self.timeout_s <= 0 or self.sleep_s < 0:
            raise TspError("download: workers, attempts and timeout_s must be positive, sleep_s not negative")
        self.bytes_per_s  # noqa: B018

    @property
    def bytes_per_s(self) -> float | None:
        """`rate_limit` as a number."""
        if self.rate_limit is None:
            return None
        units = {"K": 2**10, "M": 2**20, "G": 2**30}
        text = self.rate_limit.strip().upper()
        try:
            value = float(text.rstrip("KMG")) * units.get(text[-1:], 1)
        except ValueError:
            value = 0.0
        if value <= 0:
            raise TspError(f"download: rate_limit is {self.rate_limit!r}; expected bytes per second such as 500K or 2M")
        return value


@dataclass(frozen=True, kw_only=True)
class StandardiseConfig:
    """Options of re-encoding raw videos (tsp.md 1.1): the filter `fps=fps=30`, otherwise the defaults of ffmpeg."""

    fps: int = 30
    """Constant frame rate of the output, in frames per second."""
    shrink: tuple[int, int] | None = None
    """Height and width in pixels to resize to, such as the encoder's [128, 171]: a speed option; null: unchanged."""
    keyframe_interval: int | None = None
    """Frames between key frames; short intervals speed up random access. null: the default of ffmpeg, 250."""
    crf: int | None = None
    """Quality of H.264, 0 (best) to 51; null: the default of ffmpeg, 23."""
    probesize: str = "50M"
    """Bytes read to detect the format; large frames need more than the default of ffmpeg."""
    max_damaged: float = 0.05
    """Share of missing or broken pictures, 0 to 1, up to which a damaged video is used; its manifest row states it."""
    timeout_s: float = 3600.0
    """Seconds after which ffmpeg is stopped and the video counts as corrupt."""

    def __post_init__(self) -> None:
        """Reject sizes that H.264 does not support."""
        if self.fps < 1 or self.timeout_s <= 0:
            raise TspError("standardise: fps and timeout_s must be positive")
        if self.shrink is not None and min(self.shrink) < 2:
            raise TspError(
                f"standardise: shrink is {list(self.shrink)}; expected height and width of at least 2 pixels"
            )
        if not 0 <= self.max_damaged <= 1:
            raise TspError(f"standardise: max_damaged is {self.max_damaged}; expected a share from 0 to 1")
        if self.keyframe_interval is not None and self.keyframe_interval < 1:
            raise TspError("standardise: keyframe_interval must be at least 1")
