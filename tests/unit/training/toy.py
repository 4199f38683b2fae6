"""A small task with dropout and batch norm, whose data draw from (seed, epoch, index)."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from tsp.training.seeds import item_rng, seed_everything
from tsp.training.task import LossTerm


class Points(Dataset):
    def __init__(self, size=22, *, seed=0, noise=0.1):
        self.size, self.seed, self.noise, self.epoch = size, seed, noise, 0

    def __len__(self):
        return self.size

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __getitem__(self, index):
        x = item_rng(99, 0, index).normal(size=3) + self.noise * item_rng(self.seed, self.epoch, index).normal(size=3)
        # Every third item has no label.
        return torch.tensor(x, dtype=torch.float32), -1 if index % 3 == 0 else int(x[0] > 0)


class Sparse(Points):
    """Few labels, so that some replicas and some whole batches have none."""

    def __getitem__(self, index):
        x, label = super().__getitem__(index)
        return x, label if index % 9 == 1 else -1


class Classify:
    metric = "accuracy"
    higher_is_better = True

    def __init__(self, *, plain=False, lr=0.1):
        seed_everything(3)
        middle = {True: [], False: [nn.BatchNorm1d(8), nn.Dropout(0.3)], "norm": [nn.BatchNorm1d(8)]}[plain]
        self.model = nn.Sequential(nn.Linear(3, 8), *middle, nn.ReLU(), nn.Linear(8, 2))
        self.lr = lr

    def param_groups(self):
        return [{"params": self.model.parameters(), "lr": self.lr, "name": "all"}]

    def loss(self, batch):
        x, label = batch
        logits = self.model(x)
        total = F.cross_entropy(logits, label, ignore_index=-1, reduction="sum")
        return {
            "label": LossTerm(total, (label >= 0).sum()),
            "size": LossTerm(logits.square().sum(), len(x), weight=0.01),
        }

    def validate(self, batches):
        right, count = 0, 0
        for x, label in batches:
            mask = label >= 0
            right += (self.model(x).argmax(1) == label)[mask].sum()
            count += mask.sum()
        return {"accuracy": LossTerm(torch.as_tensor(right), count)}


def one_process(folder, data, config, plain=True):
    """Fit and save, as a function that `launch` can start anywhere."""
    from pathlib import Path

    from tsp.training import distributed
    from tsp.training.fit import fit

    task = Classify(plain=plain)
    result = fit(task, data, Points(10, noise=0.0), config, folder, device="cpu")
    if distributed.rank() == 0:
        torch.save({"state": result.state, "history": result.history}, Path(folder) / "result.pt")
