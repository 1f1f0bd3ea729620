"""CTC output heads and their loss, with its flat start.

The probabilities at a time step need the sum over all characters. In training, the characters of
the batch's labels and the blank are summed exactly. A random sample of the others, drawn for each
batch, represents the rest: each logit is raised by the logarithm of the number of characters it
represents. The expected sum is exact (importance sampling: Bengio and Senecal, 2003; Jean et al.,
2015, arXiv:1412.2007), and time and memory do not depend on the charset.

An untrained CTC network outputs blank at every time step, and may do so for many epochs. In the
flat start, an auxiliary loss spreads the symbols of a label evenly over the time steps, as speech
recognisers begin with an even segmentation (HTK: Young et al., "The HTK Book"). The blank is made
less likely in the first batches. Real symbols are not spaced evenly, so the flat start ends when
the network begins to read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor, nn
from torch.nn import functional

from ocrsearch.core import DEFAULT_RECIPE, FRAME_STRIDE, RecipeConfig
from ocrsearch.data import Batch
from ocrsearch.models.decoding import CtcOutput, CtcReadout
from ocrsearch.models.encoder import zero_padding

MAX_EXACT = 512
"""Largest charset whose characters are all computed; of a larger one, about this number."""

MIN_OTHERS = 256
"""Smallest sample of the characters that no label of the batch has."""


class CtcTensors(NamedTuple):
    """The output of a CTC head.

    Attributes:
        log_probs: (B, T, V) float32, the blank last.
        frame_lengths: (B,) int64, on the CPU: number of time steps of each image.
    """

    log_probs: Tensor
    frame_lengths: Tensor

    def to_numpy(self) -> CtcOutput:
        """Return the output as arrays, for decoding."""
        return CtcOutput(self.log_probs.detach().cpu().numpy(), self.frame_lengths.numpy())

    def readout(self) -> CtcReadout:
        """Return the output ready to be decoded."""
        return CtcReadout(self.to_numpy())


@dataclass(frozen=True)
class Outputs:
    """A selection of the outputs of a CTC head.

    Attributes:
        ids: (n,) int64, ascending, the blank last.
        shifts: (n,) float32, added to their logits.
    """

    ids: Tensor
    shifts: Tensor


def sample_outputs(batch: Batch, blank_id: int) -> tuple[Batch, Outputs | None]:
    """Choose the outputs to train on for a batch.

    Draws from the global random state of the CPU, as dropout does, unless all are chosen.

    Args:
        batch: images and labels.
        blank_id: id of the blank, which follows all symbols.

    Returns:
        The batch, its targets as positions in the outputs, and the outputs; None for all.
    """
    if blank_id <= MAX_EXACT:
        return batch, None
    device = batch.targets.device
    positions = torch.arange(batch.targets.shape[1], device=device)
    inside = positions < batch.target_lengths[:, None]
    is_chosen = torch.zeros(blank_id + 1, dtype=torch.bool, device=device)
    is_chosen[batch.targets[inside]] = True
    is_chosen[blank_id] = True
    others = (~is_chosen).nonzero().squeeze(1)
    n_drawn = max(MIN_OTHERS, MAX_EXACT - (blank_id + 1 - len(others)))
    drawn = others[torch.randperm(len(others))[:n_drawn].to(device)]
    shifts = torch.zeros(blank_id + 1, device=device)
    shifts[drawn] = math.log(max(1, len(others)) / max(1, len(drawn)))
    is_chosen[drawn] = True
    ids = is_chosen.nonzero().squeeze(1)
    targets = torch.searchsorted(ids, batch.targets.masked_fill(~inside, 0))
    return replace(batch, targets=targets), Outputs(ids, shifts[ids])


def rows_of(layer: nn.Linear | nn.Conv1d, outputs: Outputs) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the selected outputs of a head, the bias with their shifts."""
    assert layer.bias is not None
    ids = outputs.ids
    return layer.weight.index_select(0, ids), layer.bias.index_select(0, ids) + outputs.shifts


