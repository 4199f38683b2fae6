"""Run every benchmark and write the output, with machine and versions, to docs/performance.md."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs/performance.md"
PACKAGES = ("torch", "torchvision", "numpy", "av", "pandas")


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} processors"


def gpu() -> str:
    code = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else 'none available')"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def commit() -> str:
    call = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    return subprocess.run(call, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def head() -> list[str]:
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return [
        "# Performance",
        "",
        "**For** developers who change a hot path, and users who want to know what to expect.",
        "**You get** the output of every file in `benchmarks/`. Each compares our implementation with the",
        "straightforward published formulation in one run; a missed target is printed as missed.",
        "",
        "## Steps",
        "",
        "`make bench` runs all benchmarks and rewrites this page; `python benchmarks/<name>.py` runs one.",
        "",
        "## Reference",
        "",
        f"- Machine: {processor()}; GPU: {gpu()}",
        f"- Python {platform.python_version()}, {versions}; commit {commit()}; {datetime.now(UTC):%Y-%m-%d}",
        "",
    ]


def main() -> None:
    page, missed = head(), []
    for file in sorted(HERE.glob("*.py")):
        if file.name in (Path(__file__).name, "gpu.py"):  # that one writes a page of its own
            continue
        print(f"== {file.name}", flush=True)
        done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, check=False)
        print(done.stdout + done.stderr, flush=True)
        first = file.read_text().split('"""')[1].strip().split("\n\n")[0]
        page += [f"### benchmarks/{file.name}", "", first, "", "```text", done.stdout.rstrip()]
        if done.returncode:
            missed.append(file.name)
            page += [done.stderr.strip().splitlines()[-1]]
        page += ["```", ""]
    PAGE.write_text("\n".join(page))
    print(f"written: {PAGE}")
    if missed:
        sys.exit(f"error: missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
