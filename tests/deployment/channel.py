"""A conda channel in a folder: the packages of this Python environment under conda-forge's names, by links.

Each package holds links to one installed distribution and names those it depends on, so that an environment made
from the channel can import what its file asks for, with dependencies, and nothing else.
"""

import io
import json
import re
import sys
import sysconfig
import tarfile
from collections.abc import Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ON_PYPI = {"pytorch": "torch", "pyyaml": "PyYAML"}
ON_CONDA = {name.lower(): conda for conda, name in ON_PYPI.items()}
# Installed by pip inside wheels, or not at all; here a name and a version without content.
PROGRAMS = {"ffmpeg": "8.0", "deno": "2.5.0", "openjdk": "21.0.8"}
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
SITE = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


def conda_name(name: str) -> str:
    """What conda-forge calls a distribution of PyPI."""
    plain = re.sub(r"[-_.]+", "-", name).lower()
    return ON_CONDA.get(plain, plain)


def build_channel(folder: Path, wanted: set[str]) -> None:
    """Write the packages `wanted` and all that they depend on to `folder/noarch`."""
    (folder / "noarch").mkdir(parents=True)
    base = Path(sysconfig.get_config_var("BINDIR")) / f"python{VERSION.rpartition('.')[0]}"
    cfg = f"home = {base.parent}\ninclude-system-site-packages = false\nversion = {VERSION}\n"
    _write(folder, "python", VERSION, [], {"bin/python": base, "pyvenv.cfg": cfg})
    for name, version in PROGRAMS.items():
        _write(folder, name, version, [], {})
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
