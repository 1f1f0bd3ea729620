"""The report of studies: what it says, that nothing in it is run, its size, and how it looks."""

from __future__ import annotations

import html
import json
import random
import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ocrsearch.reports.html import save_page, thumbnail_url
from ocrsearch.reports.study_content import (
    Command,
    DataContent,
    DoubtfulLabel,
    Rate,
    SampleImage,
    SplitFigures,
    Step,
    StudyContent,
    plain_content,
)
from ocrsearch.reports.study_page import MAX_BYTES, command_line, study_page
from ocrsearch.studies import Separation
from tests.conftest import draw_text
from tests.reports.made_content import (
    STATES,
    made_content,
    made_errors,
    made_search,
    made_trial,
    wrong_image,
)

if TYPE_CHECKING:
    from pathlib import Path

    from selenium.webdriver import Chrome

EVIL = "<script>alert('1')</script>\"}}{{ 7*7 }}\u202e"
STEP = Step("Search longer", "Because.", (Command("run", (), {"study": "numbers"}),), ("a.png",))
QUESTIONS = (
    "What was searched, on which data?",
    "Which network is the best?",
    "Which parameters mattered?",
    "How did the trials learn, and how do size and latency relate to the error?",
    "Which mistakes does the best network make?",
    "How many texts need no check?",
    "What could the search not distinguish?",
    "What to do next?",
)


def text_of(page: str) -> str:
    """Return the text of a page, without tags, in single spaces."""
    body = page[page.index("<body>") :]
    return " ".join(
        html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"</(t[dh]|d[dt])>", " ", body))).split()
    )


def test_the_parts_are_questions_in_order() -> None:
    page = study_page([made_content()])
    found = [html.unescape(title) for title in re.findall(r"<h2>\d\. (.*?)</h2>", page)]
    assert tuple(found) == QUESTIONS


def test_texts_left_to_the_model() -> None:
    text = text_of(study_page([made_content()]))
    assert "wrong: none yet (that needs about 605 validation images" in text
    assert "if at most 2 % of them may be wrong: " in text
    assert "largest error rate" in text
    missing = made_content(coverage=None, errors=None, no_errors_reason="the images are lost")
    assert "Texts that need no check" not in text_of(study_page([missing]))


def test_the_main_facts_come_first() -> None:
    text = text_of(study_page([replace(made_content(), steps=[STEP])]))
    lede = text[: text.index("1. What was searched")]
    assert "Trial 0: crnn, 20,000 weights, 0.08 MB, 2.5 ms" in lede
    assert "(CER) 2.00 % (1.80 to 2.20), exact match 96.0 %, on 300 images" in lede
    assert "Not measured yet. Measure it with ocrsearch report numbers --test" in lede
    assert "2 → 3 (2), space → (nothing) (1), (nothing) → 7 (1)" in lede
    assert "Next step Search longer" in lede


def test_the_search_and_the_data() -> None:
    text = text_of(study_page([made_content()]))
    assert "4 finished, 2 paused, 5 pruned, 1 failed" in text
    assert (
        "60 epochs in all (at most 10 per trial). "
        "This took 10 minutes, summed over all trials" in text
    )
    assert "training images 1,500 validation images 300 test images 500" in text
    assert "length of a label 1 to 8, median 4 characters" in text
    gone = DataContent("a.csv", "0a1b", {"train": 9}, problem="a.csv: no such file")
    text = text_of(study_page([made_content(data=gone, errors=None, no_errors_reason="no images")]))
    assert "The images cannot be shown" in text
    assert "a.csv: no such file" in text
    assert "cannot be read again: no images" in text


def test_figures_of_the_test_split_only_if_it_was_evaluated() -> None:
    assert "No choice was made on the test split" not in text_of(study_page([made_content()]))
    test = SplitFigures(500, {"cer": Rate(0.031, 0.025, 0.04), "exact": Rate(0.9)}, "trial 0")
    text = text_of(study_page([made_content(test=test)]))
    assert (
        "CER 3.10 % (2.50 to 4.00), exact match 90.0 %, on 500 test images "
        "(trial 0; 95 % intervals in brackets)" in text
    )
    assert "have not been evaluated" not in text


def test_each_trial_is_compared_with_the_best() -> None:
    text = text_of(study_page([made_content()]))
    assert "cannot be distinguished p = 0.4" in text
    assert "significantly worse p < 0.001" in text


def test_what_cannot_be_distinguished() -> None:
    text = text_of(study_page([made_content()]))
    assert "trial 0 is not significantly better than 1 of the 2 next trials (1)." in text
    assert "About 900 more validation images would distinguish it from trial 1." in text
    equal = Separation(300, 0, [1, 2], [1], 1, 99_999)
    assert "Trial 1 is practically equal" in text_of(study_page([made_content(separation=equal)]))
    best = Separation(300, 0, [1, 2], [])
    assert "better than all of the 2 next trials" in text_of(
        study_page([made_content(separation=best)])
    )


