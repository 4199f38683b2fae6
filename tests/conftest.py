"""What every test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).parents[1]
# Processes that tests start find the library as the tests do.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY / "src"), os.environ.get("PYTHONPATH")]))
# Workers share the processors: threads of their own would only wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# A test is about its result; how long an example takes says more about the machine.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole workflows first, so that no worker is left with one at the end."""
    items.sort(key=lambda item: item.path.parent.name not in ("workflow", "steps", "deployment"))


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with official annotations and real videos; not part of the repository."""
    folder = Path(os.environ.get("TSP_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no official data in {folder}; set TSP_SHARED to the folder that holds `data`")
    return folder
