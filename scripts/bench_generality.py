"""Measure ``ocrsearch run --data SET`` on many datasets.

Each dataset is searched for the same time in a separate process. The best network is exported and
evaluated once on the test split. Optionally, a ready space, a search written by hand with Optuna
(``plain_search.py``) and kraken get the same time. Each dataset has a folder of results, and
existing results are not measured again. The table of all results is printed and written to
``table.md``.

A list file has a dataset on each line: SPEC, options of 'run' such as --group, and optionally
``beside=SPACE``. kraken is not a dependency: give the path of its ``ketos``. It trains its default
network without early stopping. Its test figure is the character accuracy that it reports.
"""

import json
import math
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import typer

from ocrsearch.core import OcrSearchError
from ocrsearch.data import Dataset, LabelledImages, data_name, load_dataset
from ocrsearch.spaces import Space
from ocrsearch.studies import (
    PAUSED,
    default_study_name,
    load_study,
    stored_space,
    study_facts,
    trial_epochs,
)
from ocrsearch.tuning import parse_duration

READS_CER = 0.5
"""Validation CER below which a configuration counts as reading."""

DERIVED = "derived"
KRAKEN = "kraken"
PLAIN = "plain"

Result = dict[str, Any]
Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Task:
    """A dataset to search.

    Attributes:
        spec: Specification of the data.
        options: Additional data options for 'run'.
        beside: Ready space to compare with; empty for none.
    """

    spec: str
    options: tuple[str, ...] = ()
    beside: str = ""

    @property
    def name(self) -> str:
        """Name of the dataset's folder and row."""
        return default_study_name(data_name(self.spec))


@dataclass(frozen=True)
class Setting:
    """Settings of all runs."""

    out: Path
    timeout_s: float
    workers: int
    seed: int
    ketos: Path | None
    plain: bool = False


