"""The captioner: bi-modal decoder, words, loss, decoding.

B batch, T words, V words of the vocabulary, C width of the decoder.
"""

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from tsp.caption.config import CaptionerConfig
from tsp.caption.text import END, PADDING, START
from tsp.caption.transformer import Attend, Encoder, FeedForward, KeysValues, Positions, initialise, spread


@dataclass(frozen=True)
class Memory:
    """The decoder's cross-attention input: keys and values of both streams per layer, and masks `[B, 1, 1, T]`."""

    audio: list[KeysValues]
    video: list[KeysValues]
    audio_mask: Tensor
    video_mask: Tensor

    def rows(self, index: Tensor) -> "Memory":
        """The given rows of the batch, in any order."""

        def pick(layers: list[KeysValues]) -> list[KeysValues]:
            return [(keys[index], values[index]) for keys, values in layers]

        return Memory(pick(self.audio), pick(self.video), self.audio_mask[index], self.video_mask[index])


class DecoderLayer(nn.Module):
    """Self-attention of words, cross attention to sound and pictures, and the bridge that joins both.

    Paper: BMT section 3.2 (bi-modal decoder).
    """

    def __init__(self, audio: int, video: int, config: CaptionerConfig) -> None:
        super().__init__()
        width = config.word_width
        self.words = Attend(width, width, config)
        self.audio, self.video = Attend(width, audio, config), Attend(width, video, config)
        self.bridge = nn.Sequential(
            nn.LayerNorm(2 * width), nn.Linear(2 * width, width), nn.Dropout(config.dropout), nn.ReLU()
        )
        self.forward_layer = FeedForward(width, config)

    def forward(
        self, words: Tensor, memory: Memory, layer: int, mask: Tensor | None, past: KeysValues | None = None
    ) -> tuple[Tensor, KeysValues]:
        """Words `[B, T, C]` to `[B, T, C]`, and the keys and values of all words so far.

        Args:
            words: all, or those after `past`.
            memory: encoded streams.
            layer: index of this layer in `memory`.
            mask: `[B, 1, T, T]`, None: every key.
            past: keys and values of earlier words.
        """
        normal = self.words.residual.norm(words)
        keys, values = self.words.attention.keys_values(normal)
        if past is not None:
            keys, values = torch.cat([past[0], keys], dim=2), torch.cat([past[1], values], dim=2)
        words = self.words.residual.add(words, self.words.attention(normal, (keys, values), mask))
        heard = self.audio(words, memory.audio[layer], memory.audio_mask)
        seen = self.video(words, memory.video[layer], memory.video_mask)
        # No residual connection around the bridge (released code).
        return self.forward_layer(self.bridge(torch.cat([heard, seen], dim=2))), (keys, values)


class Captioner(nn.Module):
    """Encoder, decoder and word generator.

    Args:
        audio, video: widths of the features.
        words: V.
        config: sizes.
        vectors: `[V, width]` word vectors; None: random ones of the decoder's width.

    Paper: BMT section 3.
    """

    def __init__(
        self, audio: int, video: int, words: int, config: CaptionerConfig, vectors: Tensor | None = None
    ) -> None:
        super().__init__()
        self.config = config
        width = config.word_width
        wide = width if vectors is None else vectors.shape[1]
        self.encoder = Encoder(audio, video, config)
        self.table = nn.Embedding(words, wide)
        self.map = nn.Identity() if wide == width else nn.Sequential(nn.Linear(wide, width), nn.ReLU())
        self.positions = Positions(width, config.dropout)
        self.layers = nn.ModuleList(DecoderLayer(audio, video, config) for _ in range(config.layers))
        self.generator = nn.Linear(width, words)
        initialise(self)
        if vectors is not None:
            self.table.weight.data.copy_(vectors)
        self.table.weight.requires_grad_(config.train_vectors)

    def forward(self, audio: Tensor, video: Tensor, audio_mask: Tensor, video_mask: Tensor, words: Tensor) -> Tensor:
        """Log-probabilities of the next word after each prefix.

        Args:
            audio, video: features `[B, T, C]`.
            audio_mask, video_mask: `[B, T]`, True at features.
            words: numbers `[B, T]`, padded with 1.

        Returns:
            `[B, T, V]`.
        """
        memory = self.memory(audio, video, audio_mask, video_mask)
        before = torch.ones(words.shape[1], words.shape[1], dtype=torch.bool, device=words.device).tril()
        mask = spread(words != PADDING) & before
        x = self._embed(words, 0)
        for number, layer in enumerate(self.layers):
            x, _ = layer(x, memory, number, mask)
        return torch.log_softmax(self.generator(x).float(), dim=-1)

    def memory(self, audio: Tensor, video: Tensor, audio_mask: Tensor, video_mask: Tensor) -> Memory:
        """Encode the streams; every decoder layer attends to the last encoder layer."""
        audio, video = self.encoder(audio, video, audio_mask, video_mask)
        layers = cast(list[DecoderLayer], list(self.layers))
        return Memory(
            [layer.audio.attention.keys_values(audio) for layer in layers],
            [layer.video.attention.keys_values(video) for layer in layers],
            spread(audio_mask),
            spread(video_mask),
        )

    def step(self, words: Tensor, memory: Memory, past: list[KeysValues]) -> tuple[Tensor, list[KeysValues]]:
        """Log-probabilities `[B, V]` after one more word `[B]`, and `past` extended by it; `past` starts empty."""
        x = self._embed(words[:, None], past[0][0].shape[2] if past else 0)
        new = []
        for number, layer in enumerate(self.layers):
            x, kept = layer(x, memory, number, None, past[number] if past else None)
            new.append(kept)
        return torch.log_softmax(self.generator(x[:, 0]).float(), dim=-1), new

    def _embed(self, words: Tensor, first: int) -> Tensor:
        coded: Tensor = self.positions(self.map(self.table(words)) * math.sqrt(self.config.word_width), first)
        return coded


