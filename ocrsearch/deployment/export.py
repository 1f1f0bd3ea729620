"""Export of a recogniser to ONNX, with the proof that the file reads as the original does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ocrsearch.core import BundleError, program_version, replacing
from ocrsearch.data import Progress
from ocrsearch.deployment.networks import Graphs
from ocrsearch.deployment.parity import Compared, ComparisonImages, compare
from ocrsearch.deployment.quantization import lacks_vnni, quantized
from ocrsearch.deployment.writing import build_graphs, file_content
from ocrsearch.inference import load_onnx
from ocrsearch.training import Bundle

MAX_CER_INCREASE = 0.005
"""Default for the largest increase of the character error rate by weights of 8 bits."""

PACKAGES = ("torch", "onnx", "onnxruntime")


@dataclass(frozen=True)
class OnnxExport:
    """An exported file and its comparison with the original.

    Attributes:
        path: file.
        precision: "float32", or "int8" for weights of 8 bits.
        size_mb: size of the file in megabytes.
        n_networks: number of networks.
        n_images: number of images compared.
        n_random: number of random images among them.
        images: description of the images.
        n_different: number of texts that differ; 0 unless the weights have 8 bits.
        max_log_prob_difference: largest difference of two log probabilities.
        cer_before: character error rate of the original on the images; None without labels.
        cer_after: that of the file.
        notes: remarks about layers that were not quantised, and about the processor.
    """

    path: Path
    precision: str
    size_mb: float
    n_networks: int
    n_images: int
    n_random: int
    images: str
    n_different: int
    max_log_prob_difference: float
    cer_before: float | None
    cer_after: float | None
    notes: tuple[str, ...] = ()


def export_onnx(
    bundle: Bundle,
    path: Path,
    images: ComparisonImages,
    *,
    int8: bool = False,
    max_cer_increase: float = MAX_CER_INCREASE,
    progress: Progress | None = None,
) -> OnnxExport:
    """Write a recogniser as a file of ONNX, if it reads as PyTorch does.

    Args:
        bundle: recogniser.
        path: file to write.
        images: images for the comparison.
        int8: whether to store the weights of matrices and LSTMs in 8 bits.
        max_cer_increase: largest increase of the character error rate by that.
        progress: called with the number of images that were read, and the total.

    Raises:
        BundleError: the texts differ, the error rate rises too much, there are no labelled images
            for that, or the file cannot be written.
    """
    if int8 and images.labelled is None:
        raise BundleError(
            f"{path}: not written: `int8` needs labelled images to measure the error rate; give "
            "`data`"
        )
    graphs, notes = build_graphs(bundle), []
    steps = 1 + int8
    try:
        with replacing(path) as temporary:
            found = _compared(bundle, graphs, temporary, images, _share(progress, 0, steps))
            if found.n_different or math.isnan(found.max_difference):
                raise BundleError(_refusal(path, found))
            if int8:
                reduce_range = lacks_vnni()
                graphs = [quantized(g, reduce_range=reduce_range) for g in graphs]
                found = _compared(bundle, graphs, temporary, images, _share(progress, 1, steps))
                _check_increase(path, found, max_cer_increase)
                notes = _notes(bundle, reduce_range=reduce_range)
                bundle = replace(bundle, trust=bundle.trust.without_threshold())
            precision = "int8" if int8 else "float32"
            report = _report(path, precision, len(graphs), images, found, notes)
            temporary.write_bytes(file_content(bundle, graphs, _facts(report)))
            load_onnx(temporary)
            size_mb = temporary.stat().st_size / 1e6
    except OSError as error:
        raise BundleError(f"{path}: cannot be written ({error.strerror or error})") from None
    return OnnxExport(**{**report, "size_mb": size_mb})


def _share(progress: Progress | None, step: int, n_steps: int) -> Progress | None:
    """Return the progress of one of several comparisons, which all take as long."""
    if progress is None:
        return None
    return lambda done, total: progress(step * total + done, n_steps * total)


def _compared(
    bundle: Bundle,
    graphs: Sequence[Graphs],
    path: Path,
    images: ComparisonImages,
    progress: Progress | None,
) -> Compared:
    """Write the graphs, read the file again and compare it with the original."""
    path.write_bytes(file_content(bundle, graphs, {}))
    return compare(bundle, load_onnx(path), images, progress)


def _refusal(path: Path, found: Compared) -> str:
    if not found.n_different:
        return f"{path}: not written: ONNX Runtime computes NaN where PyTorch does not"
    return (
        f"{path}: not written: {found.n_different} texts differ between PyTorch and ONNX Runtime "
        f"on {found.n_images} images ({found.example}; largest difference of log probabilities "
        f"{found.max_difference:.2g}); keep the .pt file, and report this"
    )


def _check_increase(path: Path, found: Compared, limit: float) -> None:
    """Refuse weights of 8 bits that read worse than allowed."""
    assert found.cer_before is not None
    assert found.cer_after is not None
    increase = found.cer_after - found.cer_before
    if not increase <= limit:
        raise BundleError(
            f"{path}: not written: with `int8` the CER rises from {found.cer_before:.4f} to "
            f"{found.cer_after:.4f} on {found.n_images} images, allowed is an increase of "
            f"{limit:g}; export without `int8`, or raise `max_cer_increase`"
        )


def _notes(bundle: Bundle, *, reduce_range: bool) -> list[str]:
    cells = {getattr(m.config.model.encoder, "rnn_cell", "") for m in bundle.members}
    notes = ["GRU layers compute in float32: ONNX Runtime has no quantised GRU"] * ("gru" in cells)
    if bundle.trust.threshold:
        notes.append("no confidence is promised: that of the model was found with float32")
    if reduce_range:
        notes.append("weights of 7 bits: this processor has no VNNI instructions")
    return notes


def _report(
    path: Path,
    precision: str,
    n_networks: int,
    images: ComparisonImages,
    found: Compared,
    notes: Sequence[str],
) -> dict[str, Any]:
    """Return the values of an export, without the size."""
    return {
        "path": path,
        "precision": precision,
        "n_networks": n_networks,
        "n_images": found.n_images,
        "n_random": found.n_random,
        "images": images.source,
        "n_different": found.n_different,
        "max_log_prob_difference": found.max_difference,
        "cer_before": found.cer_before,
        "cer_after": found.cer_after,
        "notes": tuple(notes),
    }


def _facts(report: dict[str, Any]) -> dict[str, Any]:
    """Return the facts about an export that the file holds."""
    versions = {"ocrsearch": program_version(), **{name: version(name) for name in PACKAGES}}
    facts = {key: value for key, value in report.items() if key != "path"}
    return {**facts, "notes": list(facts["notes"]), "versions": versions}


def plain_report(export: OnnxExport) -> dict[str, Any]:
    """Return an export as plain values, for JSON."""
    return {**asdict(export), "path": str(export.path), "notes": list(export.notes)}
