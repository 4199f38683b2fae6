"""Stands in for the `conda` command: implements the calls of Snakemake with the channel in $TEST_CHANNEL.

conda itself cannot be installed by pip; py-rattler, which solves and installs as conda does, can.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import yaml
from rattler import Gateway, install, solve

CHANNEL = os.environ["TEST_CHANNEL"]


async def create(file: Path, prefix: Path) -> None:
    """`conda env create --file FILE --prefix PREFIX`."""
    specs = [entry.replace(" =", " ==", 1) if entry.count(".") > 1 else entry for entry in dependencies(file)]
    gateway = Gateway(cache_dir=Path(CHANNEL).parent / "gateway")
    records = await solve([Path(CHANNEL).as_uri()], specs, gateway=gateway, platforms=["linux-64", "noarch"])
    await install(records, prefix, cache_dir=Path(CHANNEL).parent / "cache", show_progress=False)
    # py-rattler's threads may crash a Python that is shutting down; everything is written by now.
    os._exit(0)


def dependencies(file: Path) -> list[str]:
    """The packages that an environment file requests."""
    return list(yaml.safe_load(file.read_text())["dependencies"])


def main(words: list[str]) -> None:
    home = str(Path(sys.argv[0]).parents[1])
    if words[:2] == ["env", "create"]:
        asyncio.run(create(*(Path(words[words.index(f"--{key}") + 1]) for key in ("file", "prefix"))))
    elif words[0] == "--version":
        print("conda 25.9.1")
    elif words[0] == "info":
        print(json.dumps({"conda_prefix": home, "platform": "linux-64"}))
    elif words[0] == "config":
        print(json.dumps({"get": {"channel_priority": "strict"}}))
    elif words[0] != "clean":
        sys.exit(f"this stand-in does not implement 'conda {' '.join(words)}'")


if __name__ == "__main__":
    main(sys.argv[1:])
