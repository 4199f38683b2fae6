"""The command line `tsp`. Heavy imports are deferred until a command needs them."""

import argparse
import logging
import os
import subprocess
import sys
from pathlib import Path

from tsp import __version__
from tsp.cli.evaluate import add_evaluate
from tsp.cli.fuse import add_fuse
from tsp.cli.sweep import add_sweep
from tsp.cli.trace import add_trace
from tsp.errors import TspError
from tsp.steps import quiet_libraries

EPILOG = """
Run the whole workflow with `snakemake --cores all` in the repository (see README.md). These commands run single
steps on any files of the documented formats; `tsp COMMAND --help` lists their options.

  tsp check                                   check the whole configuration, report all errors
  tsp status                                  list done, running, stale and missing jobs and their cost
  tsp trace results/tables/miniature.md       what made a file, down to its sources
  tsp groundtruth --dataset thumos14 --annotations val_Annotation.csv --metadata valid_metadata.csv \\
      --subset valid --output segments.csv    the clip index of the paper from official annotations
  tsp predict my.mp4 --weights results/pretrain/mini_tsp/encoder.safetensors
                                              features and foreground probability of one video
  tsp export opentad --features F.h5 --output DIR
                                              convert features to another project's layout
  tsp evaluate detection --ground-truth G.json --predictions P.json
                                              also: proposals, classification, captions, errors
  tsp sweep --raw raw.h5 --annotations A.json --subset validation --set nms_keep=100,200
                                              tune post-processing without running a network
  tsp fuse RGB.h5 FLOW.h5 --output raw.h5     average the two streams of P-GCN
"""


