"""The results tree: the pattern of every path, stated once, with Snakemake's wildcards.

Each class is a folder of the tree. A pattern without a file extension is a folder. Folders of videos and of unfinished
work are not declared as outputs, so Snakemake keeps them when a job fails and the next attempt resumes from them.
"""

import os
import re
import textwrap

RESULTS = "results"


class Data:
    """A data set: annotations, videos and ground truth."""

    ORIGIN = "results/{dataset}/origin/annotations.json"
    ANNOTATIONS = "results/{dataset}/annotations.json"
    FINDINGS = "results/{dataset}/annotations_report.csv"
    LIST = "results/{dataset}/list/{subset}.{shard}.csv"
    DOWNLOAD = "results/{dataset}/download/{subset}.{shard}.csv"
    RAW = "results/{dataset}/raw/{subset}"
    STANDARDISE = "results/{dataset}/standardise/{subset}.{shard}.csv"
    VIDEOS = "results/{dataset}/videos/{subset}"
    PROBE = "results/{dataset}/probe/{subset}.{shard}.csv"
    METADATA = "results/{dataset}/metadata/{subset}.csv"
    MANIFEST = "results/{dataset}/manifest/{subset}.csv"
    SEGMENTS = "results/{dataset}/segments/{subset}.csv"
    CAPTIONS = "results/{dataset}/captions/{subset}.json"


class Released:
    """Released encoders, VGGish and word vectors."""

    ENCODER = "results/released/{run}.pth"
    VGGISH = "results/released/vggish.pth"
    VECTORS = "results/released/{captioning}.vectors"


class Gvf:
    """Global video features: pooled features of the start weights."""

    FILE = "results/gvf/{dataset}/{run}-{pool}.h5"


class Run:
    """A pretraining run: TSP, TAC, or released weights."""

    CONFIG = "results/pretrain/{run}/config.yaml"
    ENCODER = "results/pretrain/{run}/encoder.safetensors"
    FACTS = "results/pretrain/{run}/encoder.json"
    LOG = "results/pretrain/{run}/log.jsonl"
    WORK = "results/pretrain/{run}/work"


class Features:
    """Clip features of a run: shards and whole subsets."""

    FILE = "results/features/{run}/stride{stride}/{dataset}-{subset}.h5"
    SHARD = "results/features/{run}/stride{stride}/{dataset}-{subset}.{shard}.h5"
    WORK = "results/features/{run}/stride{stride}/work/{dataset}-{subset}.{shard}"

    @staticmethod
    def named(name: str) -> str:
        """The file that the configuration names `<run>/stride<n>/<dataset>-<subset>`."""
        return f"results/features/{name}.h5"


class Labels:
    """Video-level class scores from the action head of a run."""

    FILE = "results/labels/{run}/stride{stride}/{dataset}-{subset}.json"


class Experiment:
    """A localiser on one data set, and the proposals it refines."""

    CONFIG = "results/experiments/{experiment}/config.yaml"
    PROPOSALS = "results/experiments/{experiment}/proposals/{run}/{side}.txt"


class Training:
    """Its training on the features of one run with one seed."""

    WEIGHTS = "results/experiments/{experiment}/{run}/seed{seed}/weights.safetensors"
    FACTS = "results/experiments/{experiment}/{run}/seed{seed}/weights.json"
    LOG = "results/experiments/{experiment}/{run}/seed{seed}/log.jsonl"
    WORK = "results/experiments/{experiment}/{run}/seed{seed}/work"
    RAW = "results/experiments/{experiment}/{run}/seed{seed}/raw.h5"
    RAW_TRAIN = "results/experiments/{experiment}/{run}/seed{seed}/raw_train.h5"
    PREDICTIONS = "results/experiments/{experiment}/{run}/seed{seed}/predictions.json"
    PROPOSALS = "results/experiments/{experiment}/{run}/seed{seed}/proposals.json"
    SCORES = "results/experiments/{experiment}/{run}/seed{seed}/scores.json"
    SWEEP_CSV = "results/experiments/{experiment}/{run}/seed{seed}/sweep.csv"
    SWEEP_MD = "results/experiments/{experiment}/{run}/seed{seed}/sweep.md"


