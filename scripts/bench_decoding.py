"""Measure the decoding time per line, without the network.

By default the CTC output is random, about as confident as that of a trained network, and the
language model is counted in random texts. The encoder-decoder is untrained. All its texts are
equally likely, so beam search prunes none.

With ``--model``, a trained network decodes validation images, and the language model is counted in
the training labels. Times are measured on one thread, the best of several runs.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from ocrsearch.core import Config, OcrSearchError, OptionError, Seq2SeqConfig
from ocrsearch.data import Charset, load_dataset
from ocrsearch.data.images import Line, prepare_image
from ocrsearch.models import Encoded, build_network, encode_lines
from ocrsearch.models.decoding import (
    BeamSearch,
    CtcOutput,
    Fusion,
    Hypothesis,
    LanguageModel,
    Lexicon,
    count_ngrams,
    ctc_beam_search,
    ctc_best_path,
)
from ocrsearch.training import load_bundle

FIRST_SYMBOL = 0x3B1
TEXT_LENGTH = 40


def _random_texts(rng: np.random.Generator, charset: Charset, n: int) -> list[str]:
    """Return texts of random words with very different frequencies."""
    symbols = list(charset.symbols)
    words = ["".join(rng.choice(symbols, rng.integers(2, 8))) for _ in range(500)]
    shares = 1.0 / np.arange(1, len(words) + 1)
    drawn = rng.choice(words, (n, TEXT_LENGTH // 5), p=shares / shares.sum())
    return ["".join(row)[:TEXT_LENGTH] for row in drawn]


def _random_output(
    rng: np.random.Generator, charset: Charset, texts: list[str], frames: int, sharpness: float
) -> CtcOutput:
    """Return noise plus the characters of each text, as from a network with few errors."""
    logits = rng.normal(size=(len(texts), frames, len(charset) + 1))
    for b, text in enumerate(texts):
        shown = np.full(frames, len(charset))
        places = np.linspace(1, frames - 2, len(text)).astype(int)
        shown[places] = charset.encode(text)
        logits[b, np.arange(frames), shown] += rng.normal(sharpness, 2.0, frames)
    logits -= np.log(np.exp(logits).sum(2, keepdims=True))
    return CtcOutput(logits.astype(np.float32), np.full(len(texts), frames))


def _report(name: str, n_lines: int, repeats: int, decode: Callable[[], object]) -> None:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        decode()
        seconds.append(time.perf_counter() - start)
    typer.echo(f"{name}: {1000 * min(seconds) / n_lines:.2f} ms per line")


def main(
    lines: Annotated[int, typer.Option(min=1, help="Number of lines per batch.")] = 64,
    frames: Annotated[int, typer.Option(min=8, help="Number of frames per line.")] = 128,
    symbols: Annotated[
        int, typer.Option(min=2, max=500, help="Number of characters without blank.")
    ] = 140,
    beam: Annotated[int, typer.Option(min=1, help="Beam size.")] = 10,
    sharpness: Annotated[float, typer.Option(help="Mean logit of the right character.")] = 8.0,
    repeats: Annotated[int, typer.Option(min=1, help="Number of runs; the best counts.")] = 5,
    model: Annotated[Path | None, typer.Option(help="Trained CRNN or seq2seq model.")] = None,
    data: Annotated[
        str, typer.Option(help="Dataset for --model, as for 'ocrsearch run'.")
    ] = "digits",
) -> None:
    """Print the milliseconds per line of each decoder."""
    torch.set_num_threads(1)
    if model is not None:
        try:
            _bench_model(model, data, beam, repeats)
        except OcrSearchError as error:
            typer.echo(f"bench_decoding: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        return
    rng = np.random.default_rng(0)
    charset = Charset([chr(FIRST_SYMBOL + i) for i in range(symbols)])
    texts = _random_texts(rng, charset, 2000 + lines)
    ngrams, _ = count_ngrams(texts[:2000], charset, order=6)
    output = _random_output(rng, charset, texts[2000:], frames, sharpness)
    model, lexicon = LanguageModel(ngrams, charset), Lexicon(texts[:2000], charset)
    plain = BeamSearch(beam)
    with_model = BeamSearch(beam, Fusion([(model, 0.5)], 0.5))
    with_both = BeamSearch(beam, Fusion([(model, 0.5), (lexicon, 2.0)], 0.5))
    typer.echo(f"{lines} lines, {frames} frames, {symbols} characters, beam {beam}")
    _report("CTC greedy", lines, repeats, lambda: ctc_best_path(output, symbols))
    for name, search in (
        ("CTC beam", plain),
        ("CTC beam, language model", with_model),
        ("CTC beam, language model, lexicon", with_both),
    ):
        _report(name, lines, repeats, lambda s=search: ctc_beam_search(output, symbols, s))
    _bench_seq2seq(lines, frames, symbols, repeats, plain, with_model)


@torch.inference_mode()
def _bench_seq2seq(
    lines: int,
    frames: int,
    symbols: int,
    repeats: int,
    plain: BeamSearch,
    with_model: BeamSearch,
) -> None:
    """Print the times of an untrained encoder-decoder with texts of about ``TEXT_LENGTH``."""
    config = Config(model=Seq2SeqConfig())
    model = build_network(config, symbols, seed=0).eval()
    sizes = (2 * config.model.encoder.hidden_size, config.model.encoder.linear_width)
    generator = torch.Generator().manual_seed(0)
    features, columns = (torch.randn(lines, frames, s, generator=generator) for s in sizes)
    encoded = Encoded(features, columns, torch.full((lines,), min(frames, TEXT_LENGTH)))
    both = BeamSearch(with_model.beam, with_model.fusion, ctc_weight=0.3)
    _report("seq2seq greedy", lines, repeats, model.readout(encoded).greedy)
    for name, search in (
        ("seq2seq beam", plain),
        ("seq2seq beam, language model", with_model),
        ("seq2seq beam, language model, CTC", both),
    ):
        _report(name, lines, repeats, lambda s=search: model.readout(encoded).beam_search(s))


@torch.inference_mode()
def _bench_model(path: Path, data: str, beam: int, repeats: int) -> None:
    """Print the times of a trained network, and the number of texts that pruning changes."""
    bundle = load_bundle(path)
    dataset = load_dataset(data)
    config, part = bundle.members[0].config, dataset.splits["val"]
    network = bundle.members[0].build_network().eval()
    if not config.model.has_beam_search:
        raise OptionError(f"--model {path}: a model for single characters has no beam search")
    lines = [Line(prepare_image(image, config.images)) for image in part.images]
    encoded = encode_lines(network, lines, torch.device("cpu"))
    outputs = [network.readout(output) for _, _, output in encoded]
    ngrams, _ = count_ngrams(dataset.splits["train"].texts, bundle.charset, order=6)
    fusion = Fusion([(LanguageModel(ngrams, bundle.charset), 0.4)], 0.0)
    typer.echo(f"{path.name}, {len(lines)} lines of {data}, beam {beam}")

    def read(search: BeamSearch | None) -> list[Hypothesis]:
        if search is None:
            return [h for output in outputs for h in output.greedy()]
        return [h for output in outputs for h in output.beam_search(search)]

    searches = {
        "greedy": None,
        "beam": BeamSearch(beam),
        "beam, language model": BeamSearch(beam, fusion),
    }
    if config.model.architecture == "seq2seq":
        searches["beam, language model, CTC"] = BeamSearch(beam, fusion, ctc_weight=0.3)
    for name, search in searches.items():
        _report(name, len(lines), repeats, lambda s=search: read(s))
        if search is not None:
            kept, every = read(search), read(replace(search, margin=math.inf))
            n = sum(a.ids != b.ids for a, b in zip(kept, every, strict=True))
            typer.echo(f"  without pruning {n} texts differ")


if __name__ == "__main__":
    typer.run(main)
