"""The proposal generator: anchors, heads, targets, loss, selection.

B batch, G cells (features of a stream), A anchors, N segments; cell g covers [g, g + 1) steps of s seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tsp.caption.config import CaptionerConfig, ProposalConfig
from tsp.caption.transformer import Encoder, initialise
from tsp.errors import TspError

Floats = NDArray[np.float64]
TINY = 1e-8
DIGITS = 5


def anchors(lengths_s: NDArray[np.floating], count: int, seed: int) -> NDArray[np.floating]:
    """Typical lengths of segments: k-means of scikit-learn, one run from centres drawn from the lengths.

    Args:
        lengths_s: of all segments, in the precision to cluster in; those that are not positive are ignored.
        count: A.
        seed: of the draw.

    Returns:
        `[A]` seconds, ascending.

    Raises:
        TspError: fewer different lengths than anchors.

    Paper: BMT section 3.3; seed 13 as released.
    Differs: the anchors depend on the version of scikit-learn, which the released code does not state; here it is
        pinned. The released code uses all threads, whose number changes the last digits; here it is one.
    """
    # Imported here: inference does not need it.
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    values = lengths_s[lengths_s > 0]
    if len(np.unique(values)) < count:
        raise TspError(f"{count} anchors of {len(np.unique(values))} different segment lengths; ask for fewer")
    clusters = KMeans(n_clusters=count, init="random", n_init=1, random_state=seed)
    with threadpool_limits(1):
        clusters.fit(values[:, None])
    return np.sort(clusters.cluster_centers_[:, 0])


@dataclass(frozen=True)
class Targets:
    """Slots that hold a segment, each once, and the regression targets there.

    Args:
        slots: `[3, S]` int64: row of the batch, anchor, cell.
        centre: `[S]` position of the segment's centre within its cell, 0 to 1.
        length: `[S]` ln(length / anchor).
    """

    slots: Tensor
    centre: Tensor
    length: Tensor


def targets(segments: Tensor, sizes: Tensor, cells: int, step_s: float) -> Targets:
    """Assign each segment to a slot; the same for all heads of a stream.

    Args:
        segments: `[N, 3]` row of the batch, start and end in seconds.
        sizes: `[A]` anchors in seconds.
        cells: G, padded ones included.
        step_s: s.

    Returns:
        Slots; of several segments in one slot the last counts.

    Paper: BMT section 3.3.
    Differs: in the released code on a GPU it is undefined which of two segments in one slot counts.
    """
    row = segments[:, 0].long()
    middle, length = (segments[:, 1] + segments[:, 2]) / 2 / step_s, (segments[:, 2] - segments[:, 1]) / step_s
    in_cells = sizes.double() / step_s
    smaller, larger = torch.minimum(length[:, None], in_cells), torch.maximum(length[:, None], in_cells)
    anchor = (smaller / (larger + TINY)).argmax(1)
    cell = middle.long().clamp(0, cells - 1)
    key = (row * len(sizes) + anchor) * cells + cell
    # Of equal keys the last one wins.
    last = {int(k): n for n, k in enumerate(key.tolist())}
    kept = torch.tensor(sorted(last.values()), dtype=torch.long, device=segments.device)
    log_length = (length / in_cells[anchor] + 1e-16).log()
    slots = torch.stack([row, anchor, cell])[:, kept]
    return Targets(slots, middle.frac()[kept].float(), log_length[kept].float())


def head_loss(raw: Tensor, wanted: Targets) -> dict[str, tuple[Tensor, int]]:
    """The four terms of one head, each as sum and count.

    Args:
        raw: `[B, A, 3, G]`: centre, length, objectness before the sigmoid.
        wanted: targets of these slots.

    Returns:
        `centre`, `length` and `object` over the slots that hold a segment; `nothing` over all others, including
        padded cells.
    """
    row, anchor, cell = wanted.slots
    centre, length, there = raw[row, anchor, :, cell].unbind(1)
    # Cross entropies are clamped at 100, as in PyTorch's BCELoss.
    nothing = nn.functional.softplus(raw[:, :, 2]).clamp(max=100.0)
    return {
        "centre": ((centre.sigmoid() - wanted.centre).square().sum(), len(row)),
        "length": ((length - wanted.length).square().sum(), len(row)),
        "object": (nn.functional.softplus(-there).clamp(max=100.0).sum(), len(row)),
        "nothing": (nothing.sum() - nothing[row, anchor, cell].sum(), nothing.numel() - len(row)),
    }


class Head(nn.Module):
    """One detector: a convolution over time with its own kernel size, then two layers per cell.

    Paper: BMT section 3.3.
    """

    def __init__(self, width: int, sizes: int, kernel: int, middle: int, dropout: float) -> None:
        super().__init__()
        self.sizes = sizes
        self.layers = nn.Sequential(
            nn.Conv1d(width, middle, kernel, padding=kernel // 2),
            nn.Dropout(dropout),
            nn.ReLU(),
            nn.Conv1d(middle, middle, 1),
            nn.Dropout(dropout),
            nn.ReLU(),
            nn.Conv1d(middle, 3 * sizes, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, G]` to `[B, A, 3, G]`."""
        found: Tensor = self.layers(x).unflatten(1, (self.sizes, 3))
        return found


