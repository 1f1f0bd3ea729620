"""The script that times kraken, with a stand-in for its command that notes what it is given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_kraken.py"

KETOS = """#!{python}
import sys, time
from pathlib import Path

options = dict(zip(sys.argv[1:], sys.argv[2:]))
listed = [Path(line) for line in Path(options["-t"]).read_text().split("\\n")]
assert all(path.is_file() and path.with_suffix(".gt.txt").read_text() for path in listed)
time.sleep(0.5 * int(options["-N"]))
Path({note!r}).write_text(f"{{len(listed)}} {{options['-s']}}")
sys.exit({code})
"""


def run(folder: Path, data: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    ketos = folder / "ketos"
    ketos.write_text(KETOS.format(python=sys.executable, note=str(folder / "note"), code=code))
    ketos.chmod(0o755)
    options = ["--ketos", ketos, "--data", data, "--rounds", "1", "--epochs", "3"]
    return subprocess.run(
        [sys.executable, SCRIPT, *options], capture_output=True, text=True, timeout=120
    )


def test_the_time_of_epochs_gives_images_per_second(number_folder: Path, tmp_path: Path) -> None:
    done = run(tmp_path, number_folder)
    assert done.returncode == 0, done.stderr
    n_images, network = (tmp_path / "note").read_text().split(" ", 1)
    assert network.startswith("[16,32,0,1 Cr3,3,24 Mp2,2 ")
    assert network.endswith(" S1(1x0)1,3 Lbx128]")
    rate = int(done.stdout.split()[1])
    assert 0.3 < rate * 0.5 / int(n_images) < 3  # half a second an epoch, on a busy machine
    assert f"{n_images} images, bf16-mixed" in done.stdout


def test_what_kraken_says_when_it_fails(number_folder: Path, tmp_path: Path) -> None:
    done = run(tmp_path, number_folder, code=3)
    assert done.returncode == 1
    assert done.stderr.startswith(f"bench_kraken: {tmp_path / 'ketos'} failed")


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--ketos", tmp_path / "ketos"],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "500"},  # so that a long path breaks no line
    )
    assert done.returncode == 2
    assert "does not exist" in done.stderr
    assert "Traceback" not in done.stderr
