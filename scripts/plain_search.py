"""A search as one would write it by hand with Optuna: the reference of ``bench_generality.py``.

It has what tutorials recommend: a CRNN (convolutions with batch norm, a bidirectional LSTM, CTC),
images scaled to one size, light geometric augmentation, AdamW with a one-cycle schedule, the TPE
sampler, the median pruner, and seven searched parameters. Only the splits of the dataset and the
measures of error come from this project.
"""

import copy
import json
import time
from typing import Annotated, Any

import cv2
import numpy as np
import optuna
import torch
import typer
from torch import Tensor, nn

from ocrsearch.data import LabelledImages, load_dataset
from ocrsearch.evaluation import bootstrap_intervals, compute_metrics

HEIGHT = 32
EPOCHS = 30
BLANK = 0


class Crnn(nn.Module):
    """Four convolutions, a bidirectional LSTM and a linear layer."""

    def __init__(
        self, channels: int, hidden: int, layers: int, dropout: float, n_symbols: int
    ) -> None:
        super().__init__()
        sizes = [1, channels, 2 * channels, 4 * channels, 4 * channels]
        pools = [(2, 2), (2, 2), (2, 1), (2, 1)]
        blocks: list[nn.Module] = []
        for c_in, c_out, pool in zip(sizes, sizes[1:], pools, strict=False):
            blocks += [nn.Conv2d(c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU()]
            blocks += [nn.MaxPool2d(pool)]
        self.convs = nn.Sequential(*blocks)
        self.rnn = nn.LSTM(
            4 * channels * HEIGHT // 16,
            hidden,
            layers,
            dropout=dropout if layers > 1 else 0.0,
            bidirectional=True,
            batch_first=True,
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * hidden, n_symbols + 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return (T, B, V) log probabilities for (B, 1, H, W) images."""
        columns = self.convs(images).permute(0, 3, 1, 2).flatten(2)
        return self.head(self.rnn(columns)[0]).log_softmax(2).transpose(0, 1)


def scaled(split: LabelledImages, width: int) -> np.ndarray:
    """Return the images of a split in one size, (n, HEIGHT, width) uint8."""
    return np.stack([cv2.resize(np.asarray(i), (width, HEIGHT)) for i in split.images])


def augmented(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return images that are turned, scaled and moved a little."""
    height, width = images.shape[1:]
    out = np.empty_like(images)
    for i, image in enumerate(images):
        angle, scale = rng.uniform(-2, 2), rng.uniform(0.95, 1.05)
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
        matrix[:, 2] += rng.uniform(-2, 2, 2)
        out[i] = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return out


def tensor_of(images: np.ndarray) -> Tensor:
    """Return (B, 1, H, W) float32 from -1 to 1."""
    return torch.from_numpy(images).float()[:, None] / 127.5 - 1


def read(network: nn.Module, images: np.ndarray, symbols: str) -> list[str]:
    """Return the best path of each image."""
    network.eval()
    texts = []
    with torch.no_grad():
        for start in range(0, len(images), 64):
            paths = network(tensor_of(images[start : start + 64])).argmax(2).T
            for path in paths:
                ids = torch.unique_consecutive(path)
                texts.append("".join(symbols[i - 1] for i in ids.tolist() if i != BLANK))
    return texts


def main(
    data: Annotated[str, typer.Argument(help="Dataset, as for 'ocrsearch run'.")],
    timeout: Annotated[float, typer.Option(help="Time limit in seconds.")] = 240,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    threads: Annotated[int, typer.Option(help="Number of threads.")] = 2,
) -> None:
    """Search until the time is over; print the error of the best network on the test split."""
    torch.set_num_threads(threads)
    deadline = time.monotonic() + timeout
    dataset = load_dataset(data)
    train, val, test = (dataset.splits[name] for name in ("train", "val", "test"))
    shapes = np.array([np.asarray(image).shape for image in train.images])
    width = int(np.ceil(np.median(HEIGHT * shapes[:, 1] / shapes[:, 0]) / 4) * 4)
    longest = max(map(len, train.texts))
    width = max(width, 4 * (2 * longest + 1))  # CTC needs a time step for each character and blank
    images = {name: scaled(dataset.splits[name], width) for name in ("train", "val", "test")}
    symbols = "".join(sorted(set("".join(train.texts))))
    targets = [torch.tensor([symbols.index(c) + 1 for c in text]) for text in train.texts]
    rng = np.random.default_rng(seed)
    best: dict[str, Any] = {"cer": float("inf")}

    def objective(trial: optuna.Trial) -> float:
        batch_size = trial.suggest_categorical("batch_size", [8, 16, 32])
        network = Crnn(
            trial.suggest_categorical("channels", [16, 32, 64]),
            trial.suggest_categorical("hidden", [64, 128, 256]),
            trial.suggest_int("layers", 1, 2),
            trial.suggest_float("dropout", 0.0, 0.5),
            len(symbols),
        )
        rate = trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
        decay = trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True)
        optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay)
        n_batches = -(-len(targets) // batch_size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, EPOCHS * n_batches)
        loss_of = nn.CTCLoss(BLANK, zero_infinity=True)
        lowest = float("inf")
        for epoch in range(EPOCHS):
            network.train()
            order = rng.permutation(len(targets))
            for start in range(0, len(order), batch_size):
                if time.monotonic() > deadline:
                    trial.study.stop()
                    raise optuna.TrialPruned
                ids = order[start : start + batch_size]
                log_probs = network(tensor_of(augmented(images["train"][ids], rng)))
                labels = [targets[i] for i in ids]
                loss = loss_of(
                    log_probs,
                    torch.cat(labels),
                    torch.full((len(ids),), len(log_probs)),
                    torch.tensor([len(label) for label in labels]),
                )
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 5.0)
                optimizer.step()
                schedule.step()
            cer = compute_metrics(val.texts, read(network, images["val"], symbols)).cer
            lowest = min(lowest, cer)
            if cer < best["cer"]:
                best.update(cer=cer, network=copy.deepcopy(network))
            trial.report(cer, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return lowest

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.manual_seed(seed)
    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(sampler=sampler, pruner=optuna.pruners.MedianPruner())
    study.optimize(objective, timeout=timeout)
    result: dict[str, Any] = {"n_trials": len(study.trials), "n": len(test)}
    if "network" in best:
        texts = read(best["network"], images["test"], symbols)
        metrics = compute_metrics(test.texts, texts)
        for name, (low, high) in bootstrap_intervals(test.texts, texts).items():
            result |= {name: getattr(metrics, name), f"{name}_low": low, f"{name}_high": high}
    typer.echo(json.dumps(result))


if __name__ == "__main__":
    typer.run(main)
