"""Encoder-decoder: the shared encoder with attention and a recurrent decoder.

Without attention the decoder sees only the encoder's last state, as in Cho et al., 2014
(arXiv:1406.1078). In training, some of its inputs may be its own predictions (scheduled sampling:
Bengio et al., 2015, arXiv:1506.03099), and a CTC head on the encoder helps the attention to align
(Kim, Hori and Watanabe, 2016, arXiv:1609.06773). The head reads the feature columns before the
RNN, as in the CRNN: on the features after it, the two losses interfered with each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from ocrsearch.core import Seq2SeqConfig
from ocrsearch.data import Batch
from ocrsearch.models.attention import ATTENTIONS, LastState, Memory, State
from ocrsearch.models.ctc_heads import ColumnHead, CtcTensors, aligning_loss, sample_outputs
from ocrsearch.models.decoding import CtcOutput, Decoder, DecoderReadout, Rows
from ocrsearch.models.encoder import Dropout, Encoded, Encoder
from ocrsearch.models.layers import EMBEDDING_SIZE
from ocrsearch.models.recogniser import Recogniser


class Seq2SeqOutput(NamedTuple):
    """Symbol probabilities under teacher forcing.

    Attributes:
        log_probs: (B, L + 1, V) float32 for each symbol of the label and its end.
        frame_lengths: (B,) int64, on the CPU.
    """

    log_probs: Tensor
    frame_lengths: Tensor


class Seq2Seq(Recogniser[Encoded]):
    """The shared encoder, and a recurrent decoder that writes symbol by symbol.

    The output is the encoder's. The end has the id after the symbols; the begin is the row after
    the end in the embedding.
    """

    has_flat_start = True

    def __init__(self, config: Seq2SeqConfig, height: int, n_symbols: int) -> None:
        super().__init__(config, height, n_symbols)
        hidden_size = config.encoder.hidden_size
        self.ctc_weight = config.decoder.ctc_weight
        self.sampling = config.decoder.scheduled_sampling
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
        """Read images with known labels (teacher forcing).

        Args:
            images: (B, 1, H, W) float32.
            widths: (B,) int64 in pixels, on the CPU.
            targets: (B, L) int64 symbol ids; values after the end of a label have no effect on it.
        """
        return self.teach(self.encoder(images, widths), targets)

    def teach(self, encoded: Encoded, targets: Tensor, sampling: float = 0.0) -> Seq2SeqOutput:
        """Read encoded images with known labels.

        Args:
            encoded: output of ``encode``.
            targets: as for ``forward``.
            sampling: probability, for each symbol, that the decoder continues from its own
                prediction instead of the label. Drawn from the global random state of the CPU,
                as dropout is, which a checkpoint saves. With 0 nothing is drawn.
        """
        memory, state = self._remember(encoded)
        begin = targets.new_full((len(targets), 1), self.bos_id)
        inputs = self.embedding(torch.cat([begin, targets], dim=1))  # (B, L + 1, E)
        own = torch.rand(targets.shape) < sampling if sampling > 0 else None
        outputs: list[Tensor] = []
        for i, embedded in enumerate(inputs.unbind(1)):
            if own is not None and i > 0 and bool(own[:, i - 1].any()):
                chosen = own[:, i - 1, None].to(embedded.device)
                with torch.no_grad():  # the best symbol, never the end: no input follows the end
                    ids = self.head(outputs[-1])[:, : self.eos_id].argmax(1)
                embedded = torch.where(chosen, self.embedding(ids), embedded)
            output, state = self._step(embedded, state, memory)
            outputs.append(output)
        logits = self.head(self.dropout(torch.stack(outputs, dim=1)))
        return Seq2SeqOutput(logits.float().log_softmax(2), encoded.frame_lengths)

    def start(self, encoded: Encoded) -> tuple[Memory, State, Tensor]:
        """Return memory, first state and first ids (B,) to decode encoded images."""
        memory, state = self._remember(encoded)
        ids = torch.full((len(state[0]),), self.bos_id, device=state[0].device)
        return memory, state, ids

    def step(self, ids: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """Return the next symbols' log probabilities (B, V) and the state, given (B,) ids."""
        output, state = self._step(self.embedding(ids), state, memory)
        return self.head(output).float().log_softmax(1), state

    def attention_weights(self, encoded: Encoded, ids: Sequence[int]) -> Tensor:
        """Return the attention weights with which the decoder writes a given text.

        Args:
            encoded: output for one image, of a network with attention.
            ids: L symbol ids.

        Returns:
            (L + 1, T) weights: a row for each symbol and the end, at least 0, with a sum of 1.
        """
        memory, state, begin = self.start(encoded)
        rows = []
        for symbol in [*begin.tolist(), *ids]:
            _, state = self.step(torch.full_like(begin, symbol), state, memory)
            rows.append(state[2][0, 0])
        return torch.stack(rows)

    @override
    def encode(self, images: Tensor, widths: Tensor) -> Encoded:
        encoded: Encoded = self.encoder(images, widths)
        return encoded

    @override
    def loss(self, output: Encoded, batch: Batch, step: int, *, flat: bool = False) -> Tensor:
        """Return the cross-entropy of symbols and ends; in training also CTC of the encoder.

        Scheduled sampling rises linearly with the number of the batch, so that a resumed training
        continues with the same value.
        """
        share = min(1.0, step / self.recipe.sampling_steps) if self.training else 0.0
        log_probs = self.teach(output, batch.targets, self.sampling * share).log_probs
        positions = torch.arange(log_probs.shape[1], device=batch.targets.device)
        lengths = batch.target_lengths[:, None]
        targets = functional.pad(batch.targets, (0, 1))  # (B, L + 1)
        targets = torch.where(positions == lengths, self.eos_id, targets)
        targets = targets.masked_fill(positions > lengths, -100)
        loss = functional.nll_loss(log_probs.flatten(0, 1), targets.flatten())
        if not self.training or self.ctc_weight == 0.0:
            return loss
        batch, outputs = sample_outputs(batch, self.blank_id)
        columns = self.column_head(output.columns, outputs)
        ctc = aligning_loss(columns, batch, step, flat=flat, recipe=self.recipe)
        return loss + self.ctc_weight * ctc

    @override
    def ctc_log_probs(self, output: Encoded) -> Tensor:
        log_probs: Tensor = self.column_head(output.columns)
        return log_probs

    @override
    def readout(self, output: Encoded) -> DecoderReadout:
        return DecoderReadout(TorchDecoder(self, output))

    @override
    def write(self, output: Encoded, n_written: int) -> None:
        """Take the steps in which the decoder writes any n symbols and an end."""
        memory, state, ids = self.start(output)
        for _ in range(n_written + 1):
            log_probs, state = self.step(ids, state, memory)
            ids = log_probs.max(1).indices

    def _remember(self, encoded: Encoded) -> tuple[Memory, State]:
        """Return the memory and the first state of the decoder for encoded images."""
        features, lengths = encoded.features, encoded.frame_lengths
        forward, backward = features.chunk(2, dim=2)
        rows = torch.arange(len(features), device=features.device)
        # the forward half at the last time step, the backward half at the first
        last = forward[rows, (lengths - 1).to(features.device)]
        last = torch.cat([last, backward[:, 0]], dim=1)  # (B, D)
        hidden = torch.tanh(self.initial(last))
        if self.uses_attention:
            mask = torch.arange(features.shape[1]) < lengths[:, None]
            memory = Memory(features, self.key(features), mask.to(features.device))
        else:
            values = last[:, None]
            memory = Memory(values, values, torch.ones_like(values[..., 0], dtype=torch.bool))
        past = hidden.new_zeros(len(hidden), self.attention.n_past, memory.mask.shape[1])
        return memory, (hidden, torch.zeros_like(hidden), past)

    def _step(self, embedded: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """Return the (B, hidden_size + D) output of a step before the head, and the state."""
        hidden, cell, past = state
        context, past = self.attention(hidden, past, memory)
        inputs = torch.cat([embedded, context], dim=1)
        if isinstance(self.cell, nn.LSTMCell):
            hidden, cell = self.cell(inputs, (hidden, cell))
        else:
            hidden = self.cell(inputs, hidden)
        return torch.cat([hidden, context], dim=1), (hidden, cell, past)


CPU_ROWS = 320
"""Number of texts, of all lines together, that a step on a CPU extends: they fit its cache."""


class TorchDecoder(Decoder):
    """The decoder of a ``Seq2Seq`` in evaluation mode, on the device of the network."""

    def __init__(self, network: Seq2Seq, encoded: Encoded) -> None:
        self.eos_id = network.eos_id
        self.frame_lengths = encoded.frame_lengths.numpy()
        self.max_rows = CPU_ROWS if encoded.features.device.type == "cpu" else None
        self._network, self._encoded = network, encoded
        self._memory: Memory | None = None

    @override
    @torch.inference_mode()
    def start(self) -> State:
        self._memory, state, _ = self._network.start(self._encoded)
        return state

    @override
    @torch.inference_mode()
    def step(
        self, ids: np.ndarray, state: tuple[Tensor, ...], rows: Rows | None = None
    ) -> tuple[np.ndarray, State]:
        assert self._memory is not None, "start comes first"
        memory = self._memory if rows is None else self._memory.for_rows(rows)
        inputs = torch.from_numpy(ids).to(self._encoded.features.device)
        hidden, cell, past = state
        log_probs, following = self._network.step(inputs, (hidden, cell, past), memory)
        return log_probs.cpu().numpy(), following

    @override
    @torch.inference_mode()
    def ctc(self) -> CtcOutput:
        log_probs = self._network.ctc_log_probs(self._encoded)
        return CtcTensors(log_probs, self._encoded.frame_lengths).to_numpy()

    @override
    def take(self, rows: np.ndarray) -> TorchDecoder:
        ids = torch.from_numpy(rows)
        return TorchDecoder(
            self._network, Encoded(*(part[ids.to(part.device)] for part in self._encoded))
        )

    @override
    def has_nan(self) -> bool:
        return any(bool(part.isnan().any()) for part in self._encoded)