def main(
    specs: Annotated[list[str] | None, typer.Argument(metavar="SPEC...", help="Datasets.")] = None,
    list_file: Annotated[
        Path | None, typer.Option("--list", help="File with a dataset on each line.")
    ] = None,
    timeout: Annotated[str, typer.Option(help="Time limit of each search.")] = "10m",
    workers: Annotated[int, typer.Option(min=1, help="Number of workers per search.")] = 2,
    beside: Annotated[str, typer.Option(help="Ready space to compare with.")] = "",
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("studies/generality"),
    seed: Annotated[int, typer.Option(help="Seed of the searches.")] = 0,
    ketos: Annotated[Path | None, typer.Option(help="Path of kraken's ketos.", exists=True)] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Also run the search written by hand.")
    ] = False,
) -> None:
    """Measure missing results and print the table."""
    lines = [shlex.join([spec]) for spec in specs or []]
    lines += list_file.read_text(encoding="utf-8").splitlines() if list_file else []
    tasks = [parse_task(line, beside) for line in lines if line.strip() and line[0] != "#"]
    names = [task.name for task in tasks]
    if twice := {name for name in names if names.count(name) > 1}:
        typer.echo(
            f"bench_generality: two datasets have the name {min(twice)!r}; rename a folder",
            err=True,
        )
        raise typer.Exit(2)
    try:
        setting = Setting(out, parse_duration(timeout), workers, seed, ketos, plain)
        for task in tasks:
            run_task(task, setting)
            (out / "table.md").write_text(table(out), encoding="utf-8")
    except OcrSearchError as error:
        typer.echo(f"bench_generality: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    typer.echo(table(out))


def parse_task(line: str, beside: str) -> Task:
    """Return the task in a line of the list file."""
    spec, *words = shlex.split(line)
    own = [word.removeprefix("beside=") for word in words if word.startswith("beside=")]
    options = tuple(word for word in words if not word.startswith("beside="))
    return Task(spec, options, own[-1] if own else beside)


def run_task(task: Task, setting: Setting) -> None:
    """Run all methods without a result for a dataset. A failure is stored as a result."""
    methods = [
        DERIVED,
        *([task.beside] if task.beside else []),
        *([PLAIN] if setting.plain else []),
        *([KRAKEN] if setting.ketos else []),
    ]
    measures = {KRAKEN: run_kraken, PLAIN: run_plain}
    for method in methods:
        file = setting.out / task.name / f"{method}.json"
        if file.is_file():
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        work = file.with_suffix("")
        shutil.rmtree(work, ignore_errors=True)  # left by an interrupted run
        work.mkdir()
        typer.echo(f"{task.name}: {method}", err=True)
        measure = measures.get(method, run_search)
        result = {"data": task.name, "method": method, **measure(task, method, work, setting)}
        temporary = file.with_suffix(".part")
        temporary.write_text(json.dumps(result, indent=2), encoding="utf-8")
        temporary.replace(file)


def run_search(task: Task, method: str, work: Path, setting: Setting) -> Result:
    """Search a dataset and evaluate the best model once on the test split."""
    storage = ("--storage", f"sqlite:///{work.resolve() / 'study.db'}")
    space = () if method == DERIVED else ("--space", method)
    began = time.time()
    limits = ("--timeout", f"{setting.timeout_s:g}s", "--workers", str(setting.workers))
    seed = ("--seed", str(setting.seed), "--study", "bench", "--trials", "1000")
    words = ("run", "--data", task.spec, *space, *task.options, *storage, *limits, *seed)
    done = command(*words, log=work / "run.log")
    result: Result = {"timeout_s": setting.timeout_s, "workers": setting.workers}
    if done.returncode:
        return {**result, "problem": problem_of(done)}
    result |= curve_figures(storage[1], began)
    model = work.resolve() / "model.pt"
    done = command("best", *storage, "--study", "bench", "--export", str(model), "--force")
    if done.returncode:
        return {**result, "problem": problem_of(done)}
    words = ("evaluate", str(model), "--data", task.spec, "--split", "test", "--json")
    done = command(*words)
    if done.returncode:
        return {**result, "problem": problem_of(done)}
    evaluation = json.loads(done.stdout)
    rates = ("exact", "exact_low", "exact_high", "cer", "cer_low", "cer_high", "n")
    return {**result, **{name: evaluation[name] for name in rates}}


def command(*words: str, log: Path | None = None) -> Done:
    """Run the program in a separate process."""
    done = execute([sys.executable, "-m", "ocrsearch", *words])
    if log:
        log.write_text(done.stdout + done.stderr, encoding="utf-8")
    return done


def execute(words: list[str], timeout_s: float | None = None) -> Done:
    """Run a command and return its output."""
    return subprocess.run(words, capture_output=True, text=True, timeout=timeout_s)  # noqa: S603


def problem_of(done: Done) -> str:
    """Return the last line that a failed command printed, which is its error message."""
    text = done.stdout.strip() or done.stderr.strip()
    return (text.splitlines() or ["failed without a message"])[-1]


def curve_figures(url: str, began: float) -> Result:
    """Return figures from the learning curves of a study.

    ``reading`` is the number of configurations with a CER below ``READS_CER`` within a third of
    their epochs, out of ``judged``. A configuration is not judged if the search ended during its
    first third and before it read.

    ``seconds_to_half`` is the time until half of the validation images are correct. It is the time
    from the start of the command to the start of the trial, plus the time of its epochs. Pauses of
    the trial are not counted.
    """
    study = load_study(url, "bench")
    space = stored_space(study)
    assert space is not None
    judged, reading, n_epochs, half = 0, 0, 0, math.inf
    for trial in study.get_trials(deepcopy=False):
        epochs = trial_epochs(trial)
        if not epochs:
            continue
        n_epochs += len(epochs)
        third = math.ceil(most_epochs(space, trial.params) / 3)
        reads = min(record.cer for record in epochs[:third]) < READS_CER
        in_training = not trial.state.is_finished() and trial.user_attrs.get(PAUSED) is None
        if reads or len(epochs) >= third or not in_training:
            judged += 1
            reading += reads
        assert trial.datetime_start is not None
        seconds = trial.datetime_start.timestamp() - began
        for record in epochs:
            seconds += record.seconds
            if record.exact >= 0.5:
                half = min(half, seconds)
                break
    facts = study_facts(study)
    return {
        "n_train": facts.n_samples["train"],
        "judged": judged,
        "reading": reading,
        "n_epochs": n_epochs,
        "seconds_to_half": None if math.isinf(half) else round(half, 1),
    }


def most_epochs(space: Space, params: dict[str, Any]) -> int:
    """Return the maximum number of epochs of a configuration."""
    return space.resolve(params).training.epochs


def run_plain(task: Task, method: str, work: Path, setting: Setting) -> Result:  # noqa: ARG001
    """Run the search written by hand for the same time, with as many threads as workers."""
    script = Path(__file__).with_name("plain_search.py")
    words = [sys.executable, str(script), task.spec, "--timeout", f"{setting.timeout_s:g}"]
    done = execute([*words, "--seed", str(setting.seed), "--threads", str(setting.workers)])
    result: Result = {"timeout_s": setting.timeout_s, "workers": setting.workers}
    if done.returncode:
        return {**result, "problem": problem_of(done)}
    return {**result, **json.loads(done.stdout.splitlines()[-1])}


def run_kraken(task: Task, method: str, work: Path, setting: Setting) -> Result:  # noqa: ARG001
    """Train kraken's default network for the same time and evaluate it once."""
    assert setting.ketos is not None
    dataset: Dataset = load_dataset(task.spec)
    lists = {
        split: write_lines(dataset.splits[split], work / split)
        for split in ("train", "val", "test")
    }
    threads = ("--device", "cpu", "--threads", str(setting.workers))
    train = [
        *(str(setting.ketos), *threads, "train", "-f", "path", "-q", "fixed", "-N", "100000"),
        *("-t", str(lists["train"]), "-e", str(lists["val"]), "-o", str(work / "model")),
    ]
    result: Result = {"timeout_s": setting.timeout_s, "workers": setting.workers}
    try:
        done = execute(train, setting.timeout_s)
        return {
            **result,
            "problem": problem_of(done),
        }  # a training without an error runs until the timeout
    except subprocess.TimeoutExpired:
        pass
    checkpoints = sorted((work / "model").glob("*.ckpt"), key=lambda path: path.stat().st_mtime)
    if not checkpoints:
        return {**result, "problem": "no epoch in this time"}
    best = max(checkpoints, key=lambda path: path.stem.rpartition("-")[2])  # EPOCH-ACCURACY
    model = work / "best.safetensors"
    done = execute([str(setting.ketos), "convert", "-o", str(model), str(best)])
    if done.returncode:
        return {**result, "problem": problem_of(done)}
    test = [*(str(setting.ketos), *threads, "test", "-f", "path"), "-m", str(model)]
    done = execute([*test, "-e", str(lists["test"])])
    accuracy = re.search(r"([\d.]+)%\s+Character Accuracy", done.stdout + done.stderr)
    if not accuracy:
        return {**result, "problem": problem_of(done)}
    return {**result, "n": len(dataset.splits["test"]), "cer": 1 - float(accuracy[1]) / 100}


def write_lines(split: LabelledImages, folder: Path) -> Path:
    """Write the images and labels of a split; return the path of the list of images."""
    folder.mkdir()
    paths = [folder / f"{i}.png" for i in range(len(split))]
    for path, image, text in zip(paths, split.images, split.texts, strict=True):
        cv2.imwrite(str(path), image)
        path.with_suffix(".gt.txt").write_text(text, encoding="utf-8")
    listed = folder.with_suffix(".txt")
    listed.write_text("\n".join(map(str, paths)), encoding="utf-8")
    return listed


def table(out: Path) -> str:
    """Return the table of all results in a folder."""
    heads = (
        *("data", "method", "minutes", "exact match on test", "CER on test"),
        *("read after a third", "s until half are correct", "epochs"),
    )
    files = sorted(out.glob("*/*.json"), key=lambda file: (file.parent.name, file.stem != DERIVED))
    rows = [row(json.loads(file.read_text(encoding="utf-8"))) for file in files]
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def row(result: Result) -> list[object]:
    """Return the cells of one result."""
    seconds = result.get("seconds_to_half")
    judged = result.get("judged")
    return [
        result["data"],
        result["method"],
        f"{result['timeout_s'] / 60:g}",
        result.get("problem") or rate(result, "exact"),
        rate(result, "cer"),
        "" if judged is None else f"{result['reading']} of {judged}",
        "" if judged is None else "never" if seconds is None else f"{seconds:.0f}",
        result.get("n_epochs", ""),
    ]


def rate(result: Result, name: str) -> str:
    """Return a rate with its interval, or an empty text if it is unknown."""
    if name not in result:
        return ""
    text = f"{result[name]:.3f}"
    low, high = result.get(f"{name}_low"), result.get(f"{name}_high")
    return text if low is None else f"{text} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    typer.run(main)
