"""`tsp evaluate`: the official scores and the error analyses of a submission file."""

import argparse
import json
import logging
import math
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsp.errors import TspError

if TYPE_CHECKING:
    from tsp.evaluation.io import GroundTruth
    from tsp.evaluation.thumos_kit import Formula
    from tsp.types import Video

EPILOG = """
Without --json the scores go to standard output as JSON; a table goes to the terminal. Scores are fractions in
JSON (the AUC of proposals, percent, is the exception) and percent in the table. The file formats are described
in docs/formats.
"""
# Formula of the average precision of the challenge's kit; None: ActivityNet's protocol.
PROTOCOLS: "dict[str, Formula | None]" = {"activitynet": None, "thumos-kit": "mean", "thumos-kit-eleven": "eleven"}
SUBSETS = {"activitynet": "validation", "thumos14": "test"}
log = logging.getLogger(__name__)
Rows = list[Sequence[object]]


def add_evaluate(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add the command and its five tasks."""
    command = commands.add_parser("evaluate", help="score predictions", epilog=EPILOG)
    tasks = command.add_subparsers(title="tasks", required=True, metavar="TASK")
    _add_detection(tasks)
    _add_proposals(tasks)
    _add_classification(tasks)
    _add_captions(tasks)
    _add_errors(tasks)


def parse_tious(text: str) -> tuple[float, ...]:
    """Thresholds from `0.5:0.95:0.05` (both ends included) or `0.3,0.5,0.7`.

    Raises:
        TspError: another form, or a range that does not end at its stop.
    """
    from tsp.evaluation.detection import ACTIVITYNET_TIOUS

    try:
        if "_" in text:
            raise ValueError
        if ":" not in text:
            return tuple(float(t) for t in text.split(","))
        start, stop, step = (Decimal(t) for t in text.split(":"))
        if step <= 0 or stop < start or (stop - start) % step:
            raise TspError(f"--tiou {text}: the steps must lead from the first to the last threshold")
    except (ValueError, InvalidOperation) as error:
        raise TspError(f"--tiou {text!r}: expected START:STOP:STEP or numbers separated by commas") from error
    found = tuple(float(start + n * step) for n in range(int((stop - start) / step) + 1))
    # The official ten are not all equal to their decimal spelling.
    return ACTIVITYNET_TIOUS if found == tuple(round(t, 2) for t in ACTIVITYNET_TIOUS) else found


def _add_task(
    tasks: argparse._SubParsersAction,  # type: ignore[type-arg]
    name: str,
    text: str,
) -> argparse.ArgumentParser:
    task: argparse.ArgumentParser = tasks.add_parser(name, help=text, description=text, epilog=EPILOG)
    task.add_argument(
        "--json", type=Path, action=_OutputFile, help="write the scores here instead of to standard output"
    )
    return task


class _OutputFile(argparse.Action):
    """A file to write; a folder is refused before anything is computed."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        if values.is_dir():
            raise TspError(f"{option} {values}: is a folder; state a file")
        setattr(namespace, self.dest, values)


def _add_ground_truth(task: argparse.ArgumentParser) -> None:
    from tsp.evaluation.thumos14 import DEFAULT, VARIANTS

    task.add_argument(
        "--ground-truth", type=Path, required=True, help="ActivityNet-style JSON, or THUMOS14's official CSV; .gz too"
    )
    task.add_argument("--subset", help="subset of the ground truth (default: validation; test with thumos14)")
    task.add_argument(
        "--dataset", choices=list(SUBSETS), default="activitynet", help="whose protocol (default: activitynet)"
    )
    variants = "; ".join(VARIANTS.values())
    task.add_argument(
        "--variant",
        choices=list(VARIANTS),
        help=f"which ground truth of thumos14 (default: {DEFAULT}); other videos of the file are ignored. {variants}",
    )
    task.add_argument("--blocked", type=Path, help="JSON array of videos to exclude from both files")


def _add_tiou(task: argparse.ArgumentParser, default: str) -> None:
    task.add_argument("--tiou", help=f"thresholds, START:STOP:STEP with both ends or a list (default: {default})")


def _add_quirks(task: argparse.ArgumentParser) -> None:
    task.add_argument("--dedup", action="store_true", help="drop instances within 1 ms of another or shorter than 1 ms")
    task.add_argument(
        "--strict-compat", action="store_true", help="count 0/0 as a hit, as the official code does (empty segments)"
    )
    _add_ignore(task)


def _add_ignore(task: argparse.ArgumentParser) -> None:
    task.add_argument(
        "--ignore-unknown-labels",
        action="store_true",
        help="skip predictions with labels that the ground truth lacks",
    )


def _add_detection(tasks: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    task = _add_task(tasks, "detection", "mAP over tIoU thresholds (ActivityNet protocol)")
    _add_ground_truth(task)
    task.add_argument("--predictions", type=Path, required=True, help="submission JSON, or THUMOS14's text (.txt)")
    _add_tiou(task, "0.5:0.95:0.05; 0.3:0.7:0.1 with thumos14")
    task.add_argument(
        "--protocol",
        choices=list(PROTOCOLS),
        default="activitynet",
        help="AP of ActivityNet's code, which the literature reports on THUMOS14 too (default); or of the kit of the"
        " THUMOS14 challenge, updated or early (eleven recalls): about a point apart, never to be mixed",
    )
    _add_quirks(task)
    task.set_defaults(run=_detection)


def _detection(args: argparse.Namespace) -> int:
    from tsp.evaluation.detection import ACTIVITYNET_TIOUS, THUMOS14_TIOUS, score_file, scores_json

    default = {"activitynet": ACTIVITYNET_TIOUS, "thumos14": THUMOS14_TIOUS}[args.dataset]
    tious = parse_tious(args.tiou) if args.tiou is not None else default
    videos = _annotated(args)
    truth = _truth(args, videos)
    result = score_file(
        truth,
        args.predictions,
        tious,
        strict_compat=args.strict_compat,
        ignore_unknown_labels=args.ignore_unknown_labels,
        protocol=_kit(args, videos, truth, tious),
    )
    scores = scores_json(result)
    header = ["tIoU", *scores["mAP"], "average"]
    _write(args, scores, [header, ["mAP (%)", *map(_percent, [*scores["mAP"].values(), scores["average_mAP"]])]])
    return 0


def _kit(args: argparse.Namespace, videos: "list[Video]", truth: "GroundTruth", tious: Sequence[float]) -> Any:
    """The challenge's protocol where it is asked for; None: ActivityNet's."""
    formula = PROTOCOLS[args.protocol]
    if formula is None:
        if args.predictions.name.removesuffix(".gz").endswith(".txt"):
            log.info(
                "note: %s has the format of the THUMOS14 challenge, scored here as the literature does; the"
                " challenge's own AP: --protocol thumos-kit", args.predictions,
            )  # fmt: skip
        return None
    if args.dataset != "thumos14" or args.strict_compat:
        raise TspError(f"--protocol {args.protocol}: only with --dataset thumos14, and without --strict-compat")
    from tsp.evaluation.thumos_kit import ambiguous_intervals, evaluate

    return partial(evaluate, tious=tious, ambiguous=ambiguous_intervals(videos, truth), formula=formula)


def _add_proposals(tasks: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    task = _add_task(tasks, "proposals", "average recall at an average number of proposals, and its area")
    _add_ground_truth(task)
    task.add_argument(
        "--predictions",
        "--proposals",
        type=Path,
        required=True,
        help="submission, as of detections; labels are ignored",
    )
    _add_tiou(task, "0.5:0.95:0.05")
    task.add_argument(
        "--max-avg", default="100", help="average number per video where the curve ends, or `all` (default: 100)"
    )
    task.add_argument("--dedup", action="store_true", help="drop instances within 1 ms of another or shorter than 1 ms")
    task.set_defaults(run=_proposals)


def _proposals(args: argparse.Namespace) -> int:
    from tsp.evaluation.detection import ACTIVITYNET_TIOUS
    from tsp.evaluation.proposals import score_file, scores_json
    from tsp.io.annotations import read_number

    try:
        most = None if args.max_avg == "all" else read_number(args.max_avg, "--max-avg")
        if most is not None and not 0 < most < math.inf:
            raise ValueError
    except (TypeError, ValueError) as error:
        raise TspError(f"--max-avg {args.max_avg!r}: expected a positive number or `all`") from error
    tious = parse_tious(args.tiou) if args.tiou is not None else ACTIVITYNET_TIOUS
    scores = scores_json(score_file(_truth(args), args.predictions, tious, max_proposals=most))
    header = [*(f"AR@{n} (%)" for n in scores["AR"]), "AUC (%)"]
    _write(args, scores, [header, [*map(_percent, scores["AR"].values()), f"{scores['AUC']:.2f}"]])
    return 0


def _add_classification(tasks: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    task = _add_task(tasks, "classification", "labels of whole videos: mAP, hit@k (hit@1 is video-level top-1)")
    _add_ground_truth(task)
    task.add_argument(
        "--predictions", type=Path, required=True, help="submission JSON, or the video-level scores of this project"
    )
    task.add_argument("--k", type=int, nargs="+", default=[1, 3], help="numbers of labels to look at (default: 1 3)")
    _add_ignore(task)
    task.set_defaults(run=_classification, dedup=False)


def _classification(args: argparse.Namespace) -> int:
    from tsp.evaluation.classification import score_file, scores_json

    result = score_file(_truth(args), args.predictions, args.k, ignore_unknown_labels=args.ignore_unknown_labels)
    scores = scores_json(result)
    header = ["mAP", *(f"hit@{k}" for k in scores["hit"]), *(f"average hit@{k}" for k in scores["average_hit"])]
    values = [scores["mAP"], *scores["hit"].values(), *scores["average_hit"].values()]
    _write(args, scores, [["", *header], ["percent", *map(_percent, values)]])
    return 0


def _add_captions(tasks: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    task = _add_task(
        tasks, "captions", "dense captions: BLEU, METEOR, ROUGE-L, CIDEr; precision and recall of proposals"
    )
    task.add_argument(
        "--references", type=Path, nargs="+", required=True, help="ActivityNet Captions annotations (val_1.json ...)"
    )
    task.add_argument("--predictions", type=Path, required=True, help="submission JSON")
    _add_tiou(task, "0.3,0.5,0.7,0.9")
    task.add_argument(
        "--max-proposals", type=int, default=100, help="only the first ones of each video count (default: 100)"
    )
    task.add_argument(
        "--videos",
        type=Path,
        help="text file, one name per line: score only these videos (published scores: those still available)",
    )
    task.set_defaults(run=_captions)


def _captions(args: argparse.Namespace) -> int:
    from tsp.evaluation.captions import CAPTION_TIOUS, caption_scores, scores_json
    from tsp.io.files import read_text

    tious = parse_tious(args.tiou) if args.tiou is not None else CAPTION_TIOUS
    only = frozenset(read_text(args.videos).split()) if args.videos else None
    result = caption_scores(args.references, args.predictions, tious, most=args.max_proposals, only=only)
    scores = scores_json(result)
    rows = {**scores["per_tiou"], "average": scores["average"]}
    table: Rows = [["tIoU", *scores["average"]]]
    table += [[name, *map(_percent, row.values())] for name, row in rows.items()]
    _write(args, scores, table)
    return 0


def _add_errors(tasks: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    task = _add_task(tasks, "errors", "error analyses of detections (DETAD)")
    _add_ground_truth(task)
    task.add_argument(
        "--predictions", type=Path, nargs="+", required=True, help="submission JSON, one or more to compare"
    )
    task.add_argument("--names", nargs="+", help="a name for each of them (default: file names)")
    task.add_argument(
        "--durations", type=Path, help="metadata CSV (filename, video-duration), where the ground truth has none"
    )
    _add_tiou(task, "0.5:0.95:0.05; 0.5 with thumos14")
    _add_quirks(task)
    task.add_argument(
        "--independent",
        action="store_true",
        help="sensitivity: ignore detections of other instances at each threshold independently, not jointly",
    )
    task.add_argument("--figures", type=Path, metavar="FOLDER", help="draw the analyses (PNG, PDF, CSV)")
    task.set_defaults(run=_errors)


def _errors(args: argparse.Namespace) -> int:
    from tsp.evaluation.errors import BUCKETS, ERROR_TIOUS, analyse, characterise
    from tsp.evaluation.io import read_detections, with_durations
    from tsp.evaluation.protocol import warn_of

    names = args.names or [p.name.removesuffix(".gz").removesuffix(".json") for p in args.predictions]
    if len(names) != len(args.predictions) or len(set(names)) < len(names):
        raise TspError(f"--names {' '.join(names)}: expected {len(args.predictions)} distinct names, one per file")
    tious = parse_tious(args.tiou) if args.tiou is not None else ERROR_TIOUS[args.dataset]
    truth = with_durations(_truth(args), args.durations) if args.durations else _truth(args)
    instances = characterise(truth, BUCKETS[args.dataset])
    results = {}
    for name, path in zip(names, args.predictions, strict=True):
        found = read_detections(path, instances.truth, ignore_unknown_labels=args.ignore_unknown_labels)
        results[name] = analyse(instances, found, tious, joint=not args.independent, strict_compat=args.strict_compat)
        warn_of(path, len(found.score), results[name]["tie_share"])
    if args.figures:
        from tsp.report.errors import draw_all

        draw_all(results, args.figures)
    _write(args, results[names[0]] if len(names) == 1 else {"runs": results}, error_table(results))
    return 0


def error_table(results: Mapping[str, Mapping[str, Any]]) -> Rows:
    """Rows of all analyses, a column for each run and, of several, what the last gains over the first; percent.

    The row `length XS` shows the gain on short actions.
    """
    first = next(iter(results.values()))
    rows: dict[str, list[float | None]] = {"average mAP_N": [r["average_mAP_N"] for r in results.values()]}
    rows["average mAP"] = [r["average_mAP"] for r in results.values()]
    for name in ("coverage", "length", "instances"):
        for size in first["sensitivity"][name]["buckets"]:
            values = [r["sensitivity"][name]["buckets"][size]["average_mAP_N"] for r in results.values()]
            rows[f"mAP_N of {name} {size}"] = values
    for kind in first["false_positives"]["impact"]:
        rows[f"gain without {kind}"] = [r["false_positives"]["impact"][kind] for r in results.values()]
    rows["missed"] = [r["false_negatives"]["missed"] for r in results.values()]
    for name in ("coverage", "length", "instances"):
        for size in first["false_negatives"][name]:
            rows[f"missed of {name} {size}"] = [r["false_negatives"][name][size]["missed"] for r in results.values()]
    several = len(results) > 1
    table: Rows = [["percent", *results, *(["difference"] if several else [])]]
    for name, values in rows.items():
        both = values[0] is not None and values[-1] is not None
        last = [_percent(values[-1] - values[0]) if both else "-"] if several else []  # type: ignore[operator]
        table.append([name, *map(_percent, values), *last])
    return table


def _truth(args: argparse.Namespace, videos: "list[Video] | None" = None) -> "GroundTruth":
    """The counted instances of the annotated videos (None: read them); the options name every choice made."""
    from dataclasses import replace

    from tsp.evaluation.io import instances_of, read_blocked
    from tsp.evaluation.thumos14 import AMBIGUOUS, DEFAULT, VARIANTS, left_out

    path, thumos = args.ground_truth, args.dataset == "thumos14"
    videos = _annotated(args) if videos is None else videos
    blocked = read_blocked(args.blocked) | (left_out(videos, args.variant, str(path)) if thumos else frozenset())
    truth = instances_of(
        videos,
        args.subset or SUBSETS[args.dataset],
        where=path,
        blocked=blocked,
        dedup=args.dedup,
        without_labels={AMBIGUOUS} if thumos else (),
    )
    named = {"dataset": args.dataset} | ({"variant": VARIANTS[args.variant or DEFAULT]} if thumos else {})
    return replace(truth, options=named | truth.options)


def _annotated(args: argparse.Namespace) -> "list[Video]":
    """All videos of the ground truth."""
    from tsp.evaluation.io import check_not_empty
    from tsp.io.annotations import read_annotations
    from tsp.resolve import resolve

    if args.variant and args.dataset != "thumos14":
        raise TspError(f"--variant {args.variant}: only --dataset thumos14 has variants")
    path = args.ground_truth
    check_not_empty(path)
    if not path.name.removesuffix(".gz").endswith(".csv"):
        return read_annotations(path)
    if args.dataset != "thumos14":
        raise TspError(f"{path}: ground truth as CSV is that of --dataset thumos14; expected ActivityNet-style JSON")
    return list(resolve("tsp.datasets.thumos14:read")([path]))


def _write(args: argparse.Namespace, scores: dict[str, Any], table: Rows) -> None:
    """Write the scores as JSON to the file or standard output, and the table where it does not mix with the JSON."""
    from tsp.io.files import encoded, write_json

    lines = _lines(table)
    if args.json:
        write_json(args.json, scores)
        print("\n".join(lines))
        return
    text = json.dumps(scores, indent=1, ensure_ascii=False, allow_nan=False)
    encoded(text, "scores")  # a lone surrogate, as in a label, cannot be printed either
    print(text)
    if sys.stderr.isatty():
        print("\n".join(lines), file=sys.stderr)


def _lines(table: Rows) -> list[str]:
    text = [[str(cell) for cell in row] for row in table]
    widths = [max(len(row[n]) for row in text) for n in range(len(text[0]))]
    return [
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in text
    ]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
