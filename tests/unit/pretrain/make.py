"""Small videos whose pictures encode the frame number, and segments of them."""

import av
import numpy as np
import pandas as pd

from tsp.encoders.config import EncoderConfig
from tsp.io.tables import SEGMENT_COLUMNS, write_table

ENCODER = EncoderConfig(
    factory="tsp.encoders.video_resnet:r2plus1d_tiny",
    resize=(18, 20),
    crop=16,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
)
LABELS = ("jump", "run")


def write_video(path, frames, *, step=1):
    """Frame k is grey with value k * step, at 30 frames per second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=30, options={"qp": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 40, 36, "rgb24"
        for k in range(frames):
            picture = np.full((36, 40, 3), k * step, dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def row(filename, start, end, action, frames=120):
    region = "Action" if action else "No action"
    return (filename[:-4], start, end, action, frames / 30, filename, 30.0, frames, region)


def write_segments(path, rows):
    write_table(pd.DataFrame(rows, columns=SEGMENT_COLUMNS), path)
    return path


def make_set(folder, videos=2):
    """Videos of 120 frames with one action each and the background before it."""
    (folder / "videos").mkdir(parents=True)
    rows = []
    for i in range(videos):
        write_video(folder / f"videos/v_{i}.mp4", 120, step=2)
        rows.append(row(f"v_{i}.mp4", 2.0, 4.0, LABELS[i % 2]))
    rows += [row(f"v_{i}.mp4", 0.0, 2.0, None) for i in range(videos)]
    return {"segments": write_segments(folder / "segments.csv", rows), "videos": folder / "videos"}
