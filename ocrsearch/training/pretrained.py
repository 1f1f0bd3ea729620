"""Pretrained weights: the models that come with the program, and how weights are copied.

A layer is kept whole or not at all, by its name and shape. Of the layers with a row for each
symbol (output layers, the decoder's embedding) the rows of symbols that both charsets have are
kept, and those of blank, begin and end; the rows of new symbols stay as they were drawn.

PyTorch is loaded only when weights are read: spaces and options name a model without it.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrsearch.core import BundleError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ocrsearch.core import Config
    from ocrsearch.data import Charset

FOLDER = Path(__file__).parents[1] / "start_models"
"""Models that come with the program.

A model never changes: studies that began with it are resumed with it. A better model gets another
name. ``scripts/make_start`` trains them.
"""

LATIN = "latin"
"""Lines of printed and written text in Latin letters, and codes and amounts; see the script."""


def start_model(name: str | Path) -> Path | None:
    """Return the file of a model by its name; None if there is none of this name."""
    return FOLDER / f"{LATIN}.pt" if str(name) == LATIN else None


def start_path(value: Any) -> Any:
    """Return the file of a model where its name is given, and any other value as it is."""
    return start_model(value) or value if isinstance(value, str | Path) else value


def name_of_start(path: Path) -> str:
    """Return how messages name a model to start from: a name, or the path of a file."""
    return path.stem if path.parent == FOLDER else str(path)


SHARED_PREFIX = "encoder."
"""Only weights with this prefix are copied between different architectures."""

MAX_NAMED = 4
"""Number of layers that a message names."""

MAX_LISTED = 40
"""Number of symbols that a message lists. If more are dropped, it lists none of them."""


@dataclass(frozen=True)
class StartWeights:
    """The weights of a model.

    Attributes:
        name: name of the file, for messages.
        config: configuration of its network.
        charset: charset of its network.
        tensors: state of its network.
        digest: hash of tensors and charset, without provenance and metrics.
    """

    name: str
    config: Config
    charset: Charset
    tensors: dict[str, Tensor]
    digest: str


@dataclass(frozen=True)
class Transfer:
    """Part of the pretrained weights that a network has kept.

    Attributes:
        n_kept: number of weights that were kept; of a layer with rows for symbols, maybe only some
            rows.
        n_fresh: number of weights that were not kept.
        fresh_layers: names of the layers without kept weights.
        symbols_kept: symbols that both charsets have, in one text; the same for the next two.
        symbols_new: symbols that the model does not know.
        symbols_dropped: symbols that only the model knows.
    """

    n_kept: int
    n_fresh: int
    fresh_layers: tuple[str, ...]
    symbols_kept: str
    symbols_new: str
    symbols_dropped: str

    @property
    def share(self) -> float:
        """Fraction of the network's weights that was kept."""
        return self.n_kept / (self.n_kept + self.n_fresh)

    @property
    def reads(self) -> bool:
        """Whether the network can be expected to read: it has all layers, and most symbols."""
        return not self.fresh_layers and len(self.symbols_kept) >= len(self.symbols_new)

    def record(self) -> dict[str, object]:
        """Return plain values, for a study or a model's provenance."""
        return {**asdict(self), "fresh_layers": list(self.fresh_layers)}

    def describe(self) -> str:
        """Return one line for people."""
        n_more = len(self.fresh_layers) - MAX_NAMED
        more = f" and {n_more} more" if n_more > 0 else ""
        fresh = ", ".join(self.fresh_layers[:MAX_NAMED]) + more
        return (
            f"{self.n_kept:,} of {self.n_kept + self.n_fresh:,} weights kept"
            f"{', fresh: ' + fresh if fresh else ''}; {self.describe_symbols()}"
        )

    def describe_symbols(self) -> str:
        """Return the characters kept, new and dropped, for people."""
        parts = [f"{len(self.symbols_kept)} kept"]
        few_dropped = self.symbols_dropped if len(self.symbols_dropped) <= MAX_LISTED else ""
        for word, symbols, named in (
            ("new", self.symbols_new, self.symbols_new),
            ("dropped", self.symbols_dropped, few_dropped),
        ):
            more = " ..." if len(named) > MAX_LISTED else ""
            listed = f" ({' '.join(named[:MAX_LISTED])}{more})" if named else ""
            parts.append(f"{len(symbols)} {word}{listed}")
        return f"characters: {', '.join(parts)}"


