"""Options of BMT. Defaults: the variant on TSP features; `original()`: the published one on I3D features."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tsp.pretrain.config import ReleasedFile
from tsp.training.config import TrainerConfig


@dataclass(frozen=True, kw_only=True)
class SoundConfig:
    """Source of the weights of the sound network (docs/fidelity_bmt.md)."""

    weights: ReleasedFile = field(
        default_factory=lambda: ReleasedFile(
            url="https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth",
            sha256="10086976",
        )
    )
    """VGGish: a state dict with `features.*` and `embeddings.*`."""


@dataclass(frozen=True, kw_only=True)
class CaptionTrainer(TrainerConfig):
    """The trainer with the captioner's values for TSP features; one item is one segment."""

    epochs: int = 100
    """Passes over the training segments, at most."""
    batch_size: int = 128
    """Segments of a batch; 32 for I3D."""
    optimizer: Literal["sgd", "adam"] = "adam"
    """Adam, constant rate."""
    patience: int | None = 10
    """Epochs without improvement before training stops; 30 for I3D."""


@dataclass(frozen=True, kw_only=True)
class ProposalTrainer(TrainerConfig):
    """The trainer with the proposal generator's values for TSP features; one item is one video."""

    epochs: int = 100
    """Passes over the training videos, at most."""
    batch_size: int = 64
    """Videos of a batch; 16 for I3D."""
    optimizer: Literal["sgd", "adam"] = "adam"
    """Adam, constant rate."""
    patience: int | None = 10
    """Epochs without improvement before training stops; 30 for I3D."""


@dataclass(frozen=True, kw_only=True)
class CaptionerConfig:
    """The captioner: encoder, decoder, words, training."""

    tokeniser: Literal["spacy", "simple"] = "spacy"
    """`spacy`: the English rules of the package spaCy (published); `simple`: words, numbers and marks, no package."""
    vectors: ReleasedFile | None = field(
        default_factory=lambda: ReleasedFile(url="https://nlp.stanford.edu/data/glove.840B.300d.zip")
    )
    """Word vectors in GloVe's text format, plain or zipped (published: GloVe 840B, 300-d); null: random ones."""
    train_vectors: bool = False
    """Train the word vectors too; the published model keeps them as they are."""
    word_width: int = 300
    """Width of the decoder; word vectors of another width are projected by a linear layer and ReLU."""
    width: int = 1024
    """Common width of the attentions."""
    heads: int = 4
    """Attention heads."""
    layers: int = 2
    """Encoder layers, and decoder layers."""
    widening: int = 4
    """Width of a feed-forward layer, in widths of its stream."""
    dropout: float = 0.1
    """Everywhere."""
    smoothing: float = 0.7
    """Share of the target distribution that is spread over all words."""
    lr: float = 2e-4
    """Learning rate; 5e-5 for I3D."""
    metric: Literal["METEOR", "loss"] = "METEOR"
    """What picks the best epoch: METEOR of the captions at tIoU 0.5 (needs Java), or the next-word loss."""
    most_words: int = 30
    """Words of a caption."""
    beam: int = 1
    """Beam width; 1: greedy, as published."""
    caption_batch: int = 256
    """Segments captioned in one batch; no effect on the words."""
    trainer: CaptionTrainer = field(default_factory=CaptionTrainer)
    """Epochs, batch, patience."""

    def __post_init__(self) -> None:
        """Refuse values that define no attention or target distribution."""
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if not 0 <= self.smoothing < 1:
            raise ValueError(f"smoothing is {self.smoothing}, expected at least 0 and below 1")
        if min(self.beam, self.most_words, self.layers, self.caption_batch) < 1:
            raise ValueError("beam, most_words, layers and caption_batch must be at least 1")
        if self.vectors is None and not self.train_vectors:
            raise ValueError(
                "without `vectors` the word vectors start at random and must be trained: set train_vectors"
            )


