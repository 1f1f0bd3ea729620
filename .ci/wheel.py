"""Build wheel and sdist, install the wheel into an environment of its own, and use it.

The environment sees the wheel and the distributions that its metadata requires, which are linked
from the environment that runs this script; neither the repository nor anything else of it. All
commands run in an empty folder. Then the same for the wheel of the light distribution, which must
read the same texts. Usage: python .ci/wheel.py
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "ocrsearch"
LIGHT = "ocrsearch-light"

PAGE = r"deployment/page/(runtime/)?[\w.-]+\.(html|css|m?js|txt|xz)"
TEMPLATES = r"reports/templates/\w+\.(html|css|js)"
IN_SDIST = re.compile(
    rf"(ocrsearch/(.*\.pyi?|py\.typed|start_models/\w+\.pt|studies/prior\.json|{PAGE}|{TEMPLATES})"
    r"|search_spaces/\w+\.yaml|docs/([\w/-]+\.md|\w+\.py|images/[\w.-]+)"
    r"|PKG-INFO|LICENSE|CHANGELOG\.md|README\.md|CONTRIBUTING\.md|pyproject\.toml|\.gitignore)"
)
IN_WHEEL = re.compile(
    rf"(ocrsearch/(.*\.pyi?|py\.typed|spaces/ready/\w+\.yaml|start_models/\w+\.pt|studies/prior\.json"
    rf"|{PAGE}|{TEMPLATES})"
    r"|ocrsearch-[\w.]+\.dist-info/(METADATA|WHEEL|RECORD|entry_points\.txt|licenses/([\w/]+/)?LICENSE(\.txt)?))"
)
IN_LIGHT_WHEEL = re.compile(
    r"ocrsearch/(.*\.pyi?|py\.typed)"
    r"|ocrsearch_light-[\w.]+\.dist-info/"
    r"(METADATA|WHEEL|RECORD|entry_points\.txt|licenses/LICENSE)"
)

EXAMPLE = """
import ocrsearch
space = {
    "images": {"height": 16},
    "model": {
        "architecture": "crnn",
        "encoder": {"conv_depth": 2, "conv_base": 8, "linear_width": 16, "hidden_size": 16},
    },
    "training": {"learning_rate": {"float": [1e-3, 1e-2]}, "epochs": 1},
}
result = ocrsearch.search(space, "digits", trials=2, workers=1, train_fraction=0.05, study="python")
result = ocrsearch.search(space, "digits", trials=3, workers=1, train_fraction=0.05, study="python")
study = ocrsearch.load_study(result.study)
assert len(study.trials_dataframe()) == 3
assert "Learning curves" in study.figures()
study.export("python.pt")
model = ocrsearch.load("python.pt")
images = sorted(__import__("pathlib").Path("images").glob("*.png"))
assert len(model.predict(images)) == 8
print(ocrsearch.__version__, ocrsearch.__file__)
"""

LIGHT_EXAMPLE = """
import importlib.util
import ocrsearch
for name in ("torch", "optuna", "pandas", "sqlalchemy", "plotly", "sklearn", "onnx"):
    assert importlib.util.find_spec(name) is None, f"{name} can be imported"
try:
    ocrsearch.search
except ImportError as error:
    assert "pip install ocrsearch" in str(error)
model = ocrsearch.load("model.onnx", decoding=ocrsearch.DecodingOptions(beam_size=3))
images = sorted(__import__("pathlib").Path("images").glob("*.png"))
assert len(model.predict(images)) == 8
model.predict_page(images[0])
print(ocrsearch.__version__, ocrsearch.__file__)
"""

LIGHT_REFUSALS = {
    "run --data digits": "pip install ocrsearch",
    "evaluate model.onnx --data images/labels.csv --split all --max-error 0.1": "pip install ocr",
    "evaluate model.onnx --data images/labels.csv --split all --html page.html": "pip install ocr",
    "predict model.pt images": "'ocrsearch export' converts the model to .onnx",
}
"""Commands that the light distribution refuses, and a part of the last line."""


def main() -> None:
    """Build, check, install and use."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        wheel = build(folder)
        programs = install(wheel, folder / "environment", NAME)
        texts = use(programs, folder / "empty")
        programs = install(build_light(folder / "light"), folder / "light-environment", LIGHT)
        use_light(programs, folder / "empty", texts)


def build(folder: Path) -> Path:
    """Build sdist and wheel, and a wheel from the sdist; return the wheel."""
    run("build", sys.executable, "-m", "hatchling", "build", "-d", folder / "dist", cwd=ROOT)
    (sdist,), (wheel,) = (folder / "dist").glob("*.tar.gz"), (folder / "dist").glob("*.whl")
    with tarfile.open(sdist) as archive:
        names = [member.name.partition("/")[2] for member in archive if member.isfile()]
    shutil.unpack_archive(sdist, folder / "sdist")
    check(names, IN_SDIST, sdist)
    (source,) = (folder / "sdist").iterdir()
    again = folder / "again"
    run("build from the sdist", sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d",
        again, cwd=source)  # fmt: skip
    files = contents(wheel)
    if files != contents(next(again.glob("*.whl"))):
        raise SystemExit("the wheel of the sdist differs from the wheel of the repository")
    check(list(files), IN_WHEEL, wheel)
    spaces = {
        f"{NAME}/spaces/ready/{path.name}" for path in (ROOT / "search_spaces").glob("*.yaml")
    }
    others = (
        "py.typed",
        "start_models/latin.pt",
        "studies/prior.json",
        "deployment/page/runtime/runtime.wasm.xz",
    )
    for needed in (*spaces, *(f"{NAME}/{name}" for name in others)):
        if needed not in files:
            raise SystemExit(f"{wheel.name}: lacks {needed}")
    if not any(name.endswith("licenses/LICENSE") for name in files):
        raise SystemExit(f"{wheel.name}: lacks its licence")
    return wheel


