"""Encoder with classification heads, and the TSP loss.

Axes: B batch, C channels, L clip frames, H W pixels, D feature, G global video feature, K classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tsp.training.task import LossTerm

# Label of a clip that does not count for a head.
MISSING = -1


class TspModel(nn.Module):
    """An encoder `features` with one head `fc`, or with `fc1` (action) and `fc2` (temporal region).

    Args:
        features: network with `feature_dim`.
        classes: number of classes of each head, by name: `{"action": K, "region": 2}` or one of them.
        gvf_dim: length G of the global video feature, concatenated to the clip's feature for the region head; 0: none.

    Paper: section 3.2, 3.3. Head weights start from N(0, 0.01^2), biases from 0.
    Differs: the released code gives a GVF to the region head only where there are two heads.
    """

    def __init__(self, features: nn.Module, classes: Mapping[str, int], gvf_dim: int = 0) -> None:
        super().__init__()
        self.features = features
        self.names = {"fc": next(iter(classes))} if len(classes) == 1 else {"fc1": "action", "fc2": "region"}
        self.gvf_dim = gvf_dim
        dim: int = features.feature_dim  # type: ignore[assignment]
        for layer, head in self.names.items():
            linear = nn.Linear(dim + (gvf_dim if head == "region" else 0), classes[head])
            nn.init.normal_(linear.weight, std=0.01)
            nn.init.zeros_(linear.bias)
            self.add_module(layer, linear)

    def forward(self, clips: Tensor, gvf: Tensor | None = None) -> dict[str, Tensor]:
        """Logits of each head.

        Args:
            clips: `[B, 3, L, H, W]` float, normalised.
            gvf: `[B, G]` float, required if `gvf_dim` is set.

        Returns:
            head name -> `[B, K]`.
        """
        local = self.features(clips)
        logits = {}
        for layer, head in self.names.items():
            seen = local
            if head == "region" and self.gvf_dim:
                if gvf is None:
                    raise TypeError("this model's region head needs the global video features of the clips")
                seen = torch.cat([local, gvf.to(local.dtype)], dim=1)
            logits[head] = self.get_submodule(layer)(seen)
        return logits


def head_losses(
    logits: Mapping[str, Tensor], labels: Mapping[str, Tensor], weights: Mapping[Any, float]
) -> dict[str, LossTerm]:
    """Cross entropy of each head over its labelled clips.

    Args:
        logits: head -> `[B, K]`.
        labels: head -> `[B]` int64 class, or -1 where the clip has none (background has no action).
        weights: head -> factor alpha.

    Returns:
        Sums and counts; the loss is the weighted sum of the means, 0 for a head without a labelled clip.

    Paper: equation 1: foreground clips count in both terms, background clips in the region term.
    Differs: the released code is NaN for a batch without foreground.
    """
    return {
        head: LossTerm(
            F.cross_entropy(scores.float(), labels[head], ignore_index=MISSING, reduction="sum"),
            (labels[head] != MISSING).sum(),
            weights.get(head, 1.0),
        )
        for head, scores in logits.items()
    }


def head_hits(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Number of correct top-1 predictions among labelled clips, and number of labelled clips.

    Args:
        scores: `[B, K]`.
        labels: `[B]`, -1 for unlabelled.
    """
    labelled = labels != MISSING
    return ((scores.argmax(1) == labels) & labelled).sum(), labelled.sum()


def average_accuracy(accuracies: Sequence[float]) -> float:
    """Mean of the heads' accuracies; it picks the epoch."""
    return sum(accuracies) / len(accuracies)
