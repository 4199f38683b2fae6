"""Names and files from outside never reach a shell, an interpreter or another folder."""

import ast
import http.server
import json
import re
import threading

import pytest
import yaml

from tsp.config.load import LOADER
from tsp.datasets.listing import write_canonical, write_list
from tsp.errors import TspError
from tsp.io.annotations import read_annotations
from tsp.io.tables import read_manifest
from tsp.video.config import DownloadConfig, StandardiseConfig
from tsp.video.download import download_shard
from tsp.video.fetching import fetch
from tsp.video.pages import fetch_page
from tsp.video.probe import probe_shard
from tsp.video.standardise import standardise_shard

FOLDERS = ("src", "workflow", "benchmarks")
# Calls that hand text to a shell or an interpreter, or build objects of any kind from foreign bytes.
FORBIDDEN = {
    *("eval", "exec", "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads", "shelve.open"),
    *("joblib.load", "yaml.unsafe_load", "yaml.full_load", "tempfile.mktemp"),
}  # fmt: skip


# `LOADER` of tsp.config: the safe loader, in C where there is one.
SAFE_LOADERS = ("LOADER", "yaml.SafeLoader", "yaml.CSafeLoader")


def calls(tree):
    """(dotted name, call) of each call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keyword(call, name):
    return next((ast.unparse(k.value) for k in call.keywords if k.arg == name), None)


def faults(text):
    """Dangerous calls of a Python source."""
    tree = ast.parse(text)
    found = [
        f"class {node.name}({ast.unparse(base)})"
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if ast.unparse(base).endswith("Unpickler")
    ]
    for name, call in calls(tree):
        if name in FORBIDDEN or name.split(".")[-1] == "read_pickle":
            found.append(name)
        if name.startswith("subprocess.") and call.args and isinstance(call.args[0], (ast.Constant, ast.JoinedStr)):
            found.append(f"{name} of a string")
        if keyword(call, "shell") not in (None, "False"):
            found.append(f"{name}(shell=...)")
        if name.endswith("torch.load") and keyword(call, "weights_only") != "True":
            found.append(f"{name} without weights_only")
        if name == "yaml.load" and keyword(call, "Loader") not in SAFE_LOADERS:
            found.append("yaml.load of any object")
        if keyword(call, "allow_pickle") not in (None, "False"):
            found.append(f"{name}(allow_pickle=...)")
    return found


OWN = {
    # Finds no object but its own records: tests/unit/io/test_pickles.py.
    "src/tsp/io/pickles.py": ["class _Reader(pickle.Unpickler)"],
    # A training's call to its own processes: written by the process that starts them, read while it waits.
    "src/tsp/training/cluster.py": ["pickle.loads"],
}


def test_no_dangerous_call_in_the_product(repository):
    paths = [path for folder in FOLDERS for path in sorted((repository / folder).rglob("*.py"))]
    assert len(paths) > 100
    assert {str(p.relative_to(repository)): f for p in paths if (f := faults(p.read_text()))} == OWN


@pytest.mark.parametrize(
    "line",
    [
        "os.system('ls')",
        "subprocess.run('ls ' + x, shell=True)",
        "subprocess.run(f'ls {x}')",
        "subprocess.Popen(call, shell=flag)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "pickle.loads(data)",
        "class A(pickle.Unpickler): pass",
        "eval(text)",
        "yaml.load(text)",
    ],
)
def test_the_search_finds(line):
    assert faults(line)


def test_rules_have_no_shell_and_no_run_block(repository):
    """Every rule is a script; a `shell` would have to quote every wildcard."""
    for path in [repository / "Snakefile", *(repository / "rules").glob("*.smk")]:
        text = path.read_text()
        assert not re.search(r"^\s*(shell|run)\s*:", text, re.MULTILINE), path
        assert not re.search(r"\b(shell|os\.system|eval|exec)\(", text), path


def addresses(node, path=()):
    """(keys, entry) of every mapping with a `url`."""
    if isinstance(node, dict):
        if isinstance(node.get("url"), str):
            yield path, node
        for key, value in node.items():
            yield from addresses(value, (*path, key))


def test_downloads_are_encrypted_and_checked(repository):
    found = [
        (keys, entry)
        for name in ("config.yaml", "runs.yaml", "experiments.yaml", "tables.yaml", "demo.yaml")
        for keys, entry in addresses(yaml.safe_load((repository / "config" / name).read_text()))
    ]
    assert len(found) > 10
    for keys, entry in found:
        assert entry["url"].startswith("https://"), keys
    # Videos are many and have no published sums; the five released feature files have none in their names either.
    unchecked = {entry["url"]: keys for keys, entry in found if not entry.get("sha256") and "{" not in entry["url"]}
    assert all("features" in keys for keys in unchecked.values())
    assert len(unchecked) == 5


def test_configuration_is_read_by_the_safe_loader():
    assert LOADER.__name__ in ("SafeLoader", "CSafeLoader")


NAMES = {
    "up": "../../x",
    "absolute": "/etc/passwd",
    "nul": "a\0b",
    "line": "a\nb",
    "option": "-rf",
    "command": "$(touch pwned)`touch pwned`;touch pwned",
    "pipe": "|touch pwned",
    "long": "n" * 300,
    "wide": "\N{PILE OF POO}" * 70,
    "right_to_left": "a\N{RIGHT-TO-LEFT OVERRIDE}4pm.exe",
    "dots": "..",
    "quote": "'\"",
    "percent": "%(id)s%s{id}",
    "glob": "*?[a]",
    "space": " ",
}
KEPT = {"option", "command", "pipe", "quote", "percent", "glob", "space", "dots"}


@pytest.fixture
def chain(tmp_path, monkeypatch):
    """From annotations with hostile names to the probe manifest, inside `work`; sources are one good video."""
    from unit.video.make import write_video

    video = write_video(tmp_path / "good.mp4", 10)
    work = tmp_path / "deep/er/work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    entry = {"subset": "training", "duration": 1.0, "source": str(video), "annotations": []}
    names = NAMES.values()
    database = {name: {**entry, "filename": f"{name}.mp4"} for name in names}
    (work / "raw.json").write_text(json.dumps({"version": "1", "taxonomy": [], "database": database}))
    source = ("tsp.datasets.synthetic:read", ["raw.json"], None, "https://x/{id}")
    write_canonical(*source, work / "annotations.json")
    write_list(*source, work / "list.csv", official="training", shard=0, shards=1, shard_size=99)
    raw, videos = work / "raw", work / "videos"
    download_shard(work / "list.csv", raw, work / "a.csv", DownloadConfig())
    standardise_shard(work / "a.csv", raw, videos, work / "b.csv", StandardiseConfig(), 2)
    probe_shard(work / "b.csv", videos, work / "c.csv", 2)
    return tmp_path


def test_hostile_names_stay_in_their_folder_and_run_nothing(chain):
    work = chain / "deep/er/work"
    found = read_manifest(work / "c.csv").set_index("video")
    assert len(found) == len(NAMES)
    assert {key for key, name in NAMES.items() if found.loc[name, "status"] == "ok"} == KEPT
    refused = found[found["status"] != "ok"]
    assert refused["status"].unique().tolist() == ["corrupt"]
    assert refused["reason"].str.contains("is no file name").all()
    assert not list(chain.rglob("pwned"))
    assert {p.name for p in chain.iterdir()} == {"good.mp4", "deep"}
    assert {p.name for p in work.iterdir()} == {
        *("raw.json", "annotations.json", "list.csv", "a.csv", "b.csv", "c.csv", "raw", "videos"),
    }
    for folder in ("raw", "videos"):
        files = {f"{NAMES[key]}.mp4" for key in KEPT}
        assert {p.name for p in (work / folder).iterdir()} == files | {".made"}
        assert {p.name for p in (work / folder / ".made").iterdir()} - {"ffmpeg"} == {f"{name}.json" for name in files}


def test_half_a_unicode_character_is_one_message(tmp_path):
    (tmp_path / "raw.json").write_text('{"database": {"a\\ud800": {"subset": "training", "annotations": []}}}')
    assert len(read_annotations(tmp_path / "raw.json")) == 1
    source = ("tsp.datasets.synthetic:read", [str(tmp_path / "raw.json")], None, "x")
    with pytest.raises(TspError, match="lone Unicode surrogate"):
        write_canonical(*source, tmp_path / "a.json")
    with pytest.raises(TspError, match="lone Unicode surrogate"):
        write_list(*source, tmp_path / "a.csv", official="training", shard=0, shards=1, shard_size=9)


class Page(http.server.BaseHTTPRequestHandler):
    content = b""

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(self.content)

    def log_message(self, *arguments):
        pass


def test_a_planted_configuration_of_yt_dlp_is_ignored(tmp_path, monkeypatch):
    from unit.video.make import write_video

    Page.content = write_video(tmp_path / "good.mp4", 10).read_bytes()
    planted = f"--exec 'touch {tmp_path}/pwned'\n--output {tmp_path}/elsewhere.mp4\n"
    home = tmp_path / "home"
    for folder in (home / ".config/yt-dlp", home / "yt-dlp", tmp_path / "here"):
        folder.mkdir(parents=True)
        for name in ("config", "yt-dlp.conf"):
            (folder / name).write_text(planted)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.chdir(tmp_path / "here")
    store = tmp_path / "raw"
    store.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/watch"
        path = fetch("v_a.mp4", address, store, DownloadConfig(attempts=1, timeout_s=5.0), fetch_page=fetch_page)
        server.shutdown()
    assert path == store / "v_a.mp4"
    assert path.read_bytes() == Page.content
    assert not (tmp_path / "pwned").exists()
    assert not (tmp_path / "elsewhere.mp4").exists()
