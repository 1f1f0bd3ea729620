"""CRNN: the encoder with a CTC head (Shi, Bai and Yao, 2015, arXiv:1507.05717).

In training a second CTC head reads the feature columns before the RNN. It gives the convolutions
a gradient while the RNN has not learned anything yet, and is not used for recognition.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from ocrsearch.core import CrnnConfig
from ocrsearch.data import Batch
from ocrsearch.models.ctc_heads import (
    ColumnHead,
    CtcTensors,
    Outputs,
    aligning_loss,
    ctc_loss,
    rows_of,
    sample_outputs,
)
from ocrsearch.models.decoding import CtcReadout
from ocrsearch.models.encoder import Encoded, Encoder
from ocrsearch.models.recogniser import Recogniser


class Crnn(Recogniser[CtcTensors | Encoded]):
    """Conv tower, linear layer, bidirectional RNN, CTC.

    The output is the encoder's in training, where the loss computes the heads, and that of the
    head in evaluation.
    """

    has_flat_start = True

    def __init__(self, config: CrnnConfig, height: int, n_symbols: int) -> None:
        super().__init__(config, height, n_symbols)
        self.encoder = Encoder(config.encoder, height)
        self.head = nn.Linear(self.encoder.feature_size, n_symbols + 1)
        self.column_head = ColumnHead(config.encoder.linear_width, n_symbols + 1)
        self.blank_id = n_symbols

    def forward(self, images: Tensor, widths: Tensor) -> CtcTensors:
        """Return the head's output; the arguments are those of ``encode``."""
        return self._read_out(self.encoder(images, widths))

    def read(self, encoded: Encoded, outputs: Outputs | None = None) -> Tensor:
        """Return the head's (B, T, V) log probabilities of all or the selected outputs."""
        if outputs is None:
            logits = self.head(encoded.features)
        else:
            logits = functional.linear(encoded.features, *rows_of(self.head, outputs))
        log_probs: Tensor = logits.float().log_softmax(2)
        return log_probs

    def _read_out(self, output: CtcTensors | Encoded) -> CtcTensors:
        if isinstance(output, CtcTensors):
            return output
        return CtcTensors(self.read(output), output.frame_lengths)

    @override
    def encode(self, images: Tensor, widths: Tensor) -> CtcTensors | Encoded:
        output: CtcTensors | Encoded = (self.encoder if self.training else self)(images, widths)
        return output

    @override
    def loss(
        self, output: CtcTensors | Encoded, batch: Batch, step: int, *, flat: bool = False
    ) -> Tensor:
        """Return the CTC loss; in training the weighted sum of both heads."""
        if isinstance(output, CtcTensors):
            return ctc_loss(output.log_probs, batch, self.blank_id)
        batch, outputs = sample_outputs(batch, self.blank_id)
        recipe = self.recipe
        log_probs = self.read(output, outputs)
        main = aligning_loss(log_probs, batch, step, flat=flat, recipe=recipe)
        log_probs = self.column_head(output.columns, outputs)
        columns = aligning_loss(log_probs, batch, step, flat=flat, recipe=recipe)
        return main + recipe.column_head_weight * columns

    @override
    def ctc_log_probs(self, output: CtcTensors | Encoded) -> Tensor:
        return self._read_out(output).log_probs

    @override
    def readout(self, output: CtcTensors | Encoded) -> CtcReadout:
        return self._read_out(output).readout()
