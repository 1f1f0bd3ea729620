r"""Write the pretrained model file of the program: 16-bit weights, without local paths.

All steps, in the folder of ``config.yaml`` and ``recipe.yaml``:

    python fonts.py fonts --more /usr/share/fonts
    python corpus.py corpus.txt
    ocrsearch train --config config.yaml --data synth:recipe.yaml --seed 1 --output first.pt
    ocrsearch train --config config.yaml --data synth:recipe.yaml --init first.pt --seed 2 \
      --epochs 18 --set training.learning_rate=1.1e-3 --set training.warmup_steps=200 \
      --set training.decay_fraction=0.6 --output second.pt
    python pack.py second.pt latin.pt --earlier first.pt

The first training of the present file had the seed 0 in ``recipe.yaml``, lines of at most 60
characters, and 131 of the fonts.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ocrsearch.data import Charset
from ocrsearch.models import build_network
from ocrsearch.training import (
    Bundle,
    Provenance,
    halve,
    load_bundle,
    read_start_weights,
    save_bundle,
    transfer_weights,
)


def main(
    model: Annotated[Path, typer.Argument(help="Trained model.")],
    out: Annotated[Path, typer.Argument(help="File to write.")],
    earlier: Annotated[
        Path | None, typer.Option(help="Earlier model; its further characters are added.")
    ] = None,
) -> None:
    """Keep the weights, configuration, characters, metrics, seed and versions."""
    bundle = load_bundle(model)
    if earlier is not None:
        bundle = with_characters(bundle, model, earlier)
    known = bundle.provenance
    provenance = Provenance(
        seed=known.seed, data="scripts/make_start", data_options={}, versions=known.versions
    )
    save_bundle(halve(replace(bundle, provenance=provenance)), out)
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB, CER {bundle.metrics['cer']:.3f}")


def with_characters(bundle: Bundle, model: Path, earlier: Path) -> Bundle:
    """Add the outputs for characters that only an earlier model has."""
    starts = [read_start_weights(path) for path in (earlier, model)]
    symbols = {c for start in starts for c in start.charset.symbols}
    charset = Charset(sorted(symbols), bundle.charset.bidi)
    network = build_network(bundle.config, len(charset), 0)
    for start in starts:  # the later weights replace the earlier ones
        transfer_weights(start, network, bundle.config, charset)
    return replace(bundle, charset=charset, weights=network.state_dict())


if __name__ == "__main__":
    typer.run(main)
