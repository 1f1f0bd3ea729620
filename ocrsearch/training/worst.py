"""What a trained network reads worst in its validation split, as one picture."""

from __future__ import annotations

from pathlib import Path

from rapidfuzz.distance import Levenshtein

from ocrsearch.data.dataset import LabelledImages
from ocrsearch.data.sheet import contact_sheet, write_sheet
from ocrsearch.training.evaluation import read_lines
from ocrsearch.training.model_file import read_recogniser
from ocrsearch.training.trainer import Trainer

N_WORST = 10


def draw_worst(trainer: Trainer, val: LabelledImages, weights: Path, output: Path) -> None:
    """Write the worst errors of the best epoch of a training; nothing if it has none.

    The trainer's network has the weights of that epoch afterwards.

    Args:
        trainer: trainer at its end.
        val: validation samples of the training.
        weights: file of the best weights.
        output: image to write.
    """
    trainer.network.load_state_dict(read_recogniser(weights).weights)
    lines = trainer.val_lines
    reading = read_lines(trainer.network, trainer.architecture, lines, trainer.device)
    errors = []
    for i, (text, hypothesis) in enumerate(zip(val.texts, reading.hypotheses, strict=True)):
        read = trainer.charset.decode(hypothesis.ids)
        if read != text:
            share = Levenshtein.distance(text, read) / max(1, len(text))
            errors.append(
                (-share, -hypothesis.confidence, i, f"{text} read as {read or 'nothing'}")
            )
    if errors:
        worst = sorted(errors)[:N_WORST]
        write_sheet(contact_sheet([(val.images[i], label) for _, _, i, label in worst]), output)
