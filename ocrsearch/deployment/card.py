"""Model cards: a description of a model for people, with a header for the Hugging Face hub.

A card says what the model file records and what was measured for the card, and nothing else; what
is not recorded is called unknown. The header follows the hub's specification of model cards
(``modelcard.md`` in huggingface/hub-docs).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from ocrsearch.core import FRAME_STRIDE, OptionError
from ocrsearch.data.images import MAX_WIDTH_PX
from ocrsearch.deployment.markdown import characters, code, code_block, table, yaml_header
from ocrsearch.inference import Evaluation
from ocrsearch.models import count_parameters, list_layers

if TYPE_CHECKING:
    from ocrsearch.evaluation import Trust
    from ocrsearch.training import Model, Provenance

UNKNOWN = "unknown"

RATES = {
    "cer": ("character error rate", "cer"),
    "wer": ("word error rate", "wer"),
    "exact": ("exact match", "exact_match"),
}
"""Words for each rate, and its name on the hub."""

ARCHITECTURES = {
    "crnn": "convolutions, recurrent layers and CTC (CRNN)",
    "seq2seq": "an encoder and a decoder with attention (sequence to sequence)",
    "classifier": "a classifier of single characters",
}
"""Words for the known architectures."""

_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,49}")


@dataclass(frozen=True)
class CardOptions:
    """Facts that a model file does not record.

    Attributes:
        name: name of the model; empty for the name of the file.
        license: identifier of the licence on the hub.
        license_name: name of a licence that the hub does not know; only with "other".

    Raises:
        OptionError: the licence is no identifier, or its name is missing or superfluous.
    """

    name: str = ""
    license: str = UNKNOWN
    license_name: str = ""

    def __post_init__(self) -> None:
        if not _LICENSE.fullmatch(self.license):
            problem = f"must be an identifier such as apache-2.0 or other, got {self.license!r}"
            raise OptionError(problem, "license")
        if bool(self.license_name) != (self.license == "other"):
            problem = "must be given together with the licence 'other', and only with it"
            raise OptionError(problem, "license_name")


@dataclass(frozen=True)
class CardTest:
    """A measurement for a card.

    Attributes:
        data: specification of the data.
        split: name of the split.
        decoder: decoding method.
        n_bad: number of skipped samples.
        evaluation: error rates.
    """

    data: str
    split: str
    decoder: str
    n_bad: int
    evaluation: Evaluation


def model_card(
    path: Path, model: Model, options: CardOptions | None = None, test: CardTest | None = None
) -> str:
    """Return the card of a model as Markdown with a YAML header.

    Args:
        path: model file; only its name is shown.
        model: the model in it.
        options: facts that the file does not record.
        test: measurement on test images, if there is one.
    """
    options = options or CardOptions()
    name = options.name or path.stem
    parts = [
        f"# {code(name)}",
        "A model of ocrsearch that recognises the text in an image of one character."
        if model.config.model.reads_one
        else "A model of ocrsearch that recognises the text in an image of one line.",
        *("## What it reads", _reads(model)),
        *("## Training", _training(model)),
        *("## Figures", _figures(model, test)),
        *("## Limits", _limits(model, test)),
        *("## Use", _use(path.name)),
        *("## Licence", _licence(options)),
    ]
    return yaml_header(_header(name, model, options, test)) + "\n" + "\n\n".join(parts) + "\n"


def _header(name: str, model: Model, options: CardOptions, test: CardTest | None) -> dict[str, Any]:
    """Return the metadata for the hub."""
    header: dict[str, Any] = {"license": options.license}
    if options.license_name:
        header |= {"license_name": options.license_name, "license_link": "LICENSE"}
    header |= {
        "library_name": "ocrsearch",
        "pipeline_tag": "image-to-text",
        "tags": ["ocrsearch", "ocr", "text-recognition", model.config.model.architecture],
    }
    results = []
    if rates := _recorded(model):
        where = model.provenance.metrics_of or "validation"
        results.append(_result(model.provenance.data, where, rates))
    if test is not None:
        metrics = test.evaluation.metrics
        rates = {key: getattr(metrics, key) for key in RATES}
        results.append(_result(test.data, test.split, rates))
    if results:
        types = [metric["type"] for result in results for metric in result["metrics"]]
        header["metrics"] = list(dict.fromkeys(types))
        header["model-index"] = [{"name": name, "results": results}]
    return header


def _recorded(model: Model) -> dict[str, float]:
    """Return the rates that the model file records."""
    return {key: model.metrics[key] for key in RATES if key in model.metrics}


def _result(data: str | None, split: str, rates: Mapping[str, float]) -> dict[str, Any]:
    """Return figures on a split as an entry of the hub's ``model-index``."""
    name = _data_name(data)
    kind = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or UNKNOWN
    return {
        "task": {"type": "image-to-text", "name": "Text recognition"},
        "dataset": {"type": kind, "name": name, "split": split},
        "metrics": [
            {"type": RATES[key][1], "name": f"{RATES[key][0]}, {split}", "value": round(value, 6)}
            for key, value in rates.items()
        ],
    }


