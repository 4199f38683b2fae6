"""Faults of external inputs: broken and hostile video files, bad servers, wrong files."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from faults.common import Outcome, Workplace

from tsp.errors import TspError
from tsp.io.fetch import fetch_released
from tsp.io.files import sha256
from tsp.io.tables import LIST_COLUMNS, read_manifest, write_table
from tsp.video.config import DownloadConfig, StandardiseConfig
from tsp.video.download import download_shard
from tsp.video.probe import probe_shard
from tsp.video.standardise import standardise_shard

STANDARDISE = StandardiseConfig(shrink=(28, 32), keyframe_interval=16, crf=12, timeout_s=60.0)
BODY = bytes(range(256)) * 64


def good_video(place: Workplace) -> Path:
    """A raw video of the undisturbed run."""
    return sorted((place.undisturbed / "results/synthetic/raw/train").glob("*.mp4"))[0]


def hostile(place: Workplace, whole: bytes) -> dict[str, bytes]:
    """Contents by name."""
    random = place.random
    made = {
        "zero_bytes.mp4": b"",
        "only_zeros.mp4": bytes(10_000),
        "text.mp4": b"<html>Sign in to confirm you are not a bot</html>\n",
        "playlist.mp4": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "concat.mp4": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "noise.mp4": random.randbytes(20_000),
    }
    for number in range(3 if place.short else 20):
        made[f"cut{number}.mp4"] = whole[: random.randrange(1, len(whole))]
    for number in range(5 if place.short else 60):
        content = bytearray(whole)
        for _ in range(random.choice([1, 10, 200])):
            content[random.randrange(len(content))] = random.randrange(256)
        made[f"fuzzed{number}.mp4"] = bytes(content)
    return made


def hostile_videos(place: Workplace) -> Outcome:
    """Each becomes a row, either `ok` with frames or with a reason; the good video among them is unaffected."""
    outcome = Outcome(fault="truncated, fuzzed and hostile videos")
    folder = place.empty("videos")
    whole = good_video(place).read_bytes()
    contents = hostile(place, whole)
    (folder / "origin").mkdir()
    for name, content in {"good.mp4": whole, **contents}.items():
        (folder / "origin" / name).write_bytes(content)
    rows = shard(folder, {name: str(folder / "origin" / name) for name in ["good.mp4", *contents]})
    alone = shard(place.empty("alone"), {"good.mp4": str(folder / "origin/good.mp4")})
    for name in contents:
        row = rows.loc[name]
        fine = row["status"] == "ok" and row["video-frames"] > 0
        reported = row["status"] != "ok" and bool(row["reason"]) and "\n" not in str(row["reason"])
        short = name.startswith("cut") and row["status"] == "ok"
        kept = rows.loc["good.mp4", "sha256"] == alone.loc["good.mp4", "sha256"]
        outcome.add((fine or reported) and kept and not short, f"{name}: {row.to_dict()}")
    return outcome


def shard(folder: Path, sources: dict[str, str]) -> pd.DataFrame:
    """List, download, standardise and probe; the last manifest, by video."""
    names = list(sources)
    write_table(pd.DataFrame([(n, n, sources[n]) for n in names], columns=LIST_COLUMNS), folder / "list.csv")
    raw, videos = folder / "raw", folder / "videos"
    download_shard(folder / "list.csv", raw, folder / "a.csv", DownloadConfig(attempts=2, timeout_s=0.5))
    standardise_shard(folder / "a.csv", raw, videos, folder / "b.csv", STANDARDISE, 2)
    probe_shard(folder / "b.csv", videos, folder / "c.csv", 2)
    return read_manifest(folder / "c.csv").set_index("video")


class Handler(http.server.BaseHTTPRequestHandler):
    """The first part of the path selects the fault; once the server has recovered, every path works."""

    server: Any

    def do_GET(self) -> None:
        kind = "whole" if self.server.well.is_set() else self.path.split("/")[1]
        codes = {"gone": 404, "refused": 403, "busy": 429, "down": 503}
        if kind == "stall":
            self.server.well.wait(2)
            return
        code = codes.get(kind, 200)
        body = {"page": b"<html>sign in</html>", "cut": BODY}.get(kind, BODY if code == 200 else b"")
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "text/html" if kind == "page" else "video/mp4")
        if code == 429:
            self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if kind == "cut" else body)

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def server() -> Iterator[Any]:
    """A server on this machine."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.well = threading.Event()  # type: ignore[attr-defined]
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.well.set()  # type: ignore[attr-defined]
        running.shutdown()


STATUS = {
    "gone": "gone",
    "refused": "private",
    "busy": "transient",
    "down": "transient",
    "page": "blocked",
    "stall": "transient",
    "cut": "transient",
}


def bad_servers(place: Workplace) -> list[Outcome]:
    """Each fault is a row with a reason and leaves no file that looks like a video; after recovery the file exists."""
    outcomes = []
    with server() as running:
        address = f"http://127.0.0.1:{running.server_port}"
        for kind, status in STATUS.items():
            outcome = Outcome(fault=f"server: {kind}")
            folder = place.empty(f"server-{kind}")
            videos = folder / "list.csv"
            row = [("a", "v_a.mp4", f"{address}/{kind}/a.mp4")]
            write_table(pd.DataFrame(row, columns=LIST_COLUMNS), videos)
            first = fetched(folder, "first.csv")
            left = [path.name for path in (folder / "raw").iterdir() if path.is_file() and path.suffix != ".part"]
            running.well.set()
            second = fetched(folder, "second.csv")
            running.well.clear()
            whole = (folder / "raw/v_a.mp4").is_file() and (folder / "raw/v_a.mp4").read_bytes() == BODY
            survived = first["status"] == status and bool(first["reason"]) and not left
            outcome.add(survived and second["status"] == "ok" and whole, f"{first.to_dict()}, left {left}")
            outcomes.append(outcome)
    return outcomes


def fetched(folder: Path, name: str) -> Any:
    """The only row of a download manifest."""
    config = DownloadConfig(attempts=2, timeout_s=0.3)
    download_shard(folder / "list.csv", folder / "raw", folder / name, config)
    return read_manifest(folder / name).iloc[0]


def wrong_checksum(place: Workplace) -> Outcome:
    """A released file with another checksum is rejected and not kept; the right one is accepted."""
    outcome = Outcome(fault="wrong checksum of a released file")
    folder = place.empty("released")
    source, output = folder / "weights.pth", folder / "out.pth"
    source.write_bytes(BODY)
    try:
        fetch_released(output, url=None, path=str(source), digest="0" * 8)
        message = ""
    except TspError as error:
        message = str(error)
    kept = output.exists()
    fetch_released(output, url=None, path=str(source), digest=sha256(source)[:8])
    outcome.add("expected 00000000" in message and not kept and output.read_bytes() == BODY, message)
    return outcome


FAULTS = (hostile_videos, bad_servers, wrong_checksum)
