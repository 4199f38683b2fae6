"""`tsp sweep`: grid search over post-processing options on existing raw predictions."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tsp.cli.evaluate import parse_tious
from tsp.errors import TspError

EPILOG = """
Example, on the raw predictions of one training of the workflow:

  tsp sweep --raw results/experiments/bmn_synthetic/mini_tsp/seed0/raw.h5 \\
      --annotations results/synthetic/annotations.json --subset validation \\
      --labels results/labels/mini_tac/stride8/synthetic-valid.json \\
      --set proposal_nms_divisor=0.3,0.4 --set 'proposal_nms_above=[0.5,0.9],[0.55,0.9]'
"""


def add_sweep(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add the command."""
    command = commands.add_parser(
        "sweep",
        help="try options of post-processing on raw predictions",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--raw", type=Path, required=True, help="raw.h5 of a training")
    command.add_argument("--annotations", type=Path, required=True, help="canonical annotations")
    command.add_argument("--labels", type=Path, help="video-level class scores, unless the method predicts classes")
    command.add_argument("--subset", required=True, help="the annotations' name of the subset, such as validation")
    command.add_argument("--config", type=Path, help="resolved experiment (default: config.yaml two folders up)")
    command.add_argument(
        "--set",
        action="append",
        required=True,
        metavar="NAME=V1,V2,...",
        help="an option and its values; several make a grid",
    )
    command.add_argument("--tiou", default="0.5:0.95:0.05", help="thresholds of the detections (default: %(default)s)")
    command.add_argument("--output", type=Path, help="CSV to write; the table as Markdown goes beside it")
    command.set_defaults(run=_sweep)


def parse_grid(settings: Sequence[str]) -> dict[str, list[Any]]:
    """Options and values from `name=v1,v2,...`; values are YAML, so lists go in brackets.

    Raises:
        TspError: another form, or an option twice.
    """
    import yaml

    grid: dict[str, list[Any]] = {}
    for setting in settings:
        name, equals, values = setting.partition("=")
        try:
            found = yaml.safe_load(f"[{values}]")
        except yaml.YAMLError:
            found = None
        if not name or not equals or not found:
            raise TspError(f"--set {setting!r}: expected NAME=VALUE,VALUE,...")
        if name in grid:
            raise TspError(f"--set {name}: given twice; list all its values in one --set")
        grid[name] = found
    return grid


def _sweep(args: argparse.Namespace) -> int:
    from tsp.sweep import Inputs, markdown, sweep, write_sweep

    # results/experiments/<experiment>/<run>/seed<k>/raw.h5
    config = args.config or args.raw.resolve().parents[2] / "config.yaml"
    files = {"raw": args.raw, "annotations": args.annotations, "labels": args.labels, "subset": args.subset}
    found = sweep(Inputs(config=config, **files), parse_grid(args.set), parse_tious(args.tiou))
    if args.output:
        write_sweep(found, args.output, args.output.with_suffix(".md"))
    print("\n".join(markdown(found)))
    return 0