def _data_name(spec: str | None) -> str:
    """Return the format and the name of a dataset, without the folders of whoever trained."""
    if not spec:
        return UNKNOWN
    kind, colon, path = spec.partition(":") if re.match(r"\w+:", spec) else ("", "", spec)
    return f"{kind}{colon}{PurePath(path).name or path}"


def _reads(model: Model) -> str:
    config, charset = model.config, model.charset
    height = config.images.height
    lines = [
        f"- Images in any mode and size. They are converted to grey, scaled to a height of {height}"
        f" pixels, and squeezed if they are then wider than {MAX_WIDTH_PX:,} pixels.",
        f"- Scaling of the width, relative to the height: {config.images.width_scale:g}.",
        f"- Preprocessing: {_preprocessing(model)}.",
        f"- Length: {_length(model)}",
        f"- Right-to-left text: {_direction(charset.bidi)}.",
        f"- Network: {_network(model)}.",
        f"- Characters: {len(charset)}. The model can write no others:",
    ]
    return "\n".join(lines) + "\n\n" + characters(charset.symbols)


def _preprocessing(model: Model) -> str:
    steps = model.config.images.preprocess.model_dump(mode="json", exclude_defaults=True)
    return ", ".join(f"{key} {code(value)}" for key, value in steps.items()) or "none"


def _length(model: Model) -> str:
    architecture = model.config.model
    if architecture.reads_one:
        return "one character per image."
    limit = f"one character for every {FRAME_STRIDE} pixels of the scaled width"
    most = f" At most {limit}." if not architecture.has_decoder else ""
    return f"{UNKNOWN} for the training labels.{most}"


def _direction(bidi: str) -> str:
    return "not reordered" if bidi == "off" else f"written in logical order (setting {code(bidi)})"


def _network(model: Model) -> str:
    n_symbols, members = len(model.charset), model.members
    names = dict.fromkeys(member.config.model.architecture for member in members)
    kinds = " and ".join(ARCHITECTURES.get(name, code(name)) for name in names)
    n_weights = sum(
        count_parameters(list_layers(m.config, n_symbols, 4 * m.config.images.height, 1))
        for m in members
    )
    several = f"an ensemble of {len(members)} networks: " if len(members) > 1 else ""
    return f"{several}{kinds}, {n_weights:,} weights"


def _training(model: Model) -> str:
    about = model.provenance
    refit = f"{about.refit.n:,} for the last training" if about.refit else UNKNOWN
    extra = about.data_options.get("extra_train_data")
    lines = [
        f"- Data: {code(_data_name(about.data))}; fingerprint {_known(about.data_fingerprint)}.",
        f"- More training data: {code(_data_name(str(extra))) if extra else 'none recorded'}.",
        f"- Number of training images: {refit}. Their sizes: {UNKNOWN}.",
        f"- Licence and origin of the data: {UNKNOWN}.",
        f"- Split: {_split(about)}.",
        f"- Splits trained on: {', '.join(map(code, about.splits_seen)) or code('train')}.",
        f"- Pretrained weights: {_pretrained(about)}.",
        f"- Study: {_known(about.study)}, trial {_known(about.trial)}, seed {_known(about.seed)}.",
        f"- Epochs: {len(about.epochs) or UNKNOWN}.",
        f"- Versions: {_versions(about)}.",
    ]
    return "\n".join(lines)


def _known(value: object) -> str:
    return UNKNOWN if value is None else code(value)


def _split(about: Provenance) -> str:
    options = about.data_options
    if not options:
        return UNKNOWN
    if options.get("splits"):
        return f"by the file {code(_data_name(str(options['splits'])))}"
    groups = f", by groups of {code(options['group'])}" if options.get("group") else ""
    return f"that of the data, or drawn with seed {_known(options.get('split_seed'))}{groups}"