def test_a_study_without_trials() -> None:
    states = dict.fromkeys(STATES, 0)
    content = StudyContent(
        "empty",
        made_search(states=states, parameters={}, began="", ended="", max_epochs=None),
        DataContent("a.csv", "0a1b", {}, problem="gone"),
        no_trials="no trial has started",
        no_errors_reason="no trial has started",
    )
    page = study_page([content])
    assert "None: no trial has started" in text_of(page)
    assert "No trial has finished an epoch" in text_of(page)
    assert "The numbers of this study support no advice" in text_of(page)
    assert "<svg" not in page  # no empty figure


def test_a_figure_without_data_is_omitted() -> None:
    points = [replace(point, latency_ms=None) for point in made_content().points]
    page = study_page([made_content(points=points)])
    assert "Error against size" in page
    assert "Error against latency" not in page


def test_no_errors_is_said() -> None:
    page = study_page([made_content(errors=made_errors([]))])
    assert "all 300 validation images are read correctly" in text_of(page)


def test_objectives_have_a_pareto_front() -> None:
    search = made_search(objective=("cer", "size_mb"))
    pareto: Any = [{"trial": 3, "values": [0.02, 0.5], "params": {}}]
    text = text_of(study_page([made_content(search=search, pareto=pareto)]))
    assert "for the lowest CER, size_mb" in text
    assert "trial CER size_mb 3 0.02 0.5" in text


def test_studies_side_by_side() -> None:
    first, second = made_content("first"), made_content("second", trials=[made_trial(7, 0.5)])
    text = text_of(study_page([first, second]))
    assert "figures are comparable" in text
    assert text.index("first numbers.csv") < text.index("second numbers.csv")
    assert text.count("1. What was searched, on which data?") == 4  # in the navigation, too
    other = replace(second, data=replace(second.data, fingerprint="ffff"))
    assert "figures are not comparable" in text_of(study_page([first, other]))
    assert "comparable" not in text_of(study_page([first]))


def test_every_text_is_escaped() -> None:
    data = DataContent(
        *(EVIL, EVIL, {EVIL: 1, "test": 1}),
        characters=(EVIL,),
        samples=[SampleImage(EVIL, EVIL, "train", thumbnail_url(draw_text("1")))],
    )
    search = made_search(
        space=EVIL, parameters={EVIL: EVIL}, sampler=EVIL, pruner=EVIL, objective=(EVIL,),
        constraints={EVIL: 1.0},
    )  # fmt: skip
    trial = made_trial(0, 0.1, state=EVIL, params={EVIL: EVIL})
    errors = replace(
        made_errors([(EVIL, "1")]),
        images=[wrong_image(EVIL, EVIL, "1", EVIL), wrong_image(EVIL, "1", EVIL, "b")],
    )
    step = Step(EVIL, EVIL, (Command("run", (EVIL,), {"study": EVIL}),), (EVIL,))
    importances = made_content().importances
    assert importances is not None
    evil = replace(importances.parameters[1], path=EVIL, values=[EVIL] * 10)
    content = made_content(
        *(EVIL,),
        data=data, search=search, trials=[trial, trial], errors=errors, steps=[step],
        importances=replace(importances, parameters=[evil]),
        doubtful=[DoubtfulLabel(EVIL, EVIL, EVIL, 0.5)],
        test=SplitFigures(1, {"cer": Rate(0.1)}, EVIL),
    )  # fmt: skip
    for page in (
        study_page([content, content]),
        study_page([replace(content, trials=[], no_trials=EVIL, errors=None, no_errors_reason=EVIL,
                            data=replace(data, problem=EVIL))]),
    ):  # fmt: skip
        body = page[page.index("<body>") :]
        assert "<script" not in body
        assert "\u202e" not in body
        assert html.escape("<script>") in body
        assert "7*7" in body  # a template in a text is text
        for pairs in re.findall(r"data-pairs='([^']*)'", body):
            assert json.loads(html.unescape(pairs))


def test_the_page_is_small_and_says_what_is_left_out() -> None:
    rng = random.Random(0)
    pairs = [("".join(rng.choices("0123456789", k=8)), "12345678") for _ in range(400)]
    errors = made_errors(pairs)
    noise = "data:image/png;base64," + "".join(rng.choices("abcdefgh", k=20_000))
    errors = replace(errors, images=[replace(i, url=noise) for i in errors.images], n_wrong=1000)
    for n in (1, 3):
        page = study_page([made_content(f"s{i}", errors=errors) for i in range(n)])
        shown = page.count('class="error"')
        assert 0.9 * MAX_BYTES < len(page.encode()) <= MAX_BYTES
        assert 0 < shown < 400 * n
        assert f"{1000 - shown // n} images with smaller errors are left out" in text_of(page)


def test_thousands_of_trials_still_make_a_small_page() -> None:
    first = made_content().points[0]
    curve = tuple(0.5 / (1 + e) for e in range(100))
    points = [replace(first, number=i, curve=curve) for i in range(5000)]
    page = study_page([made_content(points=points)])
    assert len(page.encode()) < MAX_BYTES
    assert "The curves of the 4700 worst trials are left out" in text_of(page)


