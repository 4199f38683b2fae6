"""Dense captions of single videos: events over time and their sentences, those of the references and of each run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes

from tsp.errors import TspError
from tsp.io.captions import CaptionedEvent, Captions, read_captions, read_references
from tsp.report.markup import data_url, read_fragment, render, write_standalone
from tsp.report.style import COLOURS, TRUTH, drawing

EXAMPLES, SENTENCES = 3, 5
# Bytes; larger videos would make the page slow to open.
LARGEST_VIDEO = 8_000_000
REFERENCE = "reference"


@dataclass(frozen=True, kw_only=True)
class Example:
    """One video with its annotated and predicted events.

    Args:
        name: key of the video, as in the references.
        events: `reference` or the label of a run -> events; references in time order, predictions best first.
    """

    name: str
    events: Mapping[str, Sequence[CaptionedEvent]]


def examples_of(references: Iterable[str | Path], predictions: Mapping[str, str | Path]) -> list[Example]:
    """The first videos of the first reference file that every run has captions of, whatever their scores.

    Args:
        references: ActivityNet Captions files; of a video in several files all events are shown.
        predictions: label of the run -> captions.json.

    Raises:
        TspError: no video is in all files.
    """
    truth: Captions = {}
    for path in references:
        for name, events in read_references(path).items():
            truth.setdefault(name, []).extend(events)
    predicted = {label: read_captions(path, most=SENTENCES) for label, path in predictions.items()}
    shared = [name for name in truth if all(captions.get(name) for captions in predicted.values())]
    if not shared:
        raise TspError(f"{', '.join(map(str, predictions.values()))}: no reference video has captions of every run")
    return [
        Example(
            name=name,
            events={REFERENCE: sorted(truth[name], key=lambda e: (e.start_s, e.end_s))}
            | {label: captions[name] for label, captions in predicted.items()},
        )
        for name in shared[:EXAMPLES]
    ]


def draw_events(examples: Sequence[Example], output: str | Path, *, note: str = "") -> None:
    """Draw the events over time, a panel per video; numbers are those of the sentences on the page.

    Args:
        examples: the videos.
        output: the `.png`.
        note: such as `miniature`.
    """
    lanes = max(sum(0.5 + 0.42 * len(events) for events in e.events.values()) for e in examples)
    with drawing(output, size=(7.2, 0.4 + len(examples) * (0.7 + 0.3 * lanes)), note=note) as (figure, rows):
        rows.append(("video", "who", "number", "start_s", "end_s", "score", "sentence"))
        for axes, example in zip(figure.subplots(len(examples), 1, squeeze=False).ravel(), examples, strict=True):
            _lanes(axes, example)
            rows += [
                (example.name, who, n, e.start_s, e.end_s, e.score, e.sentence)
                for who, events in example.events.items()
                for n, e in enumerate(events, 1)
            ]
        axes.set_xlabel("seconds")


def _lanes(axes: Axes, example: Example) -> None:
    y, ticks = 0.0, []
    for number, (who, events) in enumerate(example.events.items()):
        ticks.append((y + 0.21 * (len(events) - 1), who))
        colour = TRUTH if who == REFERENCE else COLOURS[(number - 1) % len(COLOURS)]
        for n, e in enumerate(events, 1):
            axes.barh(y, max(e.end_s - e.start_s, 0.0), left=e.start_s, height=0.34, color=colour, edgecolor="white")
            axes.annotate(f" {n}", (e.start_s, y), va="center", fontsize=6.5, color="white", weight="bold")
            y += 0.42
        y += 0.3
    axes.set_yticks(*zip(*ticks, strict=True))
    axes.set_ylim(y - 0.3, -0.4)
    axes.set_xlim(left=0)
    axes.set_title(example.name, fontsize=9)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def write_caption_page(
    output: str | Path, *, table: str | Path, examples: Sequence[Example], figure: str | Path, videos: str | Path
) -> None:
    """Write a page with the scores, the figure, and each video with its sentences.

    Args:
        output: the HTML file; `markup.read_fragment` takes its content into the report.
        table: HTML file of the scores.
        examples: the videos.
        figure: the PNG of `draw_events`.
        videos: folder of the standardised files.
    """
    values = {
        "scores": read_fragment(table),
        "figure": data_url(Path(figure).read_bytes(), "image/png"),
        "examples": [_shown(example, Path(videos) / f"{example.name}.mp4") for example in examples],
    }
    write_standalone(output, "Dense captions", render("captions.html.j2", values))


def _shown(example: Example, path: Path) -> dict[str, object]:
    """What the template shows of a video: its file where it is small enough to embed, and the table of sentences."""
    rows = [
        [f"{who} {n}", f"{e.start_s:.1f}–{e.end_s:.1f} s", e.sentence]
        for who, events in example.events.items()
        for n, e in enumerate(events, 1)
    ]
    embedded = path.exists() and path.stat().st_size <= LARGEST_VIDEO
    video = data_url(path.read_bytes(), "video/mp4") if embedded else None
    return {"name": example.name, "path": path, "video": video, "rows": rows}
