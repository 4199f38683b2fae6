"""The page of dense captioning: its tables, and example videos with timeline, predicted and reference sentences."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tsp.errors import TspError
from tsp.io.captions import CaptionedEvent, Captions, read_captions, read_references
from tsp.io.files import atomic
from tsp.report.markup import Html, document, grid, text
from tsp.report.tables import MINIATURE, read_fragment
from tsp.video.decode import VideoReader

FRAMES, HEIGHT, QUALITY = 10, 90, 85
# Proposals in a timeline: the best ones; a hundred would cover each other.
SHOWN = 6
STYLE = """<style>
.strip{display:block;width:100%;height:auto;border-radius:6px}
.lane{display:grid;grid-template-columns:9rem 1fr;gap:.1rem .7rem;align-items:center;font-size:.86rem;margin:.25rem 0}
.lane .bars{position:relative;background:var(--card);border:1px solid var(--line);border-radius:4px;min-height:1.1rem}
.lane i{position:absolute;height:.7rem;background:var(--accent);border-radius:3px;opacity:.75}
@media (max-width:600px){.lane{grid-template-columns:1fr}}
</style>"""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one run says.

    Args:
        label: of the run.
        annotated: sentences for the annotated segments.
        learned: sentences for the proposals, with scores.
    """

    label: str
    annotated: Captions
    learned: Captions


def captions_page(
    output: str | Path,
    *,
    tables: Sequence[str | Path],
    references: str | Path,
    runs: Mapping[str, tuple[str | Path, str | Path]],
    videos: str | Path,
    examples: int = 4,
    miniature: bool = False,
) -> None:
    """Write the page.

    Args:
        output: `captions.html`.
        tables: HTML files of `tables.write_table`.
        references: ActivityNet Captions file.
        runs: label -> captions of the annotated segments, captions of the proposals; of one seed.
        videos: folder of the standardised files `<name>.mp4`; a video that is not there is shown without pictures.
        examples: videos shown, evenly spaced over those that every run has described.
        miniature: put the warning on top.

    Raises:
        TspError: a file is no such file, or no video has been described by all runs.
    """
    truth = read_references(references)
    told = [
        Told(label=label, annotated=read_captions(annotated), learned=read_captions(learned))
        for label, (annotated, learned) in runs.items()
    ]
    names = [name for name in truth if all(name in run.annotated for run in told)]
    if not names:
        raise TspError(f"{references}: none of its videos was described by all of {', '.join(runs)}")
    picked = [names[n] for n in np.linspace(0, len(names) - 1, min(examples, len(names))).astype(int)]
    parts = ["<header><h1>Dense captions</h1>"]
    parts += [f'<p class="banner"><strong>{text(MINIATURE)}</strong></p>'] if miniature else []
    parts += ["</header>", *(read_fragment(path) for path in tables), "<h2>Examples</h2>"]
    parts.append(
        '<p class="soft">Bars: annotated events, and the best proposals of each run. Sentences: those of the annotated'
        " segments; a word that the reference lacks is underlined.</p>"
    )
    parts += [_example(name, truth[name], told, Path(videos) / f"{name}.mp4") for name in picked]
    with atomic(output) as temporary:
        temporary.write_text(document("Dense captions", STYLE + "\n".join(parts)), encoding="utf-8")


def _example(name: str, truth: list[CaptionedEvent], told: Sequence[Told], video: Path) -> str:
    best = {run.label: run.learned.get(name, [])[:SHOWN] for run in told}
    last = max(event.end_s for events in [truth, *best.values()] for event in events)
    lanes = [_lane("annotated", truth, last), *(_lane(label, events, last) for label, events in best.items())]
    rows = []
    for number, event in enumerate(truth):
        given = [run.annotated[name] for run in told]
        said = [events[number].sentence if number < len(events) else "" for events in given]
        known = set(_words(event.sentence))
        rows.append([f"{event.start_s:.1f}–{event.end_s:.1f} s", event.sentence, *(_marked(s, known) for s in said)])
    header = ["time", "reference", *(run.label for run in told)]
    table = grid(header, rows, kind="text")
    return f'<section class="example"><h3>{text(name)}</h3>{_strip(name, video)}{"".join(lanes)}{table}</section>'


def _lane(label: str, events: Sequence[CaptionedEvent], last_s: float) -> str:
    """Bars of events above each other where they overlap."""
    ends: list[float] = []
    bars = []
    for event in sorted(events, key=lambda e: (e.start_s, e.end_s)):
        row = next((n for n, end in enumerate(ends) if end <= event.start_s), len(ends))
        ends[row : row + 1] = [event.end_s]
        left, width = 100 * event.start_s / last_s, 100 * (event.end_s - event.start_s) / last_s
        title = text(f"{event.start_s:.1f}–{event.end_s:.1f} s: {event.sentence}")
        place = f"left:{left:.2f}%;width:{max(width - 0.3, 0.3):.2f}%;top:{0.2 + 0.9 * row:.2f}rem"
        bars.append(f'<i style="{place}" title="{title}"></i>')
    height = f"height:{0.25 + 0.9 * max(len(ends), 1):.2f}rem"
    return f'<div class="lane"><span>{text(label)}</span><div class="bars" style="{height}">{"".join(bars)}</div></div>'


def _strip(name: str, video: Path) -> str:
    """Pictures at equal distances, one beside the other."""
    if not video.is_file():
        return f'<p class="soft">{text(video.name)} is not here.</p>'
    with VideoReader(video) as reader:
        places = ((np.arange(FRAMES) + 0.5) / FRAMES * reader.n_frames).astype(int)
        frames = [Image.fromarray(frame) for frame in reader.frames(places)]
    width = max(1, round(frames[0].width * HEIGHT / frames[0].height))
    strip = Image.new("RGB", (FRAMES * width, HEIGHT))
    for number, frame in enumerate(frames):
        strip.paste(frame.resize((width, HEIGHT), Image.Resampling.BICUBIC), (number * width, 0))
    file = io.BytesIO()
    strip.save(file, "JPEG", quality=QUALITY)
    raw = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img class="strip" alt="Pictures of {text(name)}" src="data:image/jpeg;base64,{raw}">'


def _words(sentence: str) -> list[str]:
    return [word.strip(".,").lower() for word in sentence.split()]


def _marked(sentence: str, known: set[str]) -> Html:
    words = [text(w) if w.strip(".,").lower() in known else f"<u>{text(w)}</u>" for w in sentence.split()]
    return Html(" ".join(words))
