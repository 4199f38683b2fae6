"""Path functions of dense captioning; settings and patterns are those of common.smk."""


wildcard_constraints:
    captioning=one_of(SETTINGS.captions),
    sound="vggish|statistics",
    reference=r"\d+",


def captioning(wildcards):
    return SETTINGS.captions[wildcards.captioning]


def captioning_params(wildcards):
    """Without what only says which jobs there are."""
    return {key: value for key, value in config["captions"][wildcards.captioning].items() if key != "seeds"}


def stream(kind, name):
    """Features of pictures (`video`) or sound (`audio`) of the training or validation subset."""

    def path(wildcards):
        c = captioning(wildcards)
        file = f"{c.dataset}-{getattr(SETTINGS.datasets[c.dataset], name)}.h5"
        if kind == "video":
            return f"results/features/{wildcards.run}/stride{c.stride}/{file}"
        return f"results/sound/{c.sound}/{file}"

    return path


def training_captions(wildcards):
    return captioning(wildcards).train


def caption_references(wildcards):
    return captioning(wildcards).references


def available_videos(wildcards):
    return captioning(wildcards).available or []


def vectors_of(wildcards):
    """The option `captioner.vectors`, its default where the user writes nothing of it."""
    return resolve_captions(wildcards.captioning, captioning_params(wildcards)).config.captioner.vectors


def word_vectors(wildcards):
    return f"results/released/{wildcards.captioning}.vectors" if vectors_of(wildcards) else []


def vectors_source(wildcards):
    return released(vectors_of(wildcards))


def sound_weights(wildcards):
    return "results/released/vggish.pth" if wildcards.sound == "vggish" else []


def sound_gpus(wildcards):
    return 1 if wildcards.sound == "vggish" else 0


def annotated_captions(wildcards):
    pattern = "results/captions/{captioning}/{run}/seed{seed}/annotated-{number}.json"
    return [pattern.format(**wildcards, number=n) for n in range(len(captioning(wildcards).references))]


# What is captioned and scored, and what both networks learn from.
CAPTION_STREAMS = {
    "config": "results/captions/{captioning}/config.yaml",
    "valid_video": stream("video", "valid"),
    "valid_audio": stream("audio", "valid"),
    "references": caption_references,
    "available": available_videos,
}
CAPTION_SOURCES = {
    **CAPTION_STREAMS,
    "train_video": stream("video", "train"),
    "train_audio": stream("audio", "train"),
    "captions": training_captions,
}


def example_of(wildcards):
    """The captioning whose captions a table shows first."""
    return next(c.experiment for c in SETTINGS.tables[wildcards.table].columns if c.experiment in SETTINGS.captions)


def example_captions(wildcards):
    """Captions of the first seed, in row order."""
    name = example_of(wildcards)
    seed = SETTINGS.captions[name].seeds[0]
    return [cell_path((name, row.run, seed), "captions.json") for row in SETTINGS.tables[wildcards.table].rows]


def example_references(wildcards):
    return SETTINGS.captions[example_of(wildcards)].references


def example_videos(wildcards, pattern="results/{dataset}/videos/{subset}"):
    d = SETTINGS.captions[example_of(wildcards)].dataset
    return pattern.format(dataset=d, subset=SETTINGS.datasets[d].valid)


def example_manifest(wildcards):
    """Of the videos that are shown; none where only features were released."""
    if any(SETTINGS.runs[row.run].features for row in SETTINGS.tables[wildcards.table].rows):
        return []
    return example_videos(wildcards, "results/{dataset}/manifest/{subset}.csv")


def example_note(wildcards):
    return "miniature" if SETTINGS.tables[wildcards.table].miniature else ""


def caption_page(table):
    return f"results/report/captions/{table}.html"


# In the report: what the preset builds, and what `snakemake captions` has made already.
shown_captions = [
    caption_page(table)
    for table in captioned_tables
    if table in SETTINGS.build.tables or (table in SETTINGS.build.captions and Path(caption_page(table)).exists())
]