def main(arguments: list[str] | None = None) -> int:
    """Parse and run one command; a `TspError` is printed in one line, with exit status 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    quiet_libraries()
    try:
        args = _parser().parse_args(arguments)
        status = int(args.run(args) or 0)
        sys.stdout.flush()
        return status
    except TspError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of the pipe, such as `head`, has exited
        # Python flushes again at its end, and would report the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tsp",
        description="Temporally-sensitive pretraining, from raw videos to the paper's tables.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tsp {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_show(commands)
    _add_check(commands)
    _add_status(commands)
    add_trace(commands)
    _add_schema(commands)
    _add_groundtruth(commands)
    _add_predict(commands)
    _add_export(commands)
    add_evaluate(commands)
    add_sweep(commands)
    add_fuse(commands)
    return parser


def _add_demo(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    command = commands.add_parser("demo", help="run the embedded miniature, from raw videos to a table")
    command.add_argument("snakemake", nargs="*", help="further arguments for snakemake, after `--`")
    command.set_defaults(run=_demo)


def _demo(args: argparse.Namespace) -> int:
    from tsp.config.load import ROOT

    snakemake = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "all"]
    done = subprocess.run([*snakemake, *args.snakemake], check=False)
    return done.returncode or _show(argparse.Namespace(results=Path("results")))


def _add_show(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    command = commands.add_parser("show", help="print the finished tables and the location of the report")
    command.add_argument("--results", type=Path, default=Path("results"), help="results folder (default: results)")
    command.set_defaults(run=_show)


def _show(args: argparse.Namespace) -> int:
    tables = sorted((args.results / "tables").glob("*.md"))
    if not tables:
        raise TspError(f"{args.results / 'tables'}: no table yet; run `snakemake --cores all` first")
    for table in tables:
        print(table.read_text(encoding="utf-8"))
    page = args.results / "report" / "index.html"
    print(f"Tables: {args.results / 'tables'}" + (f"\nReport: {page.resolve().as_uri()}" if page.exists() else ""))
    return 0


def _add_check(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    command = commands.add_parser("check", help="check the configuration without running anything")
    command.add_argument("--configfile", type=Path, nargs="*", default=[], help="overlays, as for snakemake")
    command.add_argument("--preset", choices=["demo", "paper"], help="preset to check (default: the configured one)")
    command.set_defaults(run=_check)


def _check(args: argparse.Namespace) -> int:
    from tsp.config.check import check_settings
    from tsp.config.experiments import resolve_experiment
    from tsp.config.load import ROOT, read_folder
    from tsp.resolve import resolve

    values, files = read_folder(ROOT / "config", args.configfile, args.preset)
    settings = check_settings(values, files)
    for encoder in settings.encoders.values():
        resolve(encoder.factory)
    for name in settings.experiments:
        resolve_experiment(name, values["experiments"][name])
    print(
        f"preset {settings.preset}: {len(settings.datasets)} data sets, {len(settings.runs)} runs,"
        f" {len(settings.experiments)} experiments, {len(settings.tables)} tables: no errors"
    )
    return 0


def _add_status(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    command = commands.add_parser("status", help="list done, running, stale and missing jobs and their estimated cost")
    command.add_argument("snakemake", nargs="*", help="targets and further arguments for snakemake, after `--`")
    command.add_argument("--results", type=Path, default=Path("results"), help="results folder (default: results)")
    command.set_defaults(run=_status)


def _status(args: argparse.Namespace) -> int:
    from tsp.config.load import ROOT
    from tsp.plan.outdated import report
    from tsp.plan.status import planned, stages, table

    print(table(stages(planned(ROOT / "Snakefile", args.snakemake), args.results.parent / "logs")))
    print("".join(f"{line}\n" for line in report(args.results)), end="")
    return 0


def _add_schema(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    command = commands.add_parser("schema", help="generate config/schema.json and docs/differences.md from docstrings")
    command.add_argument("--output", type=Path, help="schema file (default: config/schema.json of the repository)")
    command.set_defaults(run=_schema)


def _schema(args: argparse.Namespace) -> int:
    from tsp.config.check import schema
    from tsp.config.differences import page
    from tsp.config.load import ROOT
    from tsp.io.files import atomic, write_json

    write_json(args.output or ROOT / "config" / "schema.json", schema())
    if args.output is None:
        with atomic(ROOT / "docs" / "differences.md") as temporary:
            temporary.write_text(page(ROOT / "src" / "tsp"), encoding="utf-8")
    return 0


def _add_groundtruth(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    command = commands.add_parser(
        "groundtruth", help="write Action and No action segments (the clip index) from official annotations"
    )
    command.add_argument("--dataset", choices=["activitynet", "thumos14"], required=True)
    command.add_argument(
        "--annotations", type=Path, nargs="+", required=True, help="official annotation file(s), .gz accepted"
    )
    command.add_argument("--metadata", type=Path, required=True, help="metadata CSV, .gz accepted")
    command.add_argument("--subset", help="train, valid, test or the official name; default: all in the metadata")
    command.add_argument("--rule", choices=["released", "clean"], default="released", help="background rule")
    command.add_argument("--min-clips", type=int, help="minimum gap in clips (ActivityNet: 5, THUMOS14: 1)")
    command.add_argument("--output", type=Path, required=True, help="CSV to write")
    command.set_defaults(run=_groundtruth)


def _groundtruth(args: argparse.Namespace) -> int:
    from tsp.datasets.config import BackgroundConfig
    from tsp.datasets.ground_truth import read_source, write_ground_truth
    from tsp.resolve import resolve

    videos = read_source(resolve(f"tsp.datasets.{args.dataset}:read"), args.annotations)
    clips = args.min_clips or {"activitynet": 5, "thumos14": 1}[args.dataset]
    background = BackgroundConfig(rule=args.rule, min_clips=clips)
    write_ground_truth(videos, args.metadata, args.output, args.subset, background)
    return 0


def _add_predict(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    command = commands.add_parser(
        "predict", help="compute features, foreground probability over time and top actions of one video"
    )
    command.add_argument("video", type=Path, help="any video file")
    command.add_argument("--weights", type=Path, required=True, help="encoder.safetensors of a run, or a released .pth")
    command.add_argument("--output", type=Path, default=Path("prediction"), help="folder (default: prediction)")
    command.add_argument(
        "--encoder", help="r2plus1d_34, r2plus1d_18 or r3d_18; for weights without a .json beside them"
    )
    command.add_argument("--gvf-weights", type=Path, help="encoder weights for the global video feature")
    command.add_argument("--stride", type=int, default=16, help="frames at 15 fps between clips (default: 16)")
    command.add_argument("--device", help="cpu, cuda, cuda:1 (default: a GPU if available)")
    command.set_defaults(run=_predict)


def _predict(args: argparse.Namespace) -> int:
    from tsp.apply.predict import predict

    options = {name: getattr(args, name) for name in ("encoder", "gvf_weights", "stride", "device")}
    predict(args.video, args.weights, args.output, **options)
    print(f"{args.output}: {', '.join(sorted(path.name for path in args.output.iterdir()))}")
    return 0


def _add_export(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    command = commands.add_parser("export", help="convert a feature file to the layout of another project")
    command.add_argument("layout", choices=["opentad", "actionformer", "bmn", "gtad", "bmt", "pkl"])
    command.add_argument(
        "--features", type=Path, nargs="+", required=True, help="feature file(s) of this library, or released ones"
    )
    command.add_argument("--output", type=Path, required=True, help="output folder")
    command.add_argument("--annotations", type=Path, help="canonical annotations, for layouts that include annotations")
    command.add_argument("--class-scores", type=Path, help="class scores of videos, for opentad and actionformer")
    command.add_argument("--length", type=int, default=100, help="snippets per video for bmn and gtad (default: 100)")
    command.add_argument("--stride", type=int, help="for files without it, together with --fps and --clip-length")
    command.add_argument("--fps", type=float, help="frame rate of the encoder's clips (paper: 15)")
    command.add_argument("--clip-length", type=int, help="frames per clip (paper: 16)")
    command.set_defaults(run=_export)


def _export(args: argparse.Namespace) -> int:
    from tsp.features.export import export
    from tsp.features.exporting import Timing

    stated = (args.stride, args.fps, args.clip_length)
    if None in stated and any(value is not None for value in stated):
        raise TspError("export: --stride, --fps and --clip-length must be given together")
    timing = None if None in stated else Timing(stride=args.stride, fps=args.fps, clip_length=args.clip_length)
    labels = {"annotations": args.annotations, "class_scores": args.class_scores}
    export(args.layout, args.features, args.output, **labels, timing=timing, length=args.length)
    return 0