class Sound:
    """Sound features: shards and whole subsets."""

    FILE = "results/sound/{sound}/{dataset}-{subset}.h5"
    SHARD = "results/sound/{sound}/{dataset}-{subset}.{shard}.h5"


class Captioning:
    """Dense captioning (BMT) of one data set."""

    CONFIG = "results/captions/{captioning}/config.yaml"


class Captions:
    """Its training on the features of one run with one seed."""

    CAPTIONER = "results/captions/{captioning}/{run}/seed{seed}/captioner.safetensors"
    CAPTIONER_FACTS = "results/captions/{captioning}/{run}/seed{seed}/captioner.json"
    CAPTIONER_LOG = "results/captions/{captioning}/{run}/seed{seed}/captioner.jsonl"
    CAPTIONER_WORK = "results/captions/{captioning}/{run}/seed{seed}/work-captioner"
    PROPOSALS = "results/captions/{captioning}/{run}/seed{seed}/proposals.safetensors"
    PROPOSALS_FACTS = "results/captions/{captioning}/{run}/seed{seed}/proposals.json"
    PROPOSALS_LOG = "results/captions/{captioning}/{run}/seed{seed}/proposals.jsonl"
    PROPOSALS_WORK = "results/captions/{captioning}/{run}/seed{seed}/work-proposals"
    SEGMENTS = "results/captions/{captioning}/{run}/seed{seed}/segments.json"
    CAPTIONS = "results/captions/{captioning}/{run}/seed{seed}/captions.json"
    ANNOTATED = "results/captions/{captioning}/{run}/seed{seed}/annotated-{reference}.json"
    SCORES = "results/captions/{captioning}/{run}/seed{seed}/scores.json"


class Table:
    """Tables: ours, published, difference."""

    CSV = "results/tables/{table}.csv"
    MD = "results/tables/{table}.md"
    HTML = "results/tables/{table}.html"


class Report:
    """The report, its figures, and pages of captioned examples."""

    PAGE = "results/report/index.html"
    CAPTIONS = "results/report/captions/{table}.html"
    FIGURES = "results/report/figures/{table}"
    FIGURE = "results/report/figures/{table}/{figure}.png"
    PRINT = "results/report/figures/{table}/{figure}.pdf"
    DATA = "results/report/figures/{table}/{figure}.csv"
    EVENTS = "results/report/figures/{table}/events.png"
    OVERLAY = "results/report/figures/{table}/overlay.mp4"


class Logs:
    """Log and measured resources of each job."""

    LOG = "logs/{rule}/{job}.log"
    BENCHMARK = "logs/{rule}/{job}.tsv"


TREE = (
    *(Data, Released, Gvf, Run, Features, Labels),
    *(Experiment, Training, Sound, Captioning, Captions),
    *(Table, Report, Logs),
)


def patterns(folder: type) -> dict[str, str]:
    """Name and pattern of each path of one class of the tree, in order."""
    return {name: value for name, value in vars(folder).items() if name.isupper()}


def tree() -> str:
    """The results tree as text, for docs/architecture.md: what each folder is, and the paths below it."""
    lines = []
    for folder in TREE:
        found = [path + "/" * is_folder(path) for path in patterns(folder).values()]
        top = os.path.commonpath([path.rpartition("/")[0] for path in found]) + "/"
        title = found[0] if len(found) == 1 else top
        lines.append(f"{title:59} {(folder.__doc__ or '').removesuffix('.')}")
        if len(found) > 1:
            below = ", ".join(path.removeprefix(top) for path in found)
            lines += textwrap.wrap(below, 116, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(lines)


def is_folder(path: str) -> bool:
    """Whether a pattern is that of a folder."""
    return re.search(r"\.\w+$", path) is None
