"""HDF5 files on a file system without locks."""

import ctypes.util
import os
import shutil
import subprocess
import sys

import h5py
import pytest

from tsp.io.hdf5 import open_hdf5

SHIM = """
#include <errno.h>
int flock(int file, int operation) { errno = CODE; return -1; }
"""
PROGRAM = """
import sys
from tsp.io.hdf5 import open_hdf5
with open_hdf5(sys.argv[1], "w") as file:
    file["x"] = [1.0, 2.0]
with open_hdf5(sys.argv[1]) as file:
    print(file["x"][:].tolist())
"""


@pytest.mark.parametrize("code", [37, 95])
def test_without_locks_of_the_file_system(tmp_path, code):
    """`flock` is replaced by one that fails as on such a file system."""
    compiler = shutil.which("cc")
    if compiler is None or ctypes.util.find_library("c") is None:
        pytest.skip("no C compiler")
    (tmp_path / "shim.c").write_text(SHIM.replace("CODE", str(code)))
    subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "shim.so", tmp_path / "shim.c"], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(tmp_path / "shim.so"), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "a.h5")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "[1.0, 2.0]\n", done.stderr
    assert done.stderr.count("the file system has no locks; opened without one") == 2


def test_other_errors_stay_errors(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w"), pytest.raises(OSError, match="unable to"):
        open_hdf5(tmp_path / "a.h5", "w")
    (tmp_path / "b.h5").write_bytes(b"no HDF5")
    with pytest.raises(OSError, match="signature"):
        open_hdf5(tmp_path / "b.h5")
