"""Learning curves for tests of promotion."""

from __future__ import annotations

from ocrsearch.training.records import EpochRecord, Epochs, Pooled


def curve(n: int, cer: float, loss: float = 1.0) -> Epochs:
    return [EpochRecord(epoch=i + 1, cer=cer, val_loss=loss) for i in range(n)]


def folded(n_folds: int, cer: float = 0.1, n: int = 4, n_more: int = 0) -> Epochs:
    """Return the curve of a configuration that has seen some folds of n epochs, and a bit more."""
    epochs = curve(n_folds * n + n_more, cer)
    for i, record in enumerate(epochs):
        pooled = Pooled(cer=cer, wer=cer, exact=0.0, val_loss=1.0) if (i + 1) % n == 0 else None
        changes = {"fold": i // n + 1, "n_folds": 3, "pooled": pooled}
        epochs[i] = record.model_copy(update=changes)
    return epochs
