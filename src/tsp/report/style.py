"""Style of all figures, and how they are saved: PNG, PDF and the data as CSV."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tsp.io.files import atomic
from tsp.io.tables import write_table

# Okabe and Ito's palette is safe for colour-blind readers; each colour has its own marker for greyscale prints.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
TRUTH, INK, SOFT, FAINT = "#2F353B", "#22272E", "#5F6B76", "#D9DEE3"
DPI = 200
SETTINGS: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "hatch.linewidth": 0.6,
    "pdf.fonttype": 42,
    "figure.dpi": 100,
    "figure.constrained_layout.h_pad": 0.07,
    "figure.constrained_layout.w_pad": 0.07,
    "savefig.dpi": DPI,
}


def look(number: int) -> dict[str, Any]:
    """Colour and marker of the run with this number."""
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}


@contextmanager
def drawing(
    output: str | Path, *, size: tuple[float, float], note: str = ""
) -> Iterator[tuple[Figure, list[tuple[Any, ...]]]]:
    """Yield a figure and the rows of its CSV, header first; save PNG, PDF and CSV when the block succeeds.

    Args:
        output: the `.png`; `.pdf` and `.csv` go beside it.
        size: width and height, inches.
        note: small text in the upper right corner, such as `miniature`.
    """
    rows: list[tuple[Any, ...]] = []
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=size, layout="constrained")
        yield figure, rows
        if note:
            # Below the panels: the corners above hold titles and legends.
            figure.supxlabel(note, x=0.995, ha="right", fontsize=8, color="#9A5B00", style="italic")
        output = Path(output)
        for path, metadata in ((output, {}), (output.with_suffix(".pdf"), {"CreationDate": None})):
            with atomic(path) as temporary:
                figure.savefig(temporary, metadata=metadata)
            # The layout is final: the second format need not compute it again.
            figure.set_layout_engine("none")
        header, *values = rows
        write_table(pd.DataFrame(values, columns=header), output.with_suffix(".csv"))


def legend_above(figure: Figure, axes: Axes) -> None:
    """One legend in a line above all panels."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper left", ncols=min(len(labels), 4))


def columns_of(n: int, most: int = 3) -> tuple[int, int]:
    """Rows and columns for `n` panels."""
    columns = min(n, most)
    return -(-n // columns), columns
