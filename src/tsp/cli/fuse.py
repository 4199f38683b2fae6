"""`tsp fuse`: the raw predictions of two streams of P-GCN, averaged."""

import argparse
from pathlib import Path

EPILOG = """
Both streams must have refined the same proposals. The result is post-processed like the raw predictions of one
stream. Example, with the published weight and threshold of two streams on THUMOS14:

  tsp fuse results/experiments/pgcn_rgb/i3d/seed0/raw.h5 results/experiments/pgcn_flow/i3d/seed0/raw.h5 \\
      --output fused/raw.h5
  tsp sweep --raw fused/raw.h5 --config results/experiments/pgcn_rgb/config.yaml \\
      --annotations results/thumos14/annotations.json --subset test --set nms_threshold=0.32 --tiou 0.3:0.7:0.1
"""


def add_fuse(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add the command."""
    command = commands.add_parser(
        "fuse",
        help="average the raw predictions of two streams of P-GCN",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("rgb", type=Path, metavar="RGB.h5", help="raw predictions of the RGB stream, of weight 1")
    command.add_argument("flow", type=Path, metavar="FLOW.h5", help="raw predictions of the flow stream")
    command.add_argument("--weight", type=float, default=1.2, help="weight of the flow stream (default: %(default)s)")
    command.add_argument("--output", type=Path, required=True, help="raw predictions to write")
    command.set_defaults(run=_fuse)


def _fuse(args: argparse.Namespace) -> int:
    from tsp.localise.pgcn.detections import fuse_streams

    fuse_streams([args.rgb, args.flow], [1.0, args.weight], args.output)
    return 0