@dataclass(frozen=True, kw_only=True)
class ProposalConfig:
    """The proposal generator: heads, padding, selection, training."""

    encoder: Literal["captioner", "own"] = "captioner"
    """`captioner`: the captioner's, frozen, with dropout active while the heads are trained; `own`: a new one."""
    audio_anchors: int = 48
    """Segment lengths of the sound heads, by k-means."""
    video_anchors: int = 128
    """Segment lengths of the picture heads, by k-means."""
    audio_kernels: tuple[int, ...] = (5, 13, 23, 35, 51, 69, 91, 121, 161, 211)
    """Kernel of each sound head, in features."""
    video_kernels: tuple[int, ...] = (1, 5, 9, 13, 19, 25, 35, 45, 61, 79)
    """Kernel of each picture head, in features."""
    head_width: int = 512
    """Middle channels of a head."""
    anchor_seed: int = 13
    """Seed of the initial centres of the k-means."""
    audio_length: int = 800
    """Length to which the sound features of every video are padded."""
    video_length: int = 720
    """Length to which the picture features of every video are padded; 300 for I3D."""
    no_object_weight: float = 100.0
    """Factor of the loss of slots without segment."""
    silent: Literal["drop", "zero"] = "drop"
    """A video without sound: dropped (published), or given one feature of zeros, as for the captioner."""
    mask_padding: bool = False
    """Ignore padded positions; the published code uses them and drops most of their proposals by time."""
    most: int = 100
    """Proposals of a video."""
    shortest_s: float = 0.2
    """Proposals of at most this many seconds are dropped."""
    nms: float | None = None
    """Drop a proposal whose tIoU with a better one reaches this; null (published tables): none."""
    lr: float = 2e-4
    """Learning rate; 5e-5 for I3D."""
    trainer: ProposalTrainer = field(default_factory=ProposalTrainer)
    """Epochs, batch, patience."""

    def __post_init__(self) -> None:
        """Refuse even kernels."""
        for kernel in (*self.audio_kernels, *self.video_kernels):
            if kernel % 2 == 0 or kernel < 1:
                raise ValueError(f"kernel {kernel}: expected odd sizes, which keep the length")


@dataclass(frozen=True, kw_only=True)
class Config:
    """BMT: both networks. Widths of the streams are those of the features."""

    missing: Literal["error", "skip"] = "error"
    """Videos without picture features: an error that lists them all, or skip them."""
    captioner: CaptionerConfig = field(default_factory=CaptionerConfig)
    """Trained first, on annotated segments."""
    proposals: ProposalConfig = field(default_factory=ProposalConfig)
    """Trained second, on the captioner's encoder."""


@dataclass(frozen=True, kw_only=True)
class CaptioningConfig:
    """Dense captioning of one data set; the rows of a table select the features."""

    dataset: str
    """Entry of `datasets:`."""
    stride: int = 16
    """Frames at 15 fps between the picture features."""
    sound: Literal["vggish", "statistics"] = "vggish"
    """Sound features: VGGish, or log-mel statistics, a substitute that needs no weights."""
    train: str
    """ActivityNet Captions file of the training videos."""
    references: list[str]
    """Such files of the validation videos, one or more for the same videos; the first says which are captioned."""
    available: str | None = None
    """File with the available videos, one per line; the others are not used. null: all are available."""
    seeds: list[int] = field(default_factory=lambda: [0])
    """One training of both networks per seed."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Fields of `Config` that differ from its defaults."""

    def __post_init__(self) -> None:
        """Require a reference file."""
        if not self.references:
            raise ValueError("references: state at least one file")


def original(config: Config | None = None) -> Config:
    """`config` with the values of the published code on I3D features (rgb + flow, 1024 wide, a feature per 2.56 s).

    Paper: BMT (Iashin and Rahtu, BMVC 2020), section 4.
    """
    config = config or Config()
    captioner, proposals = config.captioner, config.proposals
    return replace(
        config,
        captioner=replace(captioner, lr=5e-5, trainer=replace(captioner.trainer, batch_size=32, patience=30)),
        proposals=replace(
            proposals, lr=5e-5, video_length=300, trainer=replace(proposals.trainer, batch_size=16, patience=30)
        ),
    )
