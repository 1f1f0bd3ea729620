"""Epochs as scalars in TensorBoard's logs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ocrsearch.errors import OptionError
from ocrsearch.training.epochs import Epochs

SCALARS = {
    "loss/train": "train_loss",
    "loss/val": "val_loss",
    "val/cer": "cer",
    "val/exact": "exact",
    "learning_rate": "learning_rate",
}


class TensorBoardLog:
    """Writes each epoch once; a training that goes on replaces what an earlier run has written."""

    def __init__(self, folder: Path) -> None:
        """Open a log in a folder, which is made if it is missing.

        Raises:
            OptionError: TensorBoard is not installed, or the folder cannot be made.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise OptionError(
                "TensorBoard is not installed; pip install 'ocrsearch[tensorboard]'", "tensorboard"
            ) from None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OptionError(f"{folder}: {error.strerror or error}", "tensorboard") from None
        # a writer takes back what is in the folder: none before there is something to write
        self._open: Callable[[], SummaryWriter] = partial(SummaryWriter, str(folder), purge_step=1)
        self._writer: SummaryWriter | None = None
        self._n_written = 0

    def write(self, epochs: Epochs) -> None:
        """Write the records that are not written yet."""
        self._writer = self._writer or self._open()
        for record in epochs[self._n_written :]:
            for tag, key in SCALARS.items():
                self._writer.add_scalar(tag, record[key], record["epoch"])
        self._n_written = len(epochs)
        self._writer.flush()

    def close(self) -> None:
        """End the log."""
        if self._writer:
            self._writer.close()
