"""``ocrsearch language-model``: learn from texts which symbol follows which."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ocrsearch.cli.options import Json, OptionalData, print_json, takes_data_options


@takes_data_options
def language_model(
    export: Annotated[Path, typer.Option(metavar="FILE", help="Where to write it, as lm.npz.")],
    data: OptionalData = None,
    corpus: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Texts, one a line; may be given several times."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Split the data as for this model, as 'evaluate' does."),
    ] = None,
    order: Annotated[int, typer.Option(help="Symbols of the longest n-gram, 1 to 8.")] = 6,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Learn a language model for --beam from the training labels of --data and from texts.

    The data is split as by a search with the same options, or that found --model. Validation
    labels are only measured.
    """
    from ocrsearch.data.options import DataOptions
    from ocrsearch.models.ngrams import save_ngrams
    from ocrsearch.training.language_model import learn_language_model

    options = DataOptions()
    if model is not None:
        from ocrsearch.deploy.bundle import load_bundle

        options = load_bundle(model).data_options()
    learnt = learn_language_model(data, corpus or [], order, replace(options, **given))
    ngrams = learnt.ngrams
    save_ngrams(ngrams, export)
    content = {
        "data": data,
        "corpora": corpus or [],
        "order": order,
        "n_texts": ngrams.n_texts,
        "n_left_out": learnt.n_left_out,
        "n_symbols": len(ngrams.charset),
        "n_contexts": len(ngrams.backoff),
        "perplexity": learnt.perplexity,
        "n_val": learnt.n_val,
        "n_val_left_out": learnt.n_val_left_out,
        "export": str(export),
    }
    if as_json:
        print_json(content)
        return
    typer.echo(f"{ngrams.n_texts} texts, {len(ngrams.charset)} symbols, order {order}")
    if learnt.n_left_out:
        typer.echo(f"{learnt.n_left_out} texts have symbols that no label has and are left out")
    if learnt.perplexity is not None:
        typer.echo(f"perplexity {learnt.perplexity:.2f} on {learnt.n_val} validation labels")
    if learnt.n_val_left_out:
        typer.echo(f"{learnt.n_val_left_out} of them have unknown symbols and are left out")
    typer.echo(f"language model written to {export}")
