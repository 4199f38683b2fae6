"""TSP, from raw untrimmed videos to the paper's tables.

snakemake --cores all                          the embedded miniature (preset demo): its table and report
snakemake --cores all --config preset=paper    ActivityNet v1.3 and THUMOS14 as in the paper
snakemake --cores all ablations                the tables of the ablations
snakemake --cores all captions                 the tables of dense captioning
snakemake -n table_NAME                        what one table would run (likewise run_NAME, or any file)
"""

import os
import shutil
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.20")

ROOT = Path(workflow.basedir)
# A fresh clone runs without an install; step environments hold dependencies only.
sys.path.insert(0, str(ROOT / "src"))
os.environ |= {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT / "src"), os.getenv("PYTHONPATH")]))}


configfile: ROOT / "config/config.yaml"
configfile: ROOT / "config/runs.yaml"
configfile: ROOT / "config/experiments.yaml"
configfile: ROOT / "config/tables.yaml"


if config.get("preset") == "demo":

    configfile: ROOT / "config/demo.yaml"


include: "rules/common.smk"
include: "rules/common_localise.smk"
include: "rules/common_report.smk"
include: "rules/common_captions.smk"
include: "rules/data.smk"
include: "rules/pretrain.smk"
include: "rules/features.smk"
include: "rules/localise.smk"
include: "rules/caption.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"


onstart:
    check_writable("results")


rule all:
    """Tables, figures and report of the preset."""
    default_target: True
    input:
        built_tables,
        built_features,
        "results/report/index.html",


rule features:
    """Every feature file that the preset's tables need."""
    input:
        table_features,
        built_features,


rule tables:
    """The tables alone."""
    input:
        built_tables,


rule ablations:
    """The tables of the ablations."""
    input:
        [f"results/tables/{table}.md" for table in SETTINGS.build.ablations],


rule captions:
    """The tables of dense captioning, and pages with examples; scores need Java."""
    input:
        [f"results/tables/{table}.md" for table in SETTINGS.build.captions],
        [caption_page(table) for table in SETTINGS.build.captions],


# `snakemake table_NAME` makes one table, `snakemake run_NAME` the weights of one run.
for name in SETTINGS.tables:

    rule:
        name:
            f"table_{name}"
        input:
            f"results/tables/{name}.md",


for name in SETTINGS.runs:

    rule:
        name:
            f"run_{name}"
        input:
            f"results/pretrain/{name}/encoder.safetensors",


onerror:
    # Snakemake's own files need room too; its message about them does not say what to do.
    free = shutil.disk_usage(".").free
    if free < 10_000_000:
        print(
            f"error: the disk of {Path.cwd()} is full, {free:,} bytes are left: "
            "free some space, then run the same command again",
            file=sys.stderr,
        )