def _pretrained(about: Provenance) -> str:
    if about.init is None:
        return "none recorded"
    return f"those of a model with the hash {code(about.init)}"


def _versions(about: Provenance) -> str:
    pairs = [f"{code(name)} {code(value)}" for name, value in list(about.versions.items())[:20]]
    return ", ".join(pairs) or UNKNOWN


def _figures(model: Model, test: CardTest | None) -> str:
    parts = []
    about = model.provenance
    if rates := _recorded(model):
        where = code(about.metrics_of) if about.metrics_of else "the validation split"
        note = (
            f"On {where} of {code(_data_name(about.data))}, as the model file records it. The "
            "number of images and intervals are unknown. If the model was chosen by these images, "
            "the figures are optimistic."
        )
        rows = [(RATES[key][0], f"{value:.4g}") for key, value in rates.items()]
        parts += [note, table(("rate", "value"), rows)]
    else:
        parts.append("Figures of the training: unknown.")
    if test is None:
        parts.append("Figures on test images: unknown.")
        return "\n\n".join(parts)
    metrics, intervals = test.evaluation.metrics, test.evaluation.intervals
    skipped = f" {test.n_bad} unusable samples were skipped." if test.n_bad else ""
    note = (
        f"Measured for this card on {metrics.n:,} images of {code(_data_name(test.data))}, "
        f"{code(test.split)}, with {code(test.decoder)}.{skipped}"
    )
    measured = [
        (words, f"{getattr(metrics, key):.4f}", "{:.4f} to {:.4f}".format(*intervals[key]))
        for key, (words, _) in RATES.items()
    ]
    return "\n\n".join([*parts, note, table(("rate", "value", "95 % interval"), measured)])


def _limits(model: Model, test: CardTest | None) -> str:
    one = model.config.model.reads_one
    tested = "the images above" if model.metrics or test else "no images"
    lines = [
        f"- Measured on {tested} only. Other fonts, hands, cameras and backgrounds are not tested.",
        "- Characters outside the list above cannot be written. The model reads others in their "
        "place, or nothing.",
        f"- Each image is read as one {'character' if one else 'line'}. An image without text but "
        "with contrast is read too; only its confidence tells.",
        "- An image without contrast is blank: the text is empty and the confidence 0.",
        *_trust(model.trust),
    ]
    return "\n".join(lines)


def _trust(trust: Trust) -> list[str]:
    """Return lines about the confidence."""
    if trust.n == 0:
        text = "Confidences are those of the network. The model file records no calibration."
        return [f"- {text}"]
    lines = [
        f"- Confidences are calibrated on {trust.n:,} validation texts (temperature "
        f"{trust.temperature:.2f})."
    ]
    if trust.familiarity:
        lines.append(
            "- The confidence of an image is low if it is unlike the training images, such as a "
            "blank sheet, noise or other writing."
        )
    if found := trust.threshold:
        lines.append(
            f"- Texts with a confidence of at least {found.confidence:.4g} have an error in at "
            f"most {found.max_error:.2%} of cases, with 95 % certainty and for images of the same "
            f"kind: {found.n_accepted:,} of {found.n:,} validation texts reach it, "
            f"{found.n_wrong:,} of these have an error."
        )
    return lines


def _use(file: str) -> str:
    word = f"./{file}" if file.startswith("-") else file
    commands = ("predict", word, "image.png"), ("serve", word)
    shell = [shlex.join(["ocrsearch", *words]) for words in commands]
    python = [
        "import ocrsearch",
        "",
        f"model = ocrsearch.load({file!r})",
        'prediction = model.predict("image.png")',
        "print(prediction.text, prediction.confidence)",
    ]
    parts = [
        "In a shell, for files and as a web service:",
        code_block("\n".join(shell)),
        "From Python:",
        code_block("\n".join(python), "python"),
    ]
    if file.lower().endswith(".onnx"):
        parts.append("The file is read with ONNX Runtime. PyTorch is not needed.")
    return "\n\n".join(parts)


def _licence(options: CardOptions) -> str:
    if options.license == UNKNOWN:
        return "Unknown. Ask the publisher of the model."
    return f"{code(options.license_name or options.license)}, as its publisher states."
