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


def shown_entry():
    """The table whose first experiment the page of captions takes its examples from, and that experiment."""
    table = SETTINGS.tables[SETTINGS.build.captions[0]]
    return table, table.columns[0].experiment


def shown_captions(kind):
    """A file of each run of the first table, of its first seed."""

    def paths(wildcards):
        table, name = shown_entry()
        seed = SETTINGS.captions[name].seeds[0]
        return [f"results/captions/{name}/{row.run}/seed{seed}/{kind}.json" for row in table.rows]

    return paths


def shown_references(wildcards):
    return SETTINGS.captions[shown_entry()[1]].references[0]


def shown_labels(wildcards):
    return [row.label for row in shown_entry()[0].rows]


def shown_videos(wildcards, pattern="results/{dataset}/videos/{subset}"):
    dataset = SETTINGS.captions[shown_entry()[1]].dataset
    return pattern.format(dataset=dataset, subset=SETTINGS.datasets[dataset].valid)


def shown_manifest(wildcards):
    return shown_videos(wildcards, "results/{dataset}/manifest/{subset}.csv")


built_captions = [f"results/tables/{table}.md" for table in SETTINGS.build.captions]
built_captions += ["results/report/captions.html"] * bool(SETTINGS.build.captions)

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
