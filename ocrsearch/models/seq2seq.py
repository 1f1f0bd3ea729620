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
from torch.nn.utils.rnn import pad_sequence
from typing_extensions import override

from ocrsearch.core import Seq2SeqConfig
from ocrsearch.data import Batch
from ocrsearch.models.attention import ATTENTIONS, LastState, Memory, State
from ocrsearch.models.decoding import (
    BeamSearch,
    CtcOutput,
    Hypothesis,
    ctc_scores,
    seq2seq_beam_search,
)
from ocrsearch.models.encoder import Dropout, Encoded, Encoder
from ocrsearch.models.heads import ColumnHead, sample_outputs
from ocrsearch.models.layers import EMBEDDING_SIZE
from ocrsearch.models.losses import aligning_loss
from ocrsearch.models.recogniser import Recogniser

SAMPLING_STEPS = 500
"""Batches in which scheduled sampling rises from 0: early predictions are of no use as inputs."""


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
    has_beam_search = True

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
                embedded = torch.where(chosen, self._own_prediction(outputs[-1]), embedded)
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
        sampling = self.sampling * min(1.0, step / SAMPLING_STEPS) if self.training else 0.0
        log_probs = self.teach(output, batch.targets, sampling).log_probs
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
        return loss + self.ctc_weight * aligning_loss(columns, batch, step, flat=flat)

    @override
    def ctc_log_probs(self, output: Encoded) -> Tensor:
        log_probs: Tensor = self.column_head(output.columns)
        return log_probs

    @override
    def greedy(self, output: Encoded) -> list[Hypothesis]:
        """Write the most probable symbol at each step until the end.

        A text has at most as many symbols as its image has time steps.
        """
        memory, state, ids = self.start(output)
        limits = output.frame_lengths.to(ids.device)
        done = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
        steps: list[Tensor] = []
        scores: list[Tensor] = []
        for i in range(int(limits.max()) + 1):
            log_probs, state = self.step(ids, state, memory)
            best = log_probs.max(1)
            ids = best.indices.masked_fill(done | (limits <= i), self.eos_id)
            steps.append(ids)
            scores.append(log_probs.gather(1, ids[:, None])[:, 0].masked_fill(done, 0.0))
            done = done | (ids == self.eos_id)
            if bool(done.all()):
                break
        all_ids, all_scores = torch.stack(steps, 1).cpu(), torch.stack(scores, 1).double().cpu()
        return [
            _until_end(row, score, self.eos_id)
            for row, score in zip(all_ids.tolist(), all_scores.tolist(), strict=True)
        ]

    @override
    def beam_search(self, output: Encoded, search: BeamSearch) -> list[Hypothesis]:
        return seq2seq_beam_search(self, output, search)

    @override
    def score(
        self, output: Encoded, texts: Sequence[Sequence[int]], ctc_weight: float = 0.0
    ) -> np.ndarray:
        """Return the log probabilities of the decoder, plus those of the CTC head, weighted."""
        steps = self._step_log_probs(output, texts)
        totals = np.array(
            [scores[: len(text) + 1].sum() for text, scores in zip(texts, steps, strict=True)]
        )
        if ctc_weight == 0.0:
            return totals
        ctc = CtcOutput(self.ctc_log_probs(output), output.frame_lengths)
        return totals + ctc_weight * ctc_scores(texts, ctc, self.blank_id)

    @override
    def rate(self, output: Encoded, texts: Sequence[Sequence[int]]) -> list[Hypothesis]:
        return [
            _until_end([*text, self.eos_id], scores[: len(text) + 1].tolist(), self.eos_id)
            for text, scores in zip(texts, self._step_log_probs(output, texts), strict=True)
        ]

    @override
    def write(self, output: Encoded, n_written: int) -> None:
        """Take the steps in which the decoder writes any n symbols and an end."""
        memory, state, ids = self.start(output)
        for _ in range(n_written + 1):
            log_probs, state = self.step(ids, state, memory)
            ids = log_probs.max(1).indices

    def _step_log_probs(self, encoded: Encoded, texts: Sequence[Sequence[int]]) -> np.ndarray:
        """Return (B, L + 1) log probabilities of the symbols and the end; then arbitrary values."""
        rows = [torch.tensor([*text, self.eos_id]) for text in texts]
        targets = pad_sequence(rows, batch_first=True, padding_value=self.eos_id)
        targets = targets.to(encoded.features.device)
        log_probs = self.teach(encoded, targets[:, :-1]).log_probs
        scores: np.ndarray = log_probs.gather(2, targets[..., None])[..., 0].double().cpu().numpy()
        return scores

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

    def _own_prediction(self, output: Tensor) -> Tensor:
        """Return the embedding of the best symbol, never the end: no input follows the end."""
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
    """Return (B, D): the forward half at the last time step, the backward half at the first."""
    forward, backward = features.chunk(2, dim=2)
    last = (frame_lengths - 1).to(features.device)
    rows = torch.arange(len(features), device=features.device)
    return torch.cat([forward[rows, last], backward[:, 0]], dim=1)


def _until_end(ids: list[int], scores: list[float], eos_id: int) -> Hypothesis:
    length = ids.index(eos_id) if eos_id in ids else len(ids)
    confidences = np.exp(scores[: length + 1])
    symbols = tuple(float(c) for c in confidences[:length])
    return Hypothesis(tuple(ids[:length]), float(np.prod(confidences)), symbols)
