"""Recognition with an ONNX model where PyTorch and the search's packages are not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ocrsearch.training import Bundle
from tests.deployment.onnx_makers import exported

HIDDEN = ("torch", "optuna", "pandas", "sqlalchemy", "plotly", "sklearn", "onnx")

HIDE = f"""
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HIDDEN}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
"""

COMMANDS = [
    ("predict", "MODEL", "IMAGES", "--json"),
    ("predict", "MODEL", "IMAGES/10.png", "--page", "--beam-size", "3", "--tta", "3"),
    ("evaluate", "MODEL", "--data", "captcha:IMAGES", "--split", "all", "--json"),
    ("inspect", "MODEL", "--svg", "OUT/layers.svg"),
]


def run_without(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", HIDE + code],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )


@pytest.fixture(scope="module")
def onnx_file(make_bundle: Callable[..., Bundle], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    exported(make_bundle(), path)
    return path


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_commands_need_no_torch(
    command: tuple[str, ...], onnx_file: Path, number_folder: Path, tmp_path: Path
) -> None:
    places = {"MODEL": onnx_file, "IMAGES": number_folder, "OUT": tmp_path}
    words = []
    for word in command:
        for key, place in places.items():
            word = word.replace(key, str(place))
        words.append(word)
    done = run_without(f"sys.argv[1:] = {words!r}\nfrom ocrsearch.cli import main\nmain()")
    allowed = (0, 1) if "--page" in command else (0,)  # an untrained model reads no page
    assert done.returncode in allowed, done.stderr
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr


def test_python_needs_no_torch(onnx_file: Path, number_folder: Path) -> None:
    image = number_folder / "12.png"
    code = f"import ocrsearch\nprint(ocrsearch.load({str(onnx_file)!r}).predict({str(image)!r}))"
    done = run_without(code)
    assert done.stdout.startswith("Prediction("), done.stderr


def test_a_model_of_pytorch_says_that_it_needs_it(model_file: Path) -> None:
    done = run_without(
        f"sys.argv[1:] = ['predict', {str(model_file)!r}, 'x.png']\n"
        "from ocrsearch.cli import main\nmain()"
    )
    assert done.returncode == 1
    assert "needs PyTorch, which is not installed" in done.stderr
    assert len(done.stderr.splitlines()) == 1
