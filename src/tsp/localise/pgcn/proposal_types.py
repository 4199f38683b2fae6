"""Types of proposals (foreground, incomplete, background), their regression targets, and the draws of training.

P nodes of a video's training graph, R roots of a sample.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsp.localise.pgcn.proposal_lists import Listed
from tsp.segments import tiou

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FOREGROUND, INCOMPLETE, BACKGROUND, NO_TYPE = range(4)
Lengths = Literal["plain", "plus_one"]
EmptyPool = Literal["mask", "foreground"]


@dataclass(frozen=True, kw_only=True)
class TypeRules:
    """Bounds of the three types, all exclusive. Defaults: THUMOS14."""

    foreground_above: float = 0.7
    """Best tIoU of a foreground proposal; instances are foreground too."""
    incomplete_below: float = 0.3
    """Best tIoU of an incomplete proposal: 0.3 for THUMOS14, 0.6 for ActivityNet."""
    incomplete_overlap: float = 0.01
    """Share of it that must lie in the instance: above 0.01 for THUMOS14, above 0 for ActivityNet."""
    background_below: float = 0.01
    """Best tIoU of a background proposal: 0.01 for THUMOS14, 0.1 for ActivityNet."""
    background_coverage: float = 0.02
    """Its length as a share of the video: above 0.02 for THUMOS14, above 0 for ActivityNet."""


def types(video: Listed, rules: TypeRules) -> Ints:
    """Type code of each proposal, `[n]`; `NO_TYPE` for those in no pool.

    Paper: P-GCN section 3.4 (training) and the released configuration.
    """
    incomplete = (video.best_iou < rules.incomplete_below) & (video.overlap_self > rules.incomplete_overlap)
    background = (video.best_iou < rules.background_below) & (video.coverage > rules.background_coverage)
    codes = np.full(len(video.segments), NO_TYPE)
    codes[background] = BACKGROUND
    codes[incomplete] = INCOMPLETE
    codes[video.best_iou > rules.foreground_above] = FOREGROUND
    return codes


def regression_targets(segments: ArrayLike, instances: ArrayLike, lengths: Lengths = "plain") -> Floats:
    """Offset of the centre and logarithm of the length of the instance of largest tIoU, its class ignored.

    Args:
        segments: `[n, 2]` frames.
        instances: `[M, 2]` frames, M at least 1.
        lengths: end - start, as the predictions are decoded; or end - start + 1.

    Returns:
        `[n, 2]`: (centre' - centre) / length and ln(length' / length).

    Paper: P-GCN section 3.3 (boundary regression).
    Differs: released code counts end - start + 1 here but not when it decodes: `plus_one`.
    """
    own, truth = (np.asarray(x, np.float64).reshape(-1, 2) for x in (segments, instances))
    truth = truth[tiou(own, truth).argmax(1)]
    extra = 1.0 if lengths == "plus_one" else 0.0
    own_length, true_length = (x[:, 1] - x[:, 0] + extra for x in (own, truth))
    return np.stack([(truth.sum(1) - own.sum(1)) / 2 / own_length, np.log(true_length / own_length)], axis=1)


@dataclass(frozen=True, kw_only=True)
class Pools:
    """Nodes of a video's training graph: foreground, incomplete, background, then those of no type.

    Args:
        segments: `[P, 2]` frames.
        labels: `[P]` training target: the class, 0 for background.
        targets: `[P, 2]` regression targets; 0 for all but foreground proposals.
        counts: foreground, incomplete and background nodes.
        n_proposals: foreground nodes that are proposals; the others are instances.
    """

    segments: Ints
    labels: Ints
    targets: Floats
    counts: tuple[int, int, int]
    n_proposals: int


def make_pools(video: Listed, rules: TypeRules, *, lengths: Lengths = "plain", everything: bool = False) -> Pools:
    """The training nodes of a video.

    Args:
        video: of a list.
        rules: bounds of the types.
        lengths: see `regression_targets`.
        everything: include proposals of no type, as at inference; they are never drawn as roots.
    """
    codes = types(video, rules)
    per_type = [np.flatnonzero(codes == code) for code in (FOREGROUND, INCOMPLETE, BACKGROUND)]
    rest = np.flatnonzero(codes == NO_TYPE) if everything else np.zeros(0, np.int64)
    foreground, incomplete, background = per_type
    segments = np.concatenate([video.segments[foreground], video.instances, video.segments[incomplete],
                               video.segments[background], video.segments[rest]])  # fmt: skip
    labels = np.concatenate([video.labels[foreground], video.instance_labels, video.labels[incomplete],
                             np.zeros(len(background) + len(rest), np.int64)])  # fmt: skip
    targets = np.zeros((len(segments), 2))
    if len(foreground):
        targets[: len(foreground)] = regression_targets(video.segments[foreground], video.instances, lengths)
    counts = (len(foreground) + len(video.instances), len(incomplete), len(background))
    return Pools(segments=segments, labels=labels, targets=targets, counts=counts, n_proposals=len(foreground))


def target_statistics(pools: Iterable[Pools]) -> tuple[Floats, Floats]:
    """Mean `[2]` and population standard deviation `[2]` of the targets of all foreground proposals.

    Without any, 0 and 1; a constant coordinate has deviation 1.
    """
    found = np.concatenate([np.zeros((0, 2)), *(p.targets[: p.n_proposals] for p in pools)])
    if not len(found):
        return np.zeros(2), np.ones(2)
    deviation = found.std(axis=0)
    return found.mean(axis=0), np.where(deviation > 0, deviation, 1.0)


def draw_roots(
    pools: Pools, roots: tuple[int, int, int], rng: np.random.Generator, empty: EmptyPool
) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """Draw the roots of a sample, each independently and uniformly from the pool of its type.

    Args:
        pools: of a video with at least one foreground node.
        roots: foreground, incomplete and background roots.
        rng: of the sample.
        empty: replacement for a type that the video lacks: roots masked in all losses (`mask`), or foreground
            (`foreground`).

    Returns:
        `[R]` nodes, `[R]` type codes, `[R]` whether it counts.

    Differs: released code replaces missing incomplete proposals by foreground, which the completeness loss then treats
        as negatives: `foreground`.
    """
    offsets = np.cumsum((0, *pools.counts))
    nodes, codes, used = [], [], []
    for code, wanted in enumerate(roots):
        missing = pools.counts[code] == 0
        source = FOREGROUND if missing else code
        nodes.append(offsets[source] + rng.integers(pools.counts[source], size=wanted))
        codes.append(np.full(wanted, source if missing and empty == "foreground" else code))
        used.append(np.full(wanted, not missing or empty == "foreground"))
    return np.concatenate(nodes), np.concatenate(codes), np.concatenate(used)