class Stream(nn.Module):
    """All heads of one stream.

    Args:
        width: of its features.
        sizes: `[A]` anchors in seconds.
        kernels: one head each.
        step_s: seconds of a cell.
        middle: channels within a head.
        dropout: within a head.
    """

    sizes: Tensor

    def __init__(
        self, width: int, sizes: Tensor, kernels: Sequence[int], *, step_s: float, middle: int, dropout: float
    ) -> None:
        super().__init__()
        self.step_s = step_s
        self.register_buffer("sizes", sizes)
        self.heads = nn.ModuleList(Head(width, len(sizes), kernel, middle, dropout) for kernel in kernels)

    def forward(self, x: Tensor) -> list[Tensor]:
        """`[B, G, C]` to one `[B, A, 3, G]` per head."""
        x = x.transpose(1, 2)
        return [head(x) for head in self.heads]

    def decode(self, raw: Tensor) -> Tensor:
        """A head's `[B, A, 3, G]` as `[B, A * G, 3]`: centre and length in seconds, confidence; anchor by anchor."""
        cells = torch.arange(raw.shape[-1], device=raw.device)
        centre = (cells + raw[:, :, 0].sigmoid()) * self.step_s
        length = self.sizes[:, None] * raw[:, :, 1].exp()
        return torch.stack([centre, length, raw[:, :, 2].sigmoid()], dim=-1).flatten(1, 2)


class Proposer(nn.Module):
    """Encoder and detectors.

    Args:
        encoder: that of a captioner.
        streams: detectors of sound and of pictures.
        frozen: do not train the encoder; its dropout stays active in training (released code).

    Paper: BMT section 3.3.
    """

    def __init__(self, encoder: Encoder, audio: Stream, video: Stream, *, frozen: bool) -> None:
        super().__init__()
        self.encoder, self.audio, self.video = encoder, audio, video
        self.frozen = frozen
        self.encoder.requires_grad_(not frozen)

    def forward(
        self, audio: Tensor, video: Tensor, audio_mask: Tensor, video_mask: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Outputs of the sound heads and of the picture heads on padded videos, `[B, A, 3, G]` each."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            heard, seen = self.encoder(audio, video, audio_mask, video_mask)
        return self.audio(heard), self.video(seen)

    def best(self, batch: dict[str, Tensor], most: int, *, mask_padding: bool) -> Tensor:
        """The most confident predictions of all heads together, best first.

        Args:
            batch: padded videos.
            most: M.
            mask_padding: ignore padded cells.

        Returns:
            `[B, M, 3]`: centre and length in seconds, confidence.
        """
        raw = self(batch["audio"], batch["video"], batch["audio_mask"], batch["video_mask"])
        parts = []
        for stream, found, name in ((self.audio, raw[0], "audio_mask"), (self.video, raw[1], "video_mask")):
            for head in found:
                decoded = stream.decode(head.float())
                if mask_padding:
                    decoded[..., 2] *= batch[name].repeat(1, len(stream.sizes))
                # The best of all heads are among the best of each head.
                parts.append(_best(decoded, most))
        return _best(torch.cat(parts, dim=1), most)


def _best(pool: Tensor, most: int) -> Tensor:
    rows = pool[..., 2].topk(min(most, pool.shape[1]), dim=1).indices
    return pool.gather(1, rows[..., None].expand(-1, -1, pool.shape[2]))


def build_proposer(
    widths: tuple[int, int],
    sizes: tuple[Tensor, Tensor],
    steps_s: tuple[float, float],
    captioner: CaptionerConfig,
    config: ProposalConfig,
) -> Proposer:
    """A proposal generator with an untrained encoder.

    Args:
        widths: of the features of sound and pictures.
        sizes: anchors of sound and pictures, in seconds.
        steps_s: seconds of a cell of sound and pictures.
        captioner: sizes of the encoder, dropout.
        config: heads.
    """
    encoder = Encoder(*widths, captioner)
    initialise(encoder)
    kernels = (config.audio_kernels, config.video_kernels)
    audio, video = (
        Stream(width, size, kernel, step_s=step, middle=config.head_width, dropout=captioner.dropout)
        for width, size, kernel, step in zip(widths, sizes, kernels, steps_s, strict=True)
    )
    return Proposer(encoder, audio, video, frozen=config.encoder == "captioner")


def select(pool: Floats, duration_s: float, config: ProposalConfig) -> tuple[Floats, Floats]:
    """Segments of one video from its predictions.

    Args:
        pool: `[P, 3]` centre and length in seconds, confidence, `Proposer.best` or all of them.
        duration_s: of the video.
        config: number, NMS, shortest.

    Returns:
        `[N, 2]` start and end in seconds, and `[N]` confidences, best first; fewer than `most` if some of the best
        lie outside the video (released code).

    Paper: BMT section 4.
    """
    best = np.argsort(-pool[:, 2], kind="stable")[: config.most]
    centre, length, score = pool[best].T
    start = np.clip(centre - length / 2, 0.0, duration_s)
    end = np.minimum(centre + length / 2, duration_s)
    if config.nms is not None:
        kept = nms(start, end, config.nms)
        start, end, score = start[kept], end[kept], score[kept]
    segments = np.stack([start, end], axis=1).round(DIGITS)
    long_enough = segments[:, 1] - segments[:, 0] > config.shortest_s
    return segments[long_enough], score[long_enough]


def nms(start: Floats, end: Floats, threshold: float) -> list[int]:
    """Rows kept, in order: the tIoU of each with all kept rows before it is below `threshold`."""
    kept: list[int] = []
    for row in range(len(start)):
        inter = np.maximum(np.minimum(end[kept], end[row]) - np.maximum(start[kept], start[row]), 0.0)
        hull = np.maximum(end[kept], end[row]) - np.minimum(start[kept], start[row])
        total = end[kept] - start[kept] + end[row] - start[row]
        if (inter / (np.minimum(hull, total) + TINY) < threshold).all():
            kept.append(row)
    return kept
