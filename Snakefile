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

from tsp.config.check import check_settings
from tsp.config.load import FILES
from tsp.errors import TspError
from tsp.plan import paths
from tsp.plan.identity import code, modules_alone
from tsp.plan.inputs import inputs, one_of
from tsp.plan.report import FEATURE_FIGURES, FIGURES
from tsp.plan.rules import Plan

# Steps are processes of their own.
os.environ |= {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT / "src"), os.getenv("PYTHONPATH")]))}


configfile: ROOT / "config/config.yaml"
configfile: ROOT / "config/runs.yaml"
configfile: ROOT / "config/experiments.yaml"
configfile: ROOT / "config/tables.yaml"


if config.get("preset") == "demo":

    configfile: ROOT / "config/demo.yaml"


# Where each value was written, in order of merging, for the messages about faults.
config_files = [ROOT / "config" / name for name in FILES]
config_files += [ROOT / "config/demo.yaml"] if config.get("preset") == "demo" else []
config_files += [Path(path) for path in workflow.configfiles if Path(path) not in config_files]
try:
    plan = Plan(check_settings(config, config_files), config)
except TspError as error:
    raise WorkflowError(str(error)) from None


wildcard_constraints:
    dataset=one_of(plan.settings.datasets),
    subset=one_of(plan.subsets),
    run=one_of(plan.settings.runs),
    experiment=one_of(plan.settings.experiments),
    captioning=one_of(plan.settings.captions),
    table=one_of(plan.settings.tables),
    shard=r"\d+",
    stride=r"\d+",
    seed=r"\d+",
    reference=r"\d+",
    pool="max|avg",
    side="train|valid",
    sound="vggish|statistics",


include: "rules/data.smk"
include: "rules/pretrain.smk"
include: "rules/features.smk"
include: "rules/localise.smk"
include: "rules/caption.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"


onstart:
    # Without this check Snakemake ends with a bare OSError at the first output.
    results = Path(paths.RESULTS)
    if results.exists() and not os.access(results, os.W_OK):
        raise WorkflowError(f"error: {results.resolve()}: cannot be written; fix its permissions or its mount")


rule all:
    """Tables, figures and report of the preset."""
    default_target: True
    input:
        plan.report.built_tables,
        plan.report.built_features,
        plan.report.findings,
        paths.Report.PAGE,


rule features:
    """Every feature file that the preset's tables need."""
    input:
        plan.report.table_features,
        plan.report.built_features,


rule tables:
    """Only the tables."""
    input:
        plan.report.built_tables,


rule ablations:
    """The tables of the ablations."""
    input:
        plan.report.ablation_tables,


rule captions:
    """The tables of dense captioning, and pages with examples; scores need Java."""
    input:
        plan.report.caption_tables,
        plan.report.caption_pages,


# `snakemake table_NAME` makes one table, `snakemake run_NAME` the weights of one run.
for name in plan.settings.tables:

    rule:
        name:
            f"table_{name}"
        input:
            paths.Table.MD.format(table=name),


for name in plan.settings.runs:

    rule:
        name:
            f"run_{name}"
        input:
            paths.Run.ENCODER.format(run=name),


onerror:
    # Snakemake's own files need space too; its message does not say what to do.
    free = shutil.disk_usage(".").free
    if free < 10_000_000:
        print(
            f"error: the disk of {Path.cwd()} is full, {free:,} bytes are available: "
            "free some space, then run the same command again",
            file=sys.stderr,
        )