def read_start_weights(path: Path) -> StartWeights:
    """Read the weights of a model file, running no code from it.

    Raises:
        BundleError: no such file, or not a model.
    """
    from ocrsearch.training.model_file import load_bundle

    bundle = load_bundle(path)
    digest = hashlib.blake2b("".join(bundle.charset.symbols).encode(), digest_size=8)
    for name, tensor in sorted(bundle.weights.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return StartWeights(
        name_of_start(path), bundle.config, bundle.charset, bundle.weights, digest.hexdigest()
    )


def transfer_weights(
    start: StartWeights, network: nn.Module, config: Config, charset: Charset
) -> Transfer:
    """Copy pretrained weights into a network where shapes match.

    Args:
        start: pretrained weights.
        network: as built for the configuration and charset; changed in place.
        config: configuration of the network.
        charset: charset of the network.
    """
    from ocrsearch.models import symbol_rows

    fresh = network.state_dict()
    n_behind = symbol_rows(config, len(charset))
    known = start.tensors
    if start.config.model.architecture != config.model.architecture:
        known = {name: t for name, t in known.items() if name.startswith(SHARED_PREFIX)}
    layers: dict[str, list[str]] = {}
    for name in fresh:
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    kept: dict[str, Tensor] = {}
    fresh_layers = []
    for layer in sorted(layers):
        fitted: dict[str, Tensor] = {}
        for name in layers[layer]:
            old, new = known.get(name), fresh[name]
            if name in n_behind:
                old = _common_rows(old, new, start.charset, charset, n_behind[name])
            if old is not None and old.shape == new.shape:
                fitted[name] = old
        if len(fitted) == len(layers[layer]):
            kept |= fitted
        else:
            fresh_layers.append(layer)
    network.load_state_dict({**fresh, **kept})
    theirs, ours = set(start.charset.symbols), set(charset.symbols)
    new_symbols = [symbol for symbol in charset.symbols if symbol not in theirs]
    parameters = dict(network.named_parameters())
    n_kept = sum(p.numel() for name, p in parameters.items() if name in kept)
    for name in kept.keys() & n_behind.keys():  # rows of new symbols are not kept
        n_kept -= parameters[name][0].numel() * len(new_symbols)
    return Transfer(
        n_kept=n_kept,
        n_fresh=sum(p.numel() for p in parameters.values()) - n_kept,
        fresh_layers=tuple(fresh_layers),
        symbols_kept="".join(s for s in charset.symbols if s in theirs),
        symbols_new="".join(new_symbols),
        symbols_dropped="".join(s for s in start.charset.symbols if s not in ours),
    )


def _common_rows(
    old: Tensor | None, fresh: Tensor, theirs: Charset, ours: Charset, n_behind: int
) -> Tensor | None:
    """Return the fresh tensor with the old rows of common symbols and those after the symbols."""
    if old is None or old.shape != (len(theirs) + n_behind, *fresh.shape[1:]):
        return None
    known = set(theirs.symbols)
    common = [symbol for symbol in ours.symbols if symbol in known]
    fitted = fresh.clone()
    fitted[ours.ids_of(common)] = old[theirs.ids_of(common)]
    fitted[len(ours) :] = old[len(theirs) :]
    return fitted


def check_something_kept(transfer: Transfer, start: StartWeights, config: Config) -> None:
    """Refuse pretrained weights if none of them fit.

    Raises:
        BundleError: no weight fits; the message lists the differences of the configurations.
    """
    if transfer.n_kept:
        return
    from ocrsearch.core import flatten

    theirs, ours = (
        flatten({"images": c.images.model_dump(), "model": c.model.model_dump()})
        for c in (start.config, config)
    )
    differ = [
        f"{path} ({theirs.get(path)}, here {ours.get(path)})"
        for path in [*theirs, *(ours.keys() - theirs.keys())]
        if theirs.get(path) != ours.get(path)
    ]
    raise BundleError(
        f"{start.name}: none of its weights fit this network; they differ in {', '.join(differ)}"
    )
