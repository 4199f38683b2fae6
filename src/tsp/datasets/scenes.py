"""Frames of the miniature data set: a textured scene with one moving object.

Lengths are in pixels of the rendered frame, times in seconds. H and W are the height and width of the frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PATH_HZ = 120
BORDER = 6  # the scene is larger than the frame so that the camera can shake
NOISE_BANK = 64  # different noise images of a video


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Appearance of a class and motion of its action.

    Args:
        label: action name.
        colour, shape, texture: of the object and of the scene, in words.
        scene_rgb, object_rgb: colours, 0 to 1.
        path: corners of the closed path of the object during an action, in any unit.
        pitch_hz: pitch of the sound of the action.
    """

    label: str
    colour: str
    shape: str
    texture: str
    scene_rgb: tuple[float, float, float]
    object_rgb: tuple[float, float, float]
    path: tuple[tuple[float, float], ...]
    pitch_hz: float


CIRCLE = tuple((float(np.cos(a)), float(np.sin(a))) for a in np.arange(0, 2 * np.pi, np.pi / 8))
EIGHT = tuple((float(np.sin(a)), 0.6 * float(np.sin(2 * a))) for a in np.arange(0, 2 * np.pi, np.pi / 12))
KINDS = (
    Kind(
        label="hop",
        colour="red",
        shape="disc",
        texture="stripes",
        scene_rgb=(0.30, 0.52, 0.32),
        object_rgb=(0.85, 0.25, 0.22),
        path=((0.0, -1.0), (0.0, 1.0)),
        pitch_hz=262,
    ),
    Kind(
        label="shake",
        colour="blue",
        shape="square",
        texture="checks",
        scene_rgb=(0.62, 0.53, 0.36),
        object_rgb=(0.20, 0.32, 0.85),
        path=((-1.0, 0.0), (1.0, 0.0)),
        pitch_hz=330,
    ),
    Kind(
        label="circle",
        colour="yellow",
        shape="ring",
        texture="dots",
        scene_rgb=(0.33, 0.36, 0.58),
        object_rgb=(0.90, 0.82, 0.25),
        path=CIRCLE,
        pitch_hz=392,
    ),
    Kind(
        label="slash",
        colour="white",
        shape="cross",
        texture="bricks",
        scene_rgb=(0.56, 0.34, 0.34),
        object_rgb=(0.92, 0.92, 0.88),
        path=((-0.7, 0.7), (0.7, -0.7)),
        pitch_hz=494,
    ),
    Kind(
        label="weave",
        colour="black",
        shape="triangle",
        texture="waves",
        scene_rgb=(0.48, 0.58, 0.62),
        object_rgb=(0.10, 0.10, 0.14),
        path=EIGHT,
        pitch_hz=587,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Look:
    """Size of the frames, strength of the motion and of the nuisances.

    Args:
        size: height and width.
        speed: of the object during an action, in pixels per second.
        wander: speed in the background, as a share of `speed`.
        period_s: seconds for one round of the path of the action, minimum and maximum.
        object_radius: in pixels.
        shake: amplitude of the camera motion, in pixels.
        noise: standard deviation of the pixel noise, of 255.
        drift: amplitude of the brightness drift, as a share of the brightness.
        contrast: strength of the scene's texture, 0 to 1.
    """

    size: tuple[int, int] = (56, 64)
    speed: float = 52.0
    wander: float = 0.02
    period_s: tuple[float, float] = (1.0, 1.5)
    object_radius: float = 10.0
    shake: float = 0.0
    noise: float = 4.0
    drift: float = 0.08
    contrast: float = 0.14


class Scene:
    """Frames of one video at any time.

    Args:
        kind: class.
        look: size, motion and nuisances.
        duration_s: length.
        actions: start and end of each action, in seconds.
        seed: of all random draws.
    """

    def __init__(
        self, kind: Kind, look: Look, duration_s: float, actions: Sequence[tuple[float, float]], seed: Sequence[int]
    ) -> None:
        rng = np.random.default_rng(seed)
        self.kind, self.look = kind, look
        self.path = _path(kind, look, duration_s, actions, rng)
        height, width = look.size
        y, x = np.meshgrid(np.arange(height + 2 * BORDER), np.arange(width + 2 * BORDER), indexing="ij")
        rgb = np.clip(np.asarray(kind.scene_rgb) + rng.normal(0, 0.05, 3), 0.05, 0.95)
        strength = look.contrast * rng.uniform(0.7, 1.3) * (1 + rng.normal(0, 0.15, 3))
        pattern = _pattern(kind.texture, y.astype(np.float64), x.astype(np.float64), rng)
        self.canvas = (255 * np.clip(rgb + pattern[..., None] * strength, 0, 1)).astype(np.float32)
        self.rgb = (255 * np.clip(np.asarray(kind.object_rgb) + rng.normal(0, 0.06, 3), 0, 1)).astype(np.float32)
        self.radius = look.object_radius * rng.uniform(0.85, 1.15)
        self.noise = rng.normal(0, look.noise, (NOISE_BANK, height, width, 1)).astype(np.float32)
        self.noise_seed = int(rng.integers(2**31))
        self.shake_hz, self.shake_phase = rng.uniform(0.5, 3.0, (2, 3)), rng.uniform(0, 2 * np.pi, (2, 3))
        self.drift_hz, self.drift_phase = rng.uniform(0.05, 0.3, 2), rng.uniform(0, 2 * np.pi, 2)

    def frame(self, t: float) -> NDArray[np.uint8]:
        """Frame `[H, W, 3]` at time t."""
        height, width = self.look.size
        sway = np.sin(2 * np.pi * self.shake_hz * t + self.shake_phase).sum(axis=1) * self.look.shake / 1.5
        cx, cy = (int(np.clip(round(c), -BORDER, BORDER)) for c in sway)
        picture = self.canvas[BORDER + cy : BORDER + cy + height, BORDER + cx : BORDER + cx + width].copy()
        at = min(t * PATH_HZ, len(self.path) - 1.001)
        k = int(at)
        x, y = self.path[k] + (at - k) * (self.path[k + 1] - self.path[k]) - (cx, cy)
        reach = int(self.radius) + 2
        rows = slice(max(int(y) - reach, 0), min(int(y) + reach + 1, height))
        columns = slice(max(int(x) - reach, 0), min(int(x) + reach + 1, width))
        dy, dx = np.ogrid[rows, columns]
        mask = np.clip(0.5 - _distance(self.kind.shape, dy - y, dx - x, self.radius), 0, 1)[..., None]
        picture[rows, columns] += mask.astype(np.float32) * (self.rgb - picture[rows, columns])
        gain = 1 + self.look.drift * float(np.sin(2 * np.pi * self.drift_hz * t + self.drift_phase).mean())
        noise = self.noise[(self.noise_seed + int(t * 1000) * 7919) % NOISE_BANK]
        return np.asarray(np.clip(picture * np.float32(gain) + noise, 0, 255), dtype=np.uint8)


def timeline(duration_s: float, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Start and end in seconds of each action: short and long ones, with background before, between and after."""
    t = rng.uniform(1.5, 4.0)
    spans: list[tuple[float, float]] = []
    while True:
        length = rng.uniform(1.8, 3.2) if rng.random() < 0.5 else rng.uniform(4.0, 7.5)
        if t + length + 1.2 > duration_s:
            return spans
        spans.append((round(t, 2), round(t + length, 2)))
        t += length + rng.uniform(2.0, 5.0)


def _path(
    kind: Kind, look: Look, duration_s: float, actions: Sequence[tuple[float, float]], rng: np.random.Generator
) -> Floats:
    """Position of the object, `[n, 2]` (x, y), every 1 / PATH_HZ seconds.

    In the background it drifts slowly; in an action it follows the closed path of its class from its current position.
    """
    height, width = look.size
    low = np.array([look.object_radius, look.object_radius])
    high = np.array([width, height]) - low
    n = int(np.ceil(duration_s * PATH_HZ)) + 2
    inside = np.zeros(n, dtype=np.int64)
    for number, (start, end) in enumerate(actions, 1):
        inside[round(start * PATH_HZ) : round(end * PATH_HZ)] = number
    speed = look.speed * rng.uniform(0.85, 1.18)
    position, heading = rng.uniform(low, high), float(rng.uniform(0, 2 * np.pi))
    path = np.empty((n, 2))
    at = 0
    while at < n:
        stop = at + int(np.argmax(np.append(inside[at:] != inside[at], True)))
        count = stop - at
        if inside[at]:
            steps = _round(kind, speed, rng.uniform(*look.period_s), count, rng)
        else:
            headings = heading + np.cumsum(rng.normal(0, 0.02, count))
            steps = np.cumsum(np.stack([np.cos(headings), np.sin(headings)], axis=1), axis=0)
            steps *= speed * look.wander / PATH_HZ
            heading = float(headings[-1])
        path[at:stop] = _reflect(position + steps, low, high)
        position, at = path[stop - 1], stop
    return path


def _round(kind: Kind, speed: float, period_s: float, count: int, rng: np.random.Generator) -> Floats:
    """`[count, 2]` displacements along the path of the class at constant speed, in either direction."""
    points = np.asarray([*kind.path, kind.path[0]], dtype=np.float64)
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    scale = speed * period_s / lengths[-1]
    begin = rng.random() * lengths[-1]
    travel = begin + rng.choice([-1.0, 1.0]) * np.arange(count + 1) / PATH_HZ * speed / scale
    where = np.stack([np.interp(travel % lengths[-1], lengths, points[:, i]) for i in (0, 1)], axis=1)
    return np.asarray((where[1:] - where[0]) * scale)


def _reflect(points: Floats, low: Floats, high: Floats) -> Floats:
    """Reflect positions at the borders of the frame."""
    span = high - low
    folded = np.abs((points - low + span) % (2 * span) - span)
    return np.asarray(low + folded)


def _pattern(texture: str, y: Floats, x: Floats, rng: np.random.Generator) -> Floats:
    """Values in [-1, 1] of a texture at pixel positions."""
    pitch, a, b = rng.uniform(13, 18), rng.uniform(0, 99), rng.uniform(0, 99)
    u, v = (x + a) / pitch, (y + b) / pitch
    if texture == "stripes":
        return np.asarray(np.tanh(3 * np.sin(2 * np.pi * v)))
    if texture == "checks":
        return np.asarray(np.tanh(4 * np.sin(np.pi * u) * np.sin(np.pi * v)))
    if texture == "dots":
        return np.asarray(np.tanh(4 * (np.sin(np.pi * u) ** 2 + np.sin(np.pi * v) ** 2 - 1.25)))
    if texture == "bricks":
        shifted = u + 0.5 * (np.floor(v) % 2)
        return np.where((v % 1 < 0.2) | (shifted % 1 < 0.15), 1.0, -0.4)
    return np.asarray(np.tanh(3 * np.sin(2 * np.pi * (u + 0.3 * np.sin(np.pi * v)))))


def _distance(shape: str, y: Floats, x: Floats, r: float) -> Floats:
    """Signed distance in pixels from the edge of a shape around 0; negative inside."""
    if shape == "disc":
        return np.asarray(np.hypot(x, y) - r)
    if shape == "ring":
        return np.asarray(np.abs(np.hypot(x, y) - 0.7 * r) - 0.35 * r)
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) - 0.85 * r
    if shape == "cross":
        bar, post = np.maximum(np.abs(x) - r, np.abs(y) - 0.4 * r), np.maximum(np.abs(y) - r, np.abs(x) - 0.4 * r)
        return np.minimum(bar, post)
    return np.maximum(y - 0.7 * r, 0.87 * np.abs(x) - 0.5 * y - 0.6 * r)
