"""A small results folder with records, made by hand."""

import json
from pathlib import Path

from tsp.io.files import sha256

TOOLS = {"python": "3.11.2", "torch": "2.6.0"}
ROWS = [{"run": "tac", "label": "TAC features"}, {"run": "tsp", "label": "TSP features"}]
COLUMNS = [
    {"experiment": "gtad", "metric": "mAP@0.50", "title": "@0.5"},
    {"experiment": "gtad", "metric": "average_mAP", "title": "average"},
    {"experiment": "bmn", "metric": "AUC", "title": "AUC"},
]
ENTRY = {
    "title": "Both",
    "rows": ROWS,
    "columns": COLUMNS,
    "differences": [{"title": "TSP - TAC", "minuend": "tsp", "subtrahend": "tac"}],
}


class Tree:
    """Writes outputs with their records below a working directory.

    Args:
        folder: the working directory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def output(self, path, rule, inputs=(), *, text=None, sources=None, wildcards=None, params=None, **facts):
        """Write an output and its record."""
        file = self.write(path, path if text is None else text)
        record = {
            "sha256": sha256(file),
            "bytes": file.stat().st_size,
            "rule": rule,
            "wildcards": wildcards or {},
            "code": "0123456789ab",
            "modules": {},
            "params": params or {},
            "inputs": {name: sha256(self.folder / name) for name in inputs},
            "sources": sources or {},
            "tools": TOOLS,
            "host": "node7",
            "started": "2026-11-26T00:12:40+00:00",
            "seconds": 90.0,
            "version": "0.1.0",
            "kept": False,
            "overrides": [],
            **facts,
        }
        self.write(f"results/.made/{path}.json", json.dumps(record))
        return path

    def write(self, path, text) -> Path:
        """Write a file."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def table(self) -> str:
        """Two rows, three columns and two seeds, down to annotations, a local video and an address."""
        video = self.write("data/a.mp4", "pixels")
        stat = video.stat()
        known = {"sha256": sha256(video), "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        web = {"address": "https://cdn.example.org/b.mp4", "ETag": '"77"', "Content-Length": 1234}
        self.write("data/annotations.json", "{}")
        download = self.output(
            "results/set/download/train.0.csv",
            "download",
            sources={str(video): known, "https://example.org/b.mp4": web},
            wildcards={"dataset": "set", "subset": "train", "shard": "0"},
            params={"config": {"workers": 8, "attempts": 3}, "store": "results/set/raw/train"},
        )
        annotations = self.output("results/set/annotations.json", "annotations", ["data/annotations.json"])
        scores = []
        for experiment in ("gtad", "bmn"):
            entry = {"method": f"tsp.localise.{experiment}", "dataset": "set", "settings": {"lr": 0.5, "bins": 32}}
            wildcards = {"experiment": experiment}
            path = f"results/experiments/{experiment}/config.yaml"
            config = self.output(path, "resolve_experiment", wildcards=wildcards, params={"entry": entry})
            for run in ("tac", "tsp"):
                scores += [
                    self.output(
                        f"results/experiments/{experiment}/{run}/seed{seed}/scores.json",
                        "evaluate",
                        [config, annotations, download],
                        wildcards={"experiment": experiment, "run": run, "seed": str(seed)},
                        params={"subsets": {"valid": "validation"}},
                    )
                    for seed in (0, 1)
                ]
        cells = [(e, r, s) for e in ("gtad", "bmn") for r in ("tac", "tsp") for s in (0, 1)]
        params = {"entry": ENTRY, "cells": cells}
        return self.output("results/tables/both.md", "table", scores, wildcards={"table": "both"}, params=params)