class ColumnHead(nn.Module):
    """CTC head on the encoder's feature columns: a convolution over three columns."""

    def __init__(self, linear_width: int, n_outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(linear_width, n_outputs, 3, padding=1)

    def forward(self, columns: Tensor, outputs: Outputs | None = None) -> Tensor:
        """Return (B, T, V) log probabilities.

        Args:
            columns: (B, T, linear_width) feature columns.
            outputs: selection of V outputs; None for all.
        """
        inputs = columns.transpose(1, 2)
        if outputs is None:
            logits = self.conv(inputs)
        else:
            logits = functional.conv1d(inputs, *rows_of(self.conv, outputs), padding=1)
        log_probs: Tensor = logits.transpose(1, 2).float().log_softmax(2)
        return log_probs


EDGE_SHARE = 0.15
"""Fraction of a symbol's time steps at either end that is ignored: a neighbour may reach there."""

INK_SHARE = 0.3
"""A time step has ink if its grey levels vary by at least this fraction of the line's maximum."""


def ctc_loss(log_probs: Tensor, batch: Batch, blank_id: int) -> Tensor:
    """Return the CTC loss per symbol of each line, averaged over the lines.

    Args:
        log_probs: (B, T, V) float32.
        batch: labels and widths; a label that does not fit its time steps counts as zero, not as
            infinite.
        blank_id: id of the blank.
    """
    return functional.ctc_loss(
        log_probs.transpose(0, 1),
        batch.targets,
        batch.widths // FRAME_STRIDE,
        batch.target_lengths.cpu(),
        blank=blank_id,
        zero_infinity=True,
    )


def aligning_loss(
    log_probs: Tensor,
    batch: Batch,
    step: int,
    *,
    flat: bool,
    recipe: RecipeConfig = DEFAULT_RECIPE,
) -> Tensor:
    """Return the CTC loss, in the flat start with its auxiliary loss and a less likely blank.

    Args:
        log_probs: (B, T, V) float32, the blank last.
        batch: labels and widths.
        step: number of batches trained before.
        flat: whether this is the flat start.
        recipe: offset of the blank in the flat start.
    """
    blank_id = log_probs.shape[2] - 1
    if not flat:
        return ctc_loss(log_probs, batch, blank_id)
    ctc = ctc_loss(suppress_blank(log_probs, blank_id, step, recipe), batch, blank_id)
    return ctc + flat_start_loss(log_probs, batch, blank_id)


def consistency_loss(log_probs: Tensor, batch: Batch) -> Tensor:
    """Return the difference between two views of each line, per symbol, averaged over the lines.

    It is the sum over the time steps of the symmetric Kullback-Leibler divergence, in which each
    view in turn is a fixed target (CR-CTC: Yao et al., ICLR 2025, arXiv:2410.05101).

    Args:
        log_probs: (2 * B, T, V) float32, all lines in their first view, then all in their second.
        batch: labels and widths of these 2 * B views.
    """
    first, second = log_probs.chunk(2)
    towards_first = (first.detach().exp() * (first.detach() - second)).sum(2)
    towards_second = (second.detach().exp() * (second.detach() - first)).sum(2)
    frame_lengths, _ = (batch.widths // FRAME_STRIDE).chunk(2)
    lengths, _ = batch.target_lengths.clamp(min=1).chunk(2)
    divergence = zero_padding((towards_first + towards_second) / 2, frame_lengths, dim=1)
    return (divergence.sum(1) / lengths).mean()


def suppress_blank(
    log_probs: Tensor, blank_id: int, step: int, recipe: RecipeConfig = DEFAULT_RECIPE
) -> Tensor:
    """Return (B, T, V) log probabilities with a less likely blank.

    Args:
        log_probs: (B, T, V) float32.
        blank_id: id of the blank.
        step: number of batches trained before.
        recipe: offset in the first batch, and number of batches in which it falls to 0.
    """
    offset = recipe.blank_offset * (1.0 - step / recipe.blank_offset_steps)
    if offset <= 0:
        return log_probs
    shift = torch.zeros(log_probs.shape[2], device=log_probs.device)
    shift[blank_id] = -offset
    return (log_probs + shift).log_softmax(2)


def flat_start_loss(log_probs: Tensor, batch: Batch, blank_id: int) -> Tensor:
    """Return the mean cross-entropy of the time steps against evenly spread symbols.

    It does not depend on the probability of the blank: CTC decides where a symbol ends.

    Args:
        log_probs: (B, T, V) float32.
        batch: labels and widths; symbols without a time step of their own are ignored.
        blank_id: id of the blank, the last of the V outputs.
    """
    ids = spread_evenly(batch, log_probs.shape[1]).to(log_probs.device)
    symbols = log_probs[..., :blank_id].transpose(1, 2)  # (B, V - 1, T)
    total = functional.cross_entropy(symbols, ids, ignore_index=-1, reduction="sum")
    return total / (ids >= 0).sum().clamp(min=1)


def spread_evenly(batch: Batch, n_frames: int) -> Tensor:
    """Return the symbol of each time step as (B, T) int64 ids on the CPU; -1 for no symbol."""
    targets, lengths = batch.targets.cpu(), batch.target_lengths.cpu()[:, None]
    begins, ends = (edges[:, None] for edges in ink_span(batch))
    frames = torch.arange(n_frames) + 0.5
    places = (frames - begins) * lengths / (ends - begins)  # in symbols from the first
    index, share = places.floor().long(), places - places.floor()
    inside = (index >= 0) & (index < lengths)
    has_symbol = inside & (share >= EDGE_SHARE) & (share <= 1 - EDGE_SHARE)
    ids = targets.gather(1, index.clamp(0, targets.shape[1] - 1))
    return torch.where(has_symbol, ids, -1)


def ink_span(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the first time step with ink and the end of the last, as (B,) int64 on the CPU.

    If there is less ink than the label needs, the span is the whole line.
    """
    n_frames = batch.widths // FRAME_STRIDE
    variation = batch.images[:, 0].std(1).cpu()  # (B, W)
    frames = variation.unfold(1, FRAME_STRIDE, FRAME_STRIDE).amax(2)
    ids = torch.arange(frames.shape[1])
    frames = frames.masked_fill(ids >= n_frames[:, None], 0.0)
    has_ink = frames >= INK_SHARE * frames.amax(1, keepdim=True).clamp(min=1e-6)
    begins = torch.where(has_ink, ids, len(ids)).amin(1)
    ends = torch.where(has_ink, ids + 1, 0).amax(1)
    too_little = ends - begins < batch.target_lengths.cpu()
    return torch.where(too_little, 0, begins), torch.where(too_little, n_frames, ends)


def best_path_error(log_probs: Tensor, batch: Batch, blank_id: int) -> float:
    """Return the character error rate of the best paths of a batch, to end the flat start.

    Args:
        log_probs: (B, T, V).
        batch: labels and widths.
        blank_id: id of the blank.
    """
    paths = log_probs.detach().argmax(2).cpu()
    n_frames = (batch.widths // FRAME_STRIDE).tolist()
    lengths = batch.target_lengths.tolist()
    n_edits = 0
    for i, (path, target) in enumerate(zip(paths, batch.targets.cpu(), strict=True)):
        ids = torch.unique_consecutive(path[: n_frames[i]])
        n_edits += Levenshtein.distance(
            ids[ids != blank_id].tolist(), target[: lengths[i]].tolist()
        )
    return float(n_edits / max(1, sum(lengths)))
