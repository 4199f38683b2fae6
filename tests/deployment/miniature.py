"""The miniature through `--sdm conda`, compared with a run without conda: `make conda-test`, or this script.

Both runs start from an empty folder and make the default target. The environments come from the stand-in channel.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from deployment.channel import make_conda, snakemake_in_conda  # noqa: E402
from deployment.imports import environments  # noqa: E402


def call(command: list[str], variables: dict[str, str]) -> None:
    """Run a workflow; the last lines of its output are shown if it fails."""
    done = subprocess.run(command, env=variables, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"{done.stdout[-4000:]}\nerror: {' '.join(command)} failed")


def main() -> int:
    """Run, compare, and return the status of the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, help="results of a run without conda; default: one is made")
    parser.add_argument("--keep", type=Path, help="folder for the run, which is kept; default: a temporary one")
    args = parser.parse_args()
    if find_spec("rattler") is None:
        print("skipped: py-rattler is not installed")
        return 0
    with tempfile.TemporaryDirectory(prefix="tsp-conda-") as temporary:
        conda, folder = Path(temporary), args.keep or Path(temporary) / "run"
        make_conda(conda, {entry.split()[0] for entries in environments().values() for entry in entries})
        call(*snakemake_in_conda(conda, folder))
        print(f"run in {len(list((conda / 'envs').glob('*.yaml')))} environments", flush=True)
        results = args.results
        if results is None:
            plain = [sys.executable, "-m", "snakemake", "--cores", "2", "--snakefile", str(ROOT / "Snakefile")]
            call([*plain, "--directory", str(conda / "plain")], dict(os.environ))
            results = conda / "plain/results"
        # Checksums of videos vary from run to run, because ffmpeg's order of packets does; captions are another target.
        options = ["--other-encoder", "--without", "captions", "sound/"]
        command = [sys.executable, ROOT / "tests/compare.py", results, folder / "results", *options]
        return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main())