def smoothed_loss(log_p: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Sum over positions of KL(target distribution || prediction), and the number of positions that count.

    The true word gets 1 - smoothing, padding 0, and all other words equal shares of `smoothing`.

    Args:
        log_p: `[..., V]`.
        targets: `[...]` numbers; padding does not count.
        smoothing: in [0, 1).

    Paper: BMT section 4 (label smoothing 0.7).
    Differs: the released code keeps the first row's target where it is the only padding, which no real batch has.
    """
    others = log_p.shape[-1] - 2
    share = smoothing / others
    true = log_p.gather(-1, targets[..., None])[..., 0]
    rest = log_p.sum(-1) - log_p[..., PADDING] - true
    entropy = smoothing * _log(share) + (1 - smoothing) * _log(1 - smoothing)
    rows = entropy - (1 - smoothing) * true - share * rest
    counted = targets != PADDING
    return torch.where(counted, rows, 0.0).sum(), counted.sum()


def _log(x: float) -> float:
    return math.log(x) if x else 0.0  # 0 ln 0 = 0


@torch.inference_mode()
def greedy(model: Captioner, memory: Memory, most_words: int) -> list[list[int]]:
    """The most likely word after each prefix, until every caption has ended.

    Args:
        model: in eval mode.
        memory: encoded segments.
        most_words: longest caption.

    Returns:
        Word numbers of each segment, including those after its end token.

    Paper: BMT section 4.
    Differs: the released code runs the whole model on the prefix for each word; here keys and values are cached.
    """
    rows = memory.audio_mask.shape[0]
    words = torch.full((rows,), START, device=memory.audio_mask.device)
    ended = torch.zeros_like(words, dtype=torch.bool)
    past: list[KeysValues] = []
    found: list[Tensor] = []
    while len(found) < most_words and not ended.all():
        log_p, past = model.step(words, memory, past)
        words = log_p.argmax(-1)
        ended |= words == END
        found.append(words)
    numbers: list[list[int]] = torch.stack(found, dim=1).tolist()
    return numbers


@torch.inference_mode()
def beam_search(model: Captioner, memory: Memory, most_words: int, beam: int) -> list[list[int]]:
    """The most likely caption of each segment by beam search, without length normalisation.

    Args:
        model: in eval mode.
        memory: encoded segments.
        most_words: longest caption.
        beam: candidates of each segment; 1 gives the words of `greedy`.

    Returns:
        Word numbers of each segment up to its end.
    """
    rows, device = memory.audio_mask.shape[0], memory.audio_mask.device
    memory = memory.rows(torch.arange(rows, device=device).repeat_interleave(beam))
    scores = torch.full((rows, beam), -torch.inf, device=device)
    scores[:, 0] = 0.0  # all beams start equal
    words = torch.full((rows * beam,), START, device=device)
    history = torch.zeros((rows * beam, 0), dtype=torch.long, device=device)
    ended = torch.zeros(rows * beam, dtype=torch.bool, device=device)
    past: list[KeysValues] = []
    first = torch.arange(rows, device=device)[:, None] * beam
    for _ in range(most_words):
        log_p, past = model.step(words, memory, past)
        # A finished caption has a single continuation, at no cost.
        log_p[ended] = -torch.inf
        log_p[ended, END] = 0.0
        total = scores.flatten()[:, None] + log_p
        scores, picks = total.view(rows, -1).topk(beam, dim=1)
        origin = (first + picks // log_p.shape[1]).flatten()
        words = (picks % log_p.shape[1]).flatten()
        history = torch.cat([history[origin], words[:, None]], dim=1)
        ended = ended[origin] | (words == END)
        past = [(keys[origin], values[origin]) for keys, values in past]
        if ended.all():
            break
    found: list[list[int]] = history.view(rows, beam, -1)[:, 0].tolist()
    return found


def decode(model: Captioner, memory: Memory) -> list[list[int]]:
    """Word numbers of captions, by greedy or beam search as configured."""
    c = model.config
    return greedy(model, memory, c.most_words) if c.beam == 1 else beam_search(model, memory, c.most_words, c.beam)
