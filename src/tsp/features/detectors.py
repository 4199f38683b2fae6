"""Exports that OpenTAD and ActionFormer load with their own configurations of ActivityNet and THUMOS14.

Both name videos as their data sets do, without the prefix of the feature files, which is an option of theirs. THUMOS14
states no durations: they follow from the features, as the time of every feature does.
"""

import logging
from dataclasses import dataclass
from typing import Any

from tsp.datasets.ground_truth import same_subset
from tsp.errors import TspError
from tsp.features.exporting import Export, write_text
from tsp.io.files import read_json, write_json
from tsp.types import Video

log = logging.getLogger(__name__)
ANNOTATIONS, CLASSES, MISSING, BLOCKED = "annotations.json", "category_idx.txt", "missing_files.txt", "blocked.json"
CLASS_SCORES = "class_scores.json"
TRAINING, VALIDATION = "training", "validation"
THUMOS14 = ("video_validation_", "video_test_")
# ActionFormer's filter of ActivityNet: training videos whose longest action is this short are left out (9,987 remain).
SHORTEST_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Annotated videos with the facts that receivers read.

    Args:
        prefix: of the feature files of all videos.
        thumos14: whether this is THUMOS14, whose subsets have other names than elsewhere.
        splits: own names of the subsets to train and to measure on.
        videos: those with a known duration.
        durations: seconds and frames at the features' rate, by name.
        missing: names of videos without features.
    """

    prefix: str
    thumos14: bool
    splits: tuple[str, str]
    videos: list[Video]
    durations: dict[str, tuple[float, int]]
    missing: list[str]

    @property
    def classes(self) -> list[str]:
        """Labels in alphabetical order."""
        return sorted({s.label for video in self.videos for s in video.segments if s.label})


def labelled(export: Export, clips: dict[str, int]) -> Labelled:
    """Durations, subsets and names of the annotated videos.

    Args:
        export: with annotations.
        clips: T of every video with features, by key.

    Raises:
        TspError: keys that are no names with one prefix, or no video with features.
    """
    prefixes = {video.key.removesuffix(video.name) for video in export.videos}
    if len(prefixes) > 1 or any(video.key != f"{min(prefixes)}{video.name}" for video in export.videos):
        raise TspError(f"export: the files of the videos are no names with one prefix: {sorted(prefixes)[:5]}")
    thumos14 = all(video.name.startswith(THUMOS14) for video in export.videos)
    durations = {}
    for video in export.videos:
        n = clips.get(video.key)
        if n and (thumos14 or not video.duration_s):
            frames = export.time.frames(n)
            durations[video.name] = (frames / export.time.fps, frames)
        elif video.duration_s:
            durations[video.name] = (video.duration_s, max(round(video.duration_s * export.time.fps), 1))
    missing = [video.name for video in export.videos if video.key not in clips]
    if len(missing) == len(export.videos):
        raise TspError(f"export: none of the {len(missing)} annotated videos has features; are they of one data set?")
    unknown = [video.name for video in export.videos if video.name not in durations]
    if unknown:
        log.warning("%d videos have neither features nor a duration: not in %s", len(unknown), ANNOTATIONS)
    return Labelled(
        prefix=min(prefixes),
        thumos14=thumos14,
        splits=_splits(export.videos, thumos14),
        videos=[video for video in export.videos if video.name in durations],
        durations=durations,
        missing=missing,
    )


def _splits(videos: list[Video], thumos14: bool) -> tuple[str, str]:
    if thumos14:
        return "validation", "test"
    names = list(dict.fromkeys(video.subset for video in videos if video.segments))

    def find(*wanted: str) -> str:
        return next((name for one in wanted for name in names if same_subset(name, one)), wanted[0])

    return find(TRAINING), find(VALIDATION, "test")


def opentad(export: Export) -> None:
    """`<key>.npy` `[T, C]`, `opentad.json` (numbers for its configuration), and labels if annotations are given.

    Its conversion of index to seconds: (i * feature_stride * sample_stride + offset_frames) / fps.

    Raises:
        TspError: see `labelled`; or a video to measure on without class scores.
    """
    time, clips = export.time, export.write_arrays()
    facts = {
        "fps": time.fps,
        "feature_stride": time.stride,
        "sample_stride": 1,
        "offset_frames": time.clip_length // 2,
        "in_channels": export.features.channels,
    }
    write_json(export.output / "opentad.json", facts)
    numbers = ", ".join(f"{name}={facts[name]}" for name in ("feature_stride", "sample_stride", "offset_frames"))
    if not export.videos:
        export.write_readme("Features for OpenTAD", OPENTAD_ARRAYS.format(folder=export.folder, numbers=numbers))
        return
    found = labelled(export, clips)
    subsets = dict(zip(found.splits, (TRAINING, VALIDATION), strict=True))
    database = {}
    for video in found.videos:
        seconds, frames = found.durations[video.name]
        database[video.name] = {
            "subset": subsets.get(video.subset, video.subset),
            "duration": seconds,
            "frame": frames,
            "annotations": [{"segment": [s.start_s, s.end_s], "label": s.label} for s in video.segments],
        }
    write_json(export.output / ANNOTATIONS, {"version": "tsp export", "database": database})
    write_text(export.output / CLASSES, "".join(f"{label}\n" for label in found.classes))
    write_text(export.output / MISSING, "".join(f"{name}\n" for name in found.missing))
    write_json(export.output / BLOCKED, found.missing, indent=None)
    scored = _write_class_scores(export, found)
    lines = OPENTAD.format(
        folder=export.folder,
        numbers=numbers if found.thumos14 else f"{numbers}, fps={time.fps:g}",
        prefix=f', prefix="{found.prefix}"' if found.prefix else "",
        channels=export.features.channels,
        scores=OPENTAD_SCORES.format(folder=export.folder) if scored else "",
        missing=len(found.missing),
        videos=len(export.videos),
    )
    export.write_readme("Features and labels for OpenTAD", lines)


def actionformer(export: Export) -> None:
    """`<key>.npy` `[T, C]`, `actionformer.json` (its options of the data set), and labels if annotations are given.

    Its conversion of seconds to index: (t * fps - num_frames / 2) / feat_stride. Its reader of ActivityNet needs the
    features of every annotated video, and of a video to train on an action that it does not drop.

    Raises:
        TspError: see `labelled`; or a video to measure on without class scores.
    """
    time, clips = export.time, export.write_arrays()
    options = {
        "default_fps": time.fps,
        "feat_stride": time.stride,
        "num_frames": time.clip_length,
        "input_dim": export.features.channels,
    }
    write_json(export.output / "actionformer.json", options)
    lines = "\n".join(f"  {name}: {value}," for name, value in options.items())
    if export.videos:
        text = _actionformer_labels(export, labelled(export, clips), clips, lines)
        export.write_readme("Features and labels for ActionFormer", text)
    else:
        text = ACTIONFORMER_ARRAYS.format(folder=export.folder, options=lines)
        export.write_readme("Features for ActionFormer", text)


def _actionformer_labels(export: Export, found: Labelled, clips: dict[str, int], options: str) -> str:
    """Write the labels; returns the text of the README."""
    scored = _write_class_scores(export, found)
    classes = scored or found.classes
    without = set(found.missing)
    kept = [video for video in found.videos if video.name not in without and _trainable(video, found, export, clips)]
    log.info("%d of %d videos: with features and, to train on, with an action", len(kept), len(export.videos))
    database = {
        video.name: {
            "subset": video.subset.lower(),
            "duration": found.durations[video.name][0],
            "fps": export.time.fps,
            "annotations": [_numbered(s.start_s, s.end_s, s.label, classes) for s in video.segments],
        }
        for video in kept
    }
    write_json(export.output / ANNOTATIONS, {"version": "tsp export", "database": database})
    return ACTIONFORMER.format(
        folder=export.folder,
        options=options,
        name="thumos" if found.thumos14 else "anet",
        train=found.splits[0].lower(),
        valid=found.splits[1].lower(),
        prefix=found.prefix or "~",
        # On THUMOS14 it requires as many classes as there are labels.
        classes=1 if not found.thumos14 and (found.prefix or scored) else len(found.classes),
        stride=ACTIONFORMER_DENSE if found.thumos14 and export.time.stride == 1 else "",
        scores=ACTIONFORMER_SCORES.format(folder=export.folder) if scored else "",
        numbering=NUMBERED if scored else ALPHABETICAL,
        kept=len(kept),
        videos=len(export.videos),
    )


def _numbered(start_s: float, end_s: float, label: str | None, classes: list[str]) -> dict[str, Any]:
    if label not in classes:
        raise TspError(f"export: no class scores of the label {label!r}; there are {len(classes)} classes")
    return {"segment": [start_s, end_s], "label": label, "label_id": classes.index(label)}


def _trainable(video: Video, found: Labelled, export: Export, clips: dict[str, int]) -> bool:
    """Whether a video is measured on, or has an action to train on."""
    if video.subset != found.splits[0]:
        return True
    end_s = export.time.frames(clips[video.key]) / export.time.fps
    return any(s.end_s - s.start_s > SHORTEST_S and s.start_s < end_s for s in video.segments)


def _write_class_scores(export: Export, found: Labelled) -> list[str]:
    """Write class scores by name; returns their classes, none if no scores are given."""
    if export.class_scores is None:
        return []
    document = read_json(export.class_scores)
    try:
        results, classes = dict(document["results"]), [str(name) for name in document["class"]]
    except (KeyError, TypeError, ValueError) as error:
        raise TspError(
            f'{export.class_scores}: expected {{"results": {{video: scores}}, "class": names}} ({error!r})'
        ) from error
    without = set(found.missing)
    needed = [v.name for v in found.videos if v.subset == found.splits[1] and v.name not in without]
    absent = [name for name in needed if name not in results]
    if absent:
        raise TspError(
            f"{export.class_scores}: no scores of {len(absent)} of {len(needed)} {found.splits[1]} videos, such as"
            f" {absent[0]!r}; the receiver needs one row per video with features"
        )
    write_json(export.output / CLASS_SCORES, {"results": results, "class": classes}, indent=None)
    return classes


OPENTAD_ARRAYS = """
Lines for a configuration of OpenTAD; `--annotations` of `tsp export` adds labels:

```python
data_path = "{folder}/"
# in train, val and test of `dataset`, where it is no resized one
{numbers}
```
"""
OPENTAD = """
Lines for a configuration of OpenTAD, in place of those of `configs/_base_/datasets/`:

```python
annotation_path = "{folder}/annotations.json"
class_map = "{folder}/category_idx.txt"
data_path = "{folder}/"
block_list = "{folder}/missing_files.txt"
# train: subset_name="training"; val and test: subset_name="validation"
dict(type="LoadFeats", feat_format="npy"{prefix})
# in train, val and test of `dataset`, where it is no resized one
{numbers}
# model.projection
in_channels={channels}
# evaluation: videos without features do not count
evaluation = dict(subset="validation", ground_truth_filename=annotation_path, blocked_videos="{folder}/blocked.json")
{scores}```

{missing} of {videos} annotated videos have no features: `missing_files.txt` and `blocked.json` list them. Set
`blocked_videos=None` to count their actions as missed.
"""
OPENTAD_SCORES = """# post_processing: classes of whole videos
external_cls = dict(type="CUHKANETClassifier", path="{folder}/class_scores.json", topk=2)
"""
ACTIONFORMER_ARRAYS = """
Lines for a configuration of ActionFormer; `--annotations` of `tsp export` adds labels:

