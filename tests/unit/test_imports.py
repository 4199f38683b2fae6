"""Who may import whom (docs/architecture.md)."""

import ast

LAYERS = [
    ["errors"],
    ["names", "types", "segments", "progress", "resolve"],
    ["io"],
    ["datasets", "video", "evaluation"],
    ["encoders"],
    ["training"],
    ["pretrain", "features", "localise", "caption"],
    ["report"],
    ["config"],
    ["plan", "apply", "steps", "job", "sweep"],
    ["cli", "__main__"],
]
RANK = {area: rank for rank, areas in enumerate(LAYERS) for area in areas}
# A `config.py` holds plain dataclasses: the top of the package reads them all without importing torch.
TORCH_FREE = {"errors", "names", "types", "segments", "progress", "resolve", "io", "datasets", "evaluation", "report"}
TORCH = {"torch", "torchvision", "safetensors.torch"}


def modules(repository):
    root = repository / "src" / "tsp"
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts != ("__init__",):
            yield path, parts


def imports(path):
    """Names imported when the module is imported: those inside functions are meant to be late."""
    tree = ast.parse(path.read_text())
    late = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    for node in ast.walk(tree):
        if id(node) in late:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def faults(repository):
    for path, parts in modules(repository):
        area = parts[0]
        for name in imports(path):
            words = name.split(".")
            if words[0] == "tsp" and len(words) > 1 and RANK[words[1]] > RANK[area]:
                yield f"{path}: {area} imports {name}, which is above it"
            if words[0] == "snakemake":
                yield f"{path}: the library knows nothing of Snakemake"
            torch = name in TORCH or words[0] in ("torch", "torchvision")
            if torch and (area in TORCH_FREE or parts[-1] == "config" or area in ("config", "plan", "steps", "cli")):
                yield f"{path}: imports {name}; this part is torch-free"


def test_imports_only_point_downward(repository):
    assert list(faults(repository)) == []


def test_every_area_has_a_rank(repository):
    assert {parts[0] for _, parts in modules(repository)} <= set(RANK)


def test_the_check_sees_a_fault(tmp_path):
    bad = tmp_path / "src" / "tsp" / "io"
    bad.mkdir(parents=True)
    (bad / "x.py").write_text("import torch\nfrom tsp.report import page\nimport snakemake\n")
    assert len(list(faults(tmp_path))) == 3
