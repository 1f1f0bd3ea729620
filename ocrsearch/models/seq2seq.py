"""Encoder-decoder: the shared encoder with attention and a recurrent decoder.

Attention: which frames a decoder reads at each step.

Additive attention follows Bahdanau, Cho and Bengio, 2014 (arXiv:1409.0473). Location-aware
attention adds what was read so far: convolutions over the weights of the last step (Chorowski
et al., 2015, arXiv:1506.07503) and over the sum of all steps (as in Tacotron 2, Shen et al.,
2017, arXiv:1712.05884), which tells a symbol that was read from its like further on. Nothing is
read before the first step, so all these weights begin as zeros: one on the first frame would
say that it was.

Encoder-decoder: the shared encoder with a recurrent decoder.

Without attention the decoder sees only the encoder's last state, as in Cho et al., 2014
(arXiv:1406.1078). In training some of its inputs may be what it has read itself (scheduled
sampling: Bengio et al., 2015, arXiv:1506.03099), and a CTC head on the encoder helps the
attention to align (Kim, Hori and Watanabe, 2016, arXiv:1609.06773). It reads the columns before
the RNN, as the CRNN's second head does: on the features behind it, where the decoder reads, the
two losses were seen to get in each other's way.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ocrsearch.core import Seq2SeqConfig
from ocrsearch.models.crnn import ColumnHead
from ocrsearch.models.encoder import Dropout, Encoded, Encoder
from ocrsearch.models.layers import EMBEDDING_SIZE, LOCATION_FILTERS, LOCATION_WIDTH
from ocrsearch.models.rows import Rows


class Memory(NamedTuple):
    """The encoded pictures as the decoder reads them.

    Attributes:
        values: (B, T, D) with attention, (B, 1, D) without.
        keys: (B, T, hidden_size) projected values; unused without attention.
        mask: (B, T) bool, True where a frame belongs to the picture.
        rows: of N decoders, perhaps several for a picture; keys and mask are then those of the
            rows, the values still those of the pictures. None: a decoder for each picture.
    """

    values: Tensor
    keys: Tensor
    mask: Tensor
    rows: Rows | None = None

    def for_rows(self, rows: Rows) -> Memory:
        """Return what rows of decoders read of these pictures."""
        return Memory(self.values, self.keys[rows.lines], self.mask[rows.lines], rows)

    def read(self, weights: Tensor) -> Tensor:
        """Return the (N, D) means of the values under (N, T) weights."""
        if self.rows is None:
            return torch.bmm(weights[:, None], self.values)[:, 0]
        means = torch.bmm(self.rows.pad(weights, 0.0), self.values)
        return means[self.rows.lines, self.rows.places]


class AdditiveAttention(nn.Module):
    """Weights the frames by ``v . tanh(W query + U frame)``."""

    n_past = 1
    """Rows of weights in the decoder's state: those of the last step."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.query = nn.Linear(hidden_size, hidden_size)
        self.score = nn.Linear(hidden_size, 1, bias=False)

    def forward(self, hidden: Tensor, past: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Read the frames that a hidden state asks for; B are the rows where the memory has some.

        Args:
            hidden: (B, hidden_size).
            past: (B, n_past, T), what it returned at the step before, at first zeros.
            memory: what is read.

        Returns:
            The context (B, D), and the new past, its first row the weights of this step: at
            least 0, 1 in all for each picture, 0 in its padding.
        """
        weights = self._weights(self.query(hidden)[:, None] + memory.keys, memory)
        return memory.read(weights), weights[:, None]

    def _weights(self, sums: Tensor, memory: Memory) -> Tensor:
        """Return (B, T) weights for the (B, T, hidden_size) sums, which are overwritten.

        ``tanh(x)`` is ``2 sigmoid(2 x) - 1``, and what is the same for all frames changes no
        weight; a sigmoid is computed in a tenth of the time.
        """
        energies: Tensor = 2.0 * self.score(sums.mul_(2.0).sigmoid_())[..., 0]
        return energies.masked_fill(~memory.mask, float("-inf")).softmax(1)


class LocationAttention(AdditiveAttention):
    """Adds a term for the weights so far: ``v . tanh(W query + U frame + P (filters * past))``."""

    n_past = 2
    """The weights of the last step, and the sum of those of all steps."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__(hidden_size)
        self.filters = nn.Conv1d(
            self.n_past, LOCATION_FILTERS, LOCATION_WIDTH, padding=LOCATION_WIDTH // 2, bias=False
        )
        self.location = nn.Linear(LOCATION_FILTERS, hidden_size, bias=False)

    def forward(self, hidden: Tensor, past: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Do as additive attention does, with the past in view."""
        located = self.location(self.filters(past).transpose(1, 2))  # (B, T, hidden_size)
        sums = located.add_(self.query(hidden)[:, None]).add_(memory.keys)  # in place: a sixth less
        weights = self._weights(sums, memory)
        return memory.read(weights), torch.stack([weights, past[:, 1] + weights], dim=1)


class LastState(nn.Module):
    """No attention: the context is the same at every step."""

    n_past = 1

    def forward(self, hidden: Tensor, past: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Return the one value (B, D) in memory, and the past as it is."""
        values = memory.values[:, 0]
        return (values if memory.rows is None else values[memory.rows.lines]), past


ATTENTIONS: dict[str, type[AdditiveAttention]] = {
    "additive": AdditiveAttention,
    "location": LocationAttention,
}
"""The kinds of attention; without any there is ``LastState``."""


State = tuple[Tensor, Tensor, Tensor]
"""Hidden and cell state, (B, hidden_size) each, a GRU leaves the second alone; and what attention
keeps of its past, (B, n_past, T), in the first row the weights of the last step.

The first dimension of all three are the pictures, or the rows of a beam search: a text in each.
"""


class Seq2SeqOutput(NamedTuple):
    """Symbol probabilities under teacher forcing.

    Attributes:
        log_probs: (B, L + 1, V) float32 for each symbol of the label and its end.
        frame_lengths: (B,) int64, on the CPU.
    """

    log_probs: Tensor
    frame_lengths: Tensor


class Seq2Seq(nn.Module):
    """The shared encoder, and a recurrent decoder that writes symbol by symbol.

    Ids: symbols from 0, then the end. The begin is the row behind them in the embedding.
    """

    def __init__(self, config: Seq2SeqConfig, height: int, n_symbols: int) -> None:
        super().__init__()
        hidden_size = config.encoder.hidden_size
        self.ctc_weight = config.decoder.ctc_weight
        self.sampling = config.decoder.sampling
        self.encoder = Encoder(config.encoder, height)
        size = self.encoder.feature_size
        self.eos_id, self.bos_id, self.blank_id = n_symbols, n_symbols + 1, n_symbols
        self.uses_attention = config.decoder.attention != "none"
        self.attention = (
            ATTENTIONS[config.decoder.attention](hidden_size)
            if self.uses_attention
            else LastState()
        )
        self.key = nn.Linear(size, hidden_size) if self.uses_attention else nn.Identity()
        self.initial = nn.Linear(size, hidden_size)
        self.embedding = nn.Embedding(n_symbols + 2, EMBEDDING_SIZE)
        cell = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}[config.encoder.rnn_cell]
        self.cell = cell(EMBEDDING_SIZE + size, hidden_size)
        self.dropout = Dropout(config.encoder.dropout)
        self.head = nn.Linear(hidden_size + size, n_symbols + 1)
        self.column_head = ColumnHead(config.encoder.linear_width, n_symbols + 1)

    def forward(self, images: Tensor, widths: Tensor, targets: Tensor) -> Seq2SeqOutput:
        """Read pictures with the labels known (teacher forcing).

        Args:
            images: (B, 1, H, W) float32.
            widths: (B,) int64 in pixels, on the CPU.
            targets: (B, L) int64 symbol ids; what stands behind a label has no effect on it.
        """
        return self.teach(self.encoder(images, widths), targets)

    def teach(self, encoded: Encoded, targets: Tensor, sampling: float = 0.0) -> Seq2SeqOutput:
        """Do the same with pictures that are encoded already.

        Args:
            encoded: the pictures.
            targets: as for ``forward``.
            sampling: probability, for each symbol, that the decoder goes on from its own
                reading instead; drawn from the global random state of the CPU, as dropout is,
                which a training saves. With 0 nothing is drawn.
        """
        memory, state = self._remember(encoded)
        begin = targets.new_full((len(targets), 1), self.bos_id)
        inputs = self.embedding(torch.cat([begin, targets], dim=1))  # (B, L + 1, E)
        own = torch.rand(targets.shape) < sampling if sampling > 0 else None
        outputs: list[Tensor] = []
        for i, embedded in enumerate(inputs.unbind(1)):
            if own is not None and i > 0 and bool(own[:, i - 1].any()):
                chosen = own[:, i - 1, None].to(embedded.device)
                embedded = torch.where(chosen, self._own_reading(outputs[-1]), embedded)
            output, state = self._step(embedded, state, memory)
            outputs.append(output)
        logits = self.head(self.dropout(torch.stack(outputs, dim=1)))
        return Seq2SeqOutput(logits.float().log_softmax(2), encoded.frame_lengths)

    def start(self, encoded: Encoded) -> tuple[Memory, State, Tensor]:
        """Return memory, first state and first ids (B,) to decode encoded pictures."""
        memory, state = self._remember(encoded)
        ids = torch.full((len(state[0]),), self.bos_id, device=state[0].device)
        return memory, state, ids

    def step(self, ids: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """Return the next symbols' log probabilities (B, V) and the state, given (B,) ids."""
        output, state = self._step(self.embedding(ids), state, memory)
        return self.head(output).float().log_softmax(1), state

    def _remember(self, encoded: Encoded) -> tuple[Memory, State]:
        features, lengths = encoded.features, encoded.frame_lengths
        last = _last_state(features, lengths)
        hidden = torch.tanh(self.initial(last))
        if self.uses_attention:
            mask = torch.arange(features.shape[1]) < lengths[:, None]
            memory = Memory(features, self.key(features), mask.to(features.device))
        else:
            values = last[:, None]
            memory = Memory(values, values, torch.ones_like(values[..., 0], dtype=torch.bool))
        past = hidden.new_zeros(len(hidden), self.attention.n_past, memory.mask.shape[1])
        return memory, (hidden, torch.zeros_like(hidden), past)

    def _own_reading(self, output: Tensor) -> Tensor:
        """Return the embedding of the best symbol; the end is none, nothing is read after it."""
        with torch.no_grad():
            ids = self.head(output)[:, : self.eos_id].argmax(1)
        embedded: Tensor = self.embedding(ids)
        return embedded

    def _step(self, embedded: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        hidden, cell, past = state
        context, past = self.attention(hidden, past, memory)
        inputs = torch.cat([embedded, context], dim=1)
        if isinstance(self.cell, nn.LSTMCell):
            hidden, cell = self.cell(inputs, (hidden, cell))
        else:
            hidden = self.cell(inputs, hidden)
        return torch.cat([hidden, context], dim=1), (hidden, cell, past)


def _last_state(features: Tensor, frame_lengths: Tensor) -> Tensor:
    """Return (B, D): the forward half at the last frame, the backward half at the first."""
    forward, backward = features.chunk(2, dim=2)
    last = (frame_lengths - 1).to(features.device)
    rows = torch.arange(len(features), device=features.device)
    return torch.cat([forward[rows, last], backward[:, 0]], dim=1)