def test_nothing_is_loaded() -> None:
    page = study_page([made_content()])
    assert not re.findall(r"<(?:script|link|iframe)[^>]*(?:src|href)\s*=", page)
    assert all(url.startswith("data:image/") for url in re.findall(r'src="([^"]*)"', page))
    assert "http" not in re.sub(r'src="[^"]*"', "", page)


def test_plain_content_is_json_without_images() -> None:
    first = made_content().points[0]
    folds = replace(first, curve=(0.5, float("nan"), 0.4))
    plain = json.loads(json.dumps(plain_content([made_content(points=[folds])]), allow_nan=False))
    (study,) = plain["studies"]
    assert plain["comparable"] is True
    assert study["trials"][1]["verdict"] == "alike"
    assert study["errors"]["images"][0]["label"] == "12"
    assert study["points"][0]["curve"] == [0.5, None, 0.4]
    assert "data:image" not in json.dumps(plain)


def test_command_lines_can_be_pasted() -> None:
    command = Command("train", ("it's",), {"data": "a b.csv", "train_fraction": 0.25, "test": True})
    line = command_line(command)
    assert shlex.split(line) == [
        *("ocrsearch", "train", "it's", "--data", "a b.csv", "--train-fraction", "0.25", "--test")
    ]


# --- in a browser -----------------------------------------------------------------------------


def test_page_in_a_browser(browser: Chrome, tmp_path: Path) -> None:
    pairs = [("12", "13"), ("4 5", "45"), ("7" * 300, "77"), ("12", "3"), (EVIL, "1")]
    content = made_content(errors=made_errors(pairs, ["a", "b"]))
    long = replace(content, name="W" * 200, steps=[STEP])
    save_page(study_page([content, long]), tmp_path / "page.html")

    def ask(script: str) -> Any:
        return browser.execute_script(f"return {script}")

    for width in (1400, 390):
        for scheme in ("light", "dark"):
            feature = {"name": "prefers-color-scheme", "value": scheme}
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
            metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            browser.get((tmp_path / "page.html").as_uri())
            sizes = ask("[document.documentElement.scrollWidth, innerWidth]")
            assert sizes[0] <= sizes[1], width
            assert ask("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
            assert (
                min(ask("[...document.querySelectorAll('.chart')].map(c => c.clientWidth)")) > 250
            )
            # text of figures stands out from the paper
            ink, paper = ask(
                "[getComputedStyle(document.querySelector('.chart text')).fill,"
                " getComputedStyle(document.body).backgroundColor]"
            )
            light = [sum(map(int, re.findall(r"\d+", color))) for color in (ink, paper)]
            assert (light[0] > light[1]) == (scheme == "dark")
            assert abs(light[0] - light[1]) > 300
    assert ask("performance.getEntriesByType('resource').every(e => e.name.startsWith('data:'))")
    assert browser.get_log("browser") == []


def test_tables_are_sorted_and_errors_filtered_by_keyboard(browser: Chrome, tmp_path: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select

    content = made_content(
        trials=[
            made_trial(0, 0.02, size_mb=2.0),
            made_trial(1, 0.03, size_mb=None),
            made_trial(2, 0.04, size_mb=10.0),
        ]
    )
    save_page(study_page([content]), tmp_path / "page.html")
    browser.get((tmp_path / "page.html").as_uri())

    def order() -> list[str]:
        rows = browser.find_elements(By.CSS_SELECTOR, ".sortable tbody tr")
        return [row.find_element(By.TAG_NAME, "td").text for row in rows]

    size = browser.find_element(By.XPATH, "//button[text()='size in MB']")
    assert order() == ["0", "1", "2"]
    size.send_keys(Keys.ENTER)
    assert order() == ["0", "2", "1"]  # unknown values come last
    size.send_keys(Keys.ENTER)
    assert order() == ["2", "0", "1"]
    head = size.find_element(By.XPATH, "..")
    assert head.get_attribute("aria-sort") == "descending"

    def shown() -> list[str]:
        cards = browser.find_elements(By.CSS_SELECTOR, ".error")
        return [c.find_element(By.CSS_SELECTOR, ".label").text for c in cards if c.is_displayed()]

    assert len(shown()) == 4
    form = browser.find_element(By.CSS_SELECTOR, ".filters")
    Select(form.find_element(By.NAME, "pair")).select_by_value("2 → 3")
    assert shown() == ["12", "12"]
    assert form.find_element(By.TAG_NAME, "output").text == "2 of 4 images"
    Select(form.find_element(By.NAME, "group")).select_by_value("a")
    assert shown() == ["12"]
    Select(form.find_element(By.NAME, "pair")).select_by_value("")
    Select(form.find_element(By.NAME, "group")).select_by_value("")
    Select(form.find_element(By.NAME, "length")).select_by_value("3")
    assert shown() == ["4 5"]
    assert browser.get_log("browser") == []