def build_light(folder: Path) -> Path:
    """Build the light wheel and return it."""
    run("build the light wheel", sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d",
        folder, cwd=ROOT / "light")  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    check(list(contents(wheel)), IN_LIGHT_WHEEL, wheel)
    return wheel


def contents(wheel: Path) -> dict[str, int]:
    """Return the files of a wheel with their checksums."""
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info.CRC for info in archive.infolist()}


def check(names: list[str], allowed: re.Pattern[str], archive: Path) -> None:
    """Refuse an archive with a file that nobody expects."""
    others = [name for name in names if not allowed.fullmatch(name)]
    if others:
        raise SystemExit(f"{archive.name}: holds {', '.join(others)}")


def install(wheel: Path, environment: Path, name: str) -> Path:
    """Make an environment with the wheel and what it requires; return its folder of programs."""
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    run("install", sys.executable, "-m", "pip", "--python", python, "install", "--no-deps",
        "--no-index", wheel, cwd=environment)  # fmt: skip
    (packages,) = environment.glob("lib/python*/site-packages")
    (installed,) = packages.glob(f"{name.replace('-', '_')}-*.dist-info")
    metadata = importlib.metadata.Distribution.at(installed)
    for distribution in required(metadata.requires or []):
        for name in {Path(str(file)).parts[0] for file in distribution.files or []} - {".."}:
            source, target = Path(str(distribution.locate_file(name))), packages / name
            if not target.exists() and source.exists() and name != "__pycache__":
                target.symlink_to(source)
    return environment / "bin"


def required(requirements: list[str]) -> list[importlib.metadata.Distribution]:
    """Return the installed distributions that requirements name, and those that they require."""
    from packaging.requirements import Requirement

    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = [(Requirement(text), "") for text in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        key = f"{requirement.name}[{','.join(sorted(requirement.extras))}]".lower()
        if key in found:
            continue
        found[key] = distribution = importlib.metadata.distribution(requirement.name)
        for text in distribution.requires or []:
            waiting += [(Requirement(text), name) for name in ("", *requirement.extras)]
    return list(found.values())


def use(programs: Path, folder: Path) -> str:
    """Run the main commands and the Python example in an empty folder; return texts of ONNX."""
    folder.mkdir()
    program, python = programs / NAME, programs / "python"
    (folder / "example.py").write_text(EXAMPLE, encoding="utf-8")
    for arguments in (
        "--version",
        "space list",
        "space copy quick",
        "space check quick.yaml",
        "data save digits -o images --n 8",
        "run --space quick --data digits --trials 2 --epoch-budget 4 --train-fraction 0.1",
        "best --export model.pt --force",
        "evaluate model.pt --data digits --html evaluation.html",
        "predict model.pt images",
        "export model.pt --web page",
        "export model.pt -o model.onnx",
        "studies list",
        "report -o report.html",
    ):
        run(f"{NAME} {arguments}", program, *arguments.split(), cwd=folder)
    out = run("Python example", python, "example.py", cwd=folder)
    if str(programs.parent) not in out:
        raise SystemExit(f"another {NAME} was used: {out}")
    return run("predict model.onnx", program, "predict", "model.onnx", "images", cwd=folder)


def use_light(programs: Path, folder: Path, texts: str) -> None:
    """Run the commands of the light distribution in the folder with the exported model."""
    program, python = programs / NAME, programs / "python"
    (folder / "light.py").write_text(LIGHT_EXAMPLE, encoding="utf-8")
    run("light: python -m", python, "-m", NAME, "--version", cwd=folder)
    read = run("light: predict", program, "predict", "model.onnx", "images", cwd=folder)
    if read != texts:
        raise SystemExit(f"the light distribution reads other texts:\n{read}\nnot\n{texts}")
    for arguments in (
        "inspect model.onnx --svg model.svg",
        "predict model.onnx images --json --beam-size 3",
        "evaluate model.onnx --data images/labels.csv --split all --errors 3",
    ):
        run(f"light: {arguments}", program, *arguments.split(), cwd=folder)
    for arguments, part in LIGHT_REFUSALS.items():
        command = f"light: {arguments}"
        out = run(command, program, *arguments.split(), cwd=folder, code=1)
        if part not in out.splitlines()[-1] or "Traceback" in out:
            raise SystemExit(f"{command}: does not end with a line with {part!r}:\n{out}")
    out = run("light: Python example", python, "light.py", cwd=folder)
    if str(programs.parent) not in out:
        raise SystemExit(f"another {NAME} was used: {out}")


def run(title: str, *command: object, cwd: Path, code: int = 0) -> str:
    """Run a command, say how long it took, and return its output; end at another exit code."""
    outside = {"PATH": os.environ["PATH"], "HOME": str(cwd), "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd, env=outside, text=True, timeout=300, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    print(f"{time.perf_counter() - start:5.1f} s  {title}", flush=True)
    if done.returncode != code:
        raise SystemExit(f"{title}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    main()
