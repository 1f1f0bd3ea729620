"""The page of labels to check: nothing from files is HTML, and corrections are downloaded."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ocrsearch.reports.html import save_page, thumbnail_url
from ocrsearch.reports.label_page import LabelCard, LabelsContent, label_page

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

EVIL = "</script><img src=x onerror=alert(1)>\"'&\u202e"
URL = thumbnail_url(np.zeros((8, 16), np.uint8))


def card(row: int, label: str, reading: str) -> LabelCard:
    return LabelCard(row, f"{row}.png", label, reading, 3.21, False, URL)


CONTENT = LabelsContent(
    data="csv:labels.csv",
    n_networks=3,
    n_contradicted=2,
    cer=0.0123,
    cards=[card(2, "12", "13"), card(0, 'a "b",c', "ab"), card(1, "7", "")],
    rows=[("0.png", 'a "b",c', "", "x"), ("1.png", "7", "", ""), ("2.png", "12", "", "y")],
    n=3,
    folder="/data",
)


def table_of(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="table">(.*?)</script>', page)
    assert found
    content = json.loads(found[1])
    assert isinstance(content, dict)
    return content


def test_the_table_has_all_labels() -> None:
    page = label_page(CONTENT)
    table = table_of(page)
    assert table["head"] == ["image", "text", "group"]
    assert table["rows"] == [[row[0], row[1], row[3]] for row in CONTENT.rows]
    assert table["readings"] == {"2": "13", "0": "ab", "1": ""}
    assert "margin 3.2, 2.png" in page
    assert "1.23 % of the characters differ" in page


def test_texts_of_files_are_no_html() -> None:
    evil = LabelCard(0, EVIL, EVIL, EVIL[::-1], 1.0, True, URL)
    page = label_page(
        replace(CONTENT, data=EVIL, cards=[evil], rows=[(EVIL, EVIL, "", EVIL)], folder=EVIL)
    )
    assert "<img src=x" not in page
    assert "\u202e" not in page
    assert page.count("</script>") == 2
    assert table_of(page)["rows"] == [[EVIL, EVIL, EVIL]]


def test_images_without_files_have_no_table() -> None:
    page = label_page(replace(CONTENT, rows=[]))
    assert "Download" not in page
    assert "data save" in page


def test_corrections_are_downloaded(browser: Chrome, tmp_path: Path) -> None:
    from selenium.webdriver.common.by import By

    save_page(label_page(CONTENT), tmp_path / "page.html")
    browser.get((tmp_path / "page.html").as_uri())
    browser.execute_script(
        "URL.createObjectURL = (blob) => { blob.text().then((text) => { window.saved = text; });"
        " return 'data:,'; }; HTMLAnchorElement.prototype.click = () => {};"
    )

    def fields(i: int, name: str) -> list[object]:
        return browser.find_elements(By.CSS_SELECTOR, f"li:nth-child({i}) [name={name}]")

    def download() -> list[list[str]]:
        browser.execute_script("window.saved = undefined")
        browser.find_element(By.CSS_SELECTOR, ".bar button").click()
        text = browser.execute_async_script(
            "const done = arguments[0];"
            "const wait = () => window.saved === undefined ? setTimeout(wait, 5) : done(saved);"
            "wait();"
        )
        return list(csv.reader(io.StringIO(text)))

    head = ["image", "text", "group"]
    rows = [head, *([row[0], row[1], row[3]] for row in CONTENT.rows)]
    assert download() == rows
    (use,), (text,), (drop,) = fields(1, "use"), fields(2, "text"), fields(3, "drop")
    use.click()  # type: ignore[attr-defined]
    text.send_keys("d, \u00e9")  # type: ignore[attr-defined]
    drop.click()  # type: ignore[attr-defined]
    status = browser.find_element(By.CSS_SELECTOR, ".bar output")
    assert status.text == "2 labels changed, 1 image left out"
    assert download() == [head, ["0.png", 'a "b",cd, \u00e9', "x"], ["2.png", "13", "y"]]
    use.click()  # type: ignore[attr-defined]
    drop.click()  # type: ignore[attr-defined]
    assert status.text == "1 label changed, 0 images left out"
    assert browser.get_log("browser") == []
    sizes = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert sizes[0] <= sizes[1]
