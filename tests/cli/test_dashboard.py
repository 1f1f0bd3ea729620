"""The dashboard: it serves a study to a browser, on this machine only."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from tests.conftest import CommandResult, StudyDb

pytestmark = pytest.mark.slow

DEADLINE_S = 60.0
needs_dashboard = pytest.mark.skipif(
    importlib.util.find_spec("optuna_dashboard") is None, reason="optuna_dashboard is not installed"
)


def wait_for(condition: Callable[[], Any], what: str, process: subprocess.Popen[str]) -> Any:
    """Ask again and again until a condition holds, and return what it gave."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        if process.poll() is not None:
            pytest.fail(f"the dashboard ended with {process.returncode} before {what}")
        time.sleep(0.05)
    return pytest.fail(f"no {what} within {DEADLINE_S:.0f} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def dashboard(
    study_db: StudyDb, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """``ocrsearch dashboard`` as a process, and its port."""
    port = free_port()
    command = Path(sys.executable).with_name("ocrsearch")
    log = tmp_path_factory.mktemp("dashboard") / "log"
    with (
        log.open("w") as file,
        subprocess.Popen(
            [command, "dashboard", "--port", str(port), "--storage", study_db.url],
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        try:
            wait_for(lambda: answers("127.0.0.1", port), "answer on its port", process)
            yield process, port
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()


@needs_dashboard
def test_a_study_is_shown_in_a_browser(
    dashboard: tuple[subprocess.Popen[str], int], browser: Chrome, study_db: StudyDb
) -> None:
    from selenium.webdriver.common.by import By

    process, port = dashboard

    def text() -> str:
        return str(browser.find_element(By.TAG_NAME, "body").text)

    def link() -> Any:
        found = browser.find_elements(By.CSS_SELECTOR, "a[href*='/studies/']")
        return next((a for a in found if study_db.name in a.text), None)

    browser.get(f"http://127.0.0.1:{port}/dashboard/")
    wait_for(lambda: study_db.name in text(), "name of the study on the page", process)
    browser.get(wait_for(link, "link to the study", process).get_attribute("href"))
    for shown in ("Best Trial", study_db.name, "0.1", "model.architecture"):
        wait_for(lambda shown=shown: shown in text(), f"{shown} on its page", process)
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


@needs_dashboard
def test_only_this_machine_is_served(dashboard: tuple[subprocess.Popen[str], int]) -> None:
    _, port = dashboard
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/dashboard/")
    assert connection.getresponse().status == 200
    connection.close()
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None)}
    for address in {"127.0.0.2", *map(str, others)} - {"127.0.0.1"}:
        assert not answers(address, port), address


@needs_dashboard
@pytest.mark.parametrize(
    ("arguments", "host", "port"),
    [([], "127.0.0.1", 8080), (["--host", "0.0.0.0", "--port", "9000"], "0.0.0.0", 9000)],  # noqa: S104
)
def test_where_it_listens(
    command: Callable[..., CommandResult],
    study_db: StudyDb,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    host: str,
    port: int,
) -> None:
    served: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "optuna_dashboard.run_server", lambda storage, **where: served.append(where)
    )
    result = command("dashboard", "--storage", study_db.url, *arguments)
    assert result.code == 130  # as after Ctrl-C
    artifacts = served[0].pop("artifact_store")
    assert served == [{"host": host, "port": port}]
    assert artifacts._base_path == study_db.folder.parent / ".artifacts"
    assert f"http://{host}:{port}/dashboard/" in result.out


@needs_dashboard
@pytest.mark.parametrize("deletes", [True, False])
def test_the_weights_of_a_study_that_was_deleted_there_are_deleted(
    command: Callable[..., CommandResult],
    study_db: StudyDb,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    deletes: bool,
) -> None:
    shutil.copytree(study_db.folder.parent.parent, tmp_path / "copy")
    url = f"sqlite:///{tmp_path / 'copy' / 'studies.db'}"
    folder = tmp_path / "copy" / "studies" / study_db.name

    def serve(storage: Any, **_: Any) -> None:
        assert folder.is_dir()
        if deletes:
            storage.delete_study(storage.get_study_id_from_name(study_db.name))

    monkeypatch.setattr("optuna_dashboard.run_server", serve)
    result = command("dashboard", "--storage", url)
    assert result.code == 130
    assert folder.exists() != deletes
    assert (f"study {study_db.name!r} was deleted in the dashboard" in result.err) == deletes


def test_without_the_dashboard_installed(
    command: Callable[..., CommandResult], study_db: StudyDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    result = command("dashboard", "--storage", study_db.url)
    assert result.code == 2
    assert result.err == (
        "ocrsearch: the dashboard is not installed; install it with: "
        "pip install 'ocrsearch[dashboard]'\n"
    )
