"""``ocrsearch data split``: split a dataset for training, validation and test."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

from ocrsearch.cli.options import Json, Spec, output_option, takes_data_options
from ocrsearch.cli.output import echo, print_json
from ocrsearch.cli.progress import reading_bar


@takes_data_options
def split(
    spec: Spec,
    output: Annotated[
        Path | None,
        output_option("Write the splits to this CSV file, for --splits."),
    ] = None,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Split a dataset as a search does, check it for leaks, and write the splits.

    Examples:
      ocrsearch data split captcha:FOLDER -o splits.csv
      ocrsearch data split captcha:FOLDER --group "^[^_]+" -o splits.csv
    """
    from ocrsearch.data.dataset import list_samples, load_dataset, split_samples
    from ocrsearch.data.options import DataOptions
    from ocrsearch.data.split_file import write_splits
    from ocrsearch.data.splits import by_split, count_rare, group_key

    options = DataOptions(**given)
    with reading_bar() as progress:
        dataset = load_dataset(spec, options, progress)
    samples = split_samples(spec, options)
    parts = by_split(samples)
    used = {sample.name for sample in samples}
    left_out = [
        replace(sample, split=None)
        for sample in list_samples(spec, options)
        if sample.name not in used
    ]
    if output:
        write_splits([*samples, *left_out], output)
    n_groups = {name: len({group_key(s) for s in part}) for name, part in parts.items()}
    rare = count_rare(samples)
    content = {
        "data": spec,
        "n": {name: len(part) for name, part in parts.items()},
        "n_groups": n_groups,
        "n_left_out": len(left_out),
        "n_bad": len(dataset.bad),
        "rare_characters": asdict(rare),
        "output": output,
    }
    if as_json:
        print_json(content)
        return
    for name, part in parts.items():
        echo(f"{name}: {len(part)} samples, {n_groups[name]} groups")
    if told := rare.describe():
        echo(told)