```yaml
dataset: {{
  feat_folder: {folder},
  file_ext: .npy,
{options}
}}
```
"""
ACTIONFORMER = """
Lines for a configuration of ActionFormer, in place of those of its `configs/`:

```yaml
dataset_name: {name}
train_split: ['{train}']
val_split: ['{valid}']
dataset: {{
  json_file: {folder}/annotations.json,
  feat_folder: {folder},
  file_prefix: {prefix},
  file_ext: .npy,
  num_classes: {classes},
{options}
{stride}}}
{scores}```

`annotations.json` has {kept} of {videos} videos: those with features and, to train on, with an action longer than
0.1 s. {numbering}
"""
ACTIONFORMER_DENSE = """  # Every second clip: as far apart as the features of its own configuration of THUMOS14.
  downsample_rate: 2,
"""
NUMBERED = "`label_id` is the place of a label among the classes of `class_scores.json`."
ALPHABETICAL = (
    "`label_id` is the place of a label in the alphabet. If you use a file of class scores, such as that of CUHK,\n"
    "pass it to `tsp export` as `--class-scores`, since ActionFormer compares places."
)
ACTIONFORMER_SCORES = """# classes of whole videos
test_cfg: {{ multiclass_nms: False, ext_score_file: {folder}/class_scores.json }}
"""
