import numpy as np
import pytest
from unit.localise.make import SUBSETS, make_set
from unit.localise.pgcn.make import segments_of, train

from tsp.localise.pgcn.proposal_lists import write_proposals


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A small data set with proposals, and one training on it."""
    folder = tmp_path_factory.mktemp("pgcn")
    videos = make_set(folder)
    rng = np.random.default_rng(0)
    found = {v.name: (segments_of(v, rng), rng.random(80)) for v in videos}
    for name, official in SUBSETS.items():
        write_proposals(
            found,
            annotations=folder / "annotations.json",
            subset=official,
            metadata=None,
            keep=60,
            output=folder / f"{name}.txt",
        )
    train(folder, folder / "seed0")
    return folder
