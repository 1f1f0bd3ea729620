"""Write the pretrained model file of the program: 16-bit weights, without local paths.

All steps, in the folder of ``config.yaml`` and ``recipe.yaml``:

    python fonts.py fonts --more /usr/share/fonts
    python corpus.py corpus.txt
    ocrsearch train --config config.yaml --data synth:recipe.yaml --seed 1 --output start.pt
    python pack.py start.pt latin.pt
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ocrsearch.inference import halve, load_bundle, save_bundle
from ocrsearch.training import Provenance


def main(
    model: Annotated[Path, typer.Argument(help="Trained model.")],
    out: Annotated[Path, typer.Argument(help="File to write.")],
) -> None:
    """Keep the weights, configuration, characters, metrics, seed and versions."""
    bundle = load_bundle(model)
    known = bundle.provenance
    provenance = Provenance(
        seed=known.seed, data="scripts/make_start", data_options={}, versions=known.versions
    )
    save_bundle(halve(replace(bundle, provenance=provenance)), out)
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB, CER {bundle.metrics['cer']:.3f}")


if __name__ == "__main__":
    typer.run(main)
