"""Options of ``ocrsearch best`` and the rules for combining them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ocrsearch.cli.output import option_of
from ocrsearch.core import OptionError


def is_onnx(path: Path) -> bool:
    """Return whether a file is to be written for ONNX Runtime."""
    return path.suffix.lower() == ".onnx"


@dataclass(frozen=True)
class Wanted:
    """Options of the command.

    Raises:
        OptionError: two options exclude each other, or an option needs another option.

    Attributes:
        storage: URL of the study database.
        limits: upper limits for metrics.
        export: model file to write; None to write no model.
        confirm: number of seeds for confirmation; None for no confirmation.
        ensemble: number of networks to combine; None for no ensemble.
        refit: whether to train the network again on all images.
        fp16_weights: whether to export float16 weights.
        int8: whether to export weights of 8 bits.
        moved: new locations of the data, by option; None for unchanged locations.
        trial: number of the trial to use; None for the best.
        force: whether to export a network that reads nothing.
        max_error: promised error rate of unchecked texts; None for no promise.
        as_json: whether to print JSON.
    """

    storage: str
    limits: dict[str, float]
    export: Path | None
    confirm: int | None
    ensemble: int | None
    refit: bool
    fp16_weights: bool
    int8: bool
    moved: dict[str, str | None]
    trial: int | None
    force: bool
    max_error: float | None
    as_json: bool

    def __post_init__(self) -> None:
        given = {
            "--confirm": self.confirm is not None,
            "--ensemble": self.ensemble is not None,
            "--refit": self.refit,
            "--fp16-weights": self.fp16_weights,
            "--int8": self.int8,
            "--force": self.force,
            "--max-error": self.max_error is not None,
        }
        chosen = [option for option in ("--confirm", "--ensemble", "--refit") if given[option]]
        if len(chosen) > 1:
            together = " and ".join(chosen)
            raise OptionError(f"{together}: cannot be combined; remove all but one option")
        for option in ("--refit", "--fp16-weights", "--int8", "--force", "--max-error"):
            if given[option] and self.export is None:
                raise OptionError(f"{option}: needs --export FILE; add it or remove {option}")
        if self.refit and self.max_error is not None:
            raise OptionError(
                "--max-error: cannot be combined with --refit, because the refit network is "
                "trained on the validation split; remove one of them"
            )
        if self.fp16_weights and self.export is not None and is_onnx(self.export):
            raise OptionError(
                "--fp16-weights: not for ONNX; export a .pt file, or give --int8 for a smaller "
                ".onnx file"
            )
        if self.int8 and self.max_error is not None:
            raise OptionError(
                "--int8: cannot be combined with --max-error, whose confidence is measured with "
                "float32; remove one of them"
            )
        if self.int8 and self.export is not None and not is_onnx(self.export):
            raise OptionError(
                "--int8: only for ONNX; give --export a name that ends in .onnx, or --fp16-weights "
                "for a smaller .pt file"
            )
        moved = [name for name, value in self.moved.items() if value is not None]
        if moved and not chosen and self.export is None:
            raise OptionError(
                f"{option_of(moved[0])}: needs --export, --confirm or --ensemble; nothing else "
                "reads the data"
            )
        if self.trial is not None and (given["--confirm"] or given["--ensemble"]):
            raise OptionError(
                f"--trial {self.trial}: cannot be combined with {chosen[0]}, which chooses trials "
                f"itself; remove --trial or {chosen[0]}"
            )
