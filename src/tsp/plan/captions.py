"""What the rules of dense captioning need: input files and parameters as functions of a job's wildcards."""

from dataclasses import asdict
from typing import Any

from tsp.caption.config import CaptioningConfig
from tsp.config.resolved import resolve_captions
from tsp.config.settings import Settings
from tsp.plan.inputs import Input, Paths, Wildcards, given_file, released
from tsp.plan.paths import Captioning, Captions, Features, Released, Sound
from tsp.pretrain.config import ReleasedFile


class CaptionPlan:
    """Inputs and parameters of `rules/caption.smk`.

    Args:
        settings: the checked configuration.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # Kept, since every job asks for them and the settings take a tenth of a second to check.
        self._vectors_of: dict[str, ReleasedFile | None] = {}

    def entry(self, wildcards: Wildcards) -> dict[str, Any]:
        """The options of a captioning, without its seeds, which only say which jobs there are."""
        entry = asdict(self._captioning(wildcards))
        return {key: value for key, value in entry.items() if key != "seeds"}

    @property
    def measured(self) -> dict[str, Input]:
        """Inputs of a step that captions or scores the validation subset."""
        return {
            "config": Captioning.CONFIG,
            "valid_video": self.valid_video,
            "valid_audio": self.valid_audio,
            "references": self.references,
            "available": self.available,
        }

    @property
    def sources(self) -> dict[str, Input]:
        """Inputs of a step that trains a network."""
        return {
            **self.measured,
            "train_video": self.train_video,
            "train_audio": self.train_audio,
            "captions": self.training_captions,
        }

    def train_video(self, wildcards: Wildcards) -> str:
        """Clip features of the training subset."""
        return self._video(wildcards, "train")

    def valid_video(self, wildcards: Wildcards) -> str:
        """Clip features of the validation subset."""
        return self._video(wildcards, "valid")

    def train_audio(self, wildcards: Wildcards) -> str:
        """Sound features of the training subset."""
        return self._audio(wildcards, "train")

    def valid_audio(self, wildcards: Wildcards) -> str:
        """Sound features of the validation subset."""
        return self._audio(wildcards, "valid")

    def training_captions(self, wildcards: Wildcards) -> str:
        """Captions of the training videos."""
        return self._captioning(wildcards).train

    def references(self, wildcards: Wildcards) -> list[str]:
        """Reference captions of the validation videos."""
        return self._captioning(wildcards).references

    def available(self, wildcards: Wildcards) -> Paths:
        """List of the videos that still exist, if one is given."""
        return self._captioning(wildcards).available or []

    def annotated(self, wildcards: Wildcards) -> list[str]:
        """Captions of the annotated segments of each reference file."""
        numbers = range(len(self.references(wildcards)))
        return [Captions.ANNOTATED.format(**wildcards, reference=number) for number in numbers]

    # Released files

    @property
    def sound_source(self) -> dict[str, str | None]:
        """Where the weights of VGGish come from."""
        return released(self.settings.sound.weights)

    def given_sound(self, wildcards: Wildcards) -> Paths:
        """The local copy of the weights of VGGish, if one is given."""
        return given_file(self.settings.sound.weights)

    def given_vectors(self, wildcards: Wildcards) -> Paths:
        """The local copy of the word vectors, if one is given."""
        vectors = self._vectors(wildcards)
        return given_file(vectors) if vectors else []

    def sound_weights(self, wildcards: Wildcards) -> Paths:
        """Weights that a kind of sound features needs, if any."""
        return Released.VGGISH if wildcards.sound == "vggish" else []

    def sound_gpus(self, wildcards: Wildcards) -> int:
        """GPUs that a kind of sound features needs."""
        return 1 if wildcards.sound == "vggish" else 0

    def vectors(self, wildcards: Wildcards) -> Paths:
        """Word vectors that the captioner starts from, if any."""
        return Released.VECTORS.format(captioning=wildcards.captioning) if self._vectors(wildcards) else []

    def vectors_source(self, wildcards: Wildcards) -> dict[str, str | None]:
        """Where the word vectors come from."""
        vectors = self._vectors(wildcards)
        assert vectors is not None
        return released(vectors)

    def _captioning(self, wildcards: Wildcards) -> CaptioningConfig:
        return self.settings.captions[wildcards.captioning]

    def _vectors(self, wildcards: Wildcards) -> ReleasedFile | None:
        name = wildcards.captioning
        if name not in self._vectors_of:
            # The default where the user writes none.
            self._vectors_of[name] = resolve_captions(name, self.entry(wildcards)).config.captioner.vectors
        return self._vectors_of[name]

    def _video(self, wildcards: Wildcards, side: str) -> str:
        c = self._captioning(wildcards)
        subset = getattr(self.settings.datasets[c.dataset], side)
        return Features.FILE.format(run=wildcards.run, stride=c.stride, dataset=c.dataset, subset=subset)

    def _audio(self, wildcards: Wildcards, side: str) -> str:
        c = self._captioning(wildcards)
        subset = getattr(self.settings.datasets[c.dataset], side)
        return Sound.FILE.format(sound=c.sound, dataset=c.dataset, subset=subset)
