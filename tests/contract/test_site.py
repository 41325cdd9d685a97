"""What `make docs` checks of the site that it builds, and how it adapts the documents."""

from pathlib import Path

import build_site
import experiment_pages
import pytest
import site_checks
import staging

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("element", "fault"),
    [
        ('<script src="https://cdn.example/a.js"></script>', "loads https://cdn.example/a.js"),
        ('<img srcset="//images.example/a.png 2x">', "loads //images.example/a.png"),
        ('<link rel="stylesheet" href="http://fonts.example/a">', "loads http://fonts.example/a"),
        ("<style>@import 'https://fonts.example/b'</style>", "loads https://fonts.example/b"),
        ('<p style="background: url(https://images.example/c)">', "loads https://images.example/c"),
        ('<a href="missing.html">', "leads to missing.html, which is not there"),
        ('<a href="/page.html">', "leads to /page.html, which is not there"),
        ('<a href="page.html#other">', "leads to page.html#other, which is not there"),
        ('<a href="../outside.html">', "leads to ../outside.html, which is not there"),
        ('<a id="part" href="#part"><a href="https://keras.io"><img src="data:image/png;base64,">', None),
    ],
)
def test_a_page_may_only_load_what_is_in_the_site_and_lead_to_what_is_there(
    tmp_path: Path, element: str, fault: str | None
) -> None:
    (tmp_path / "outside.html").write_text("")
    site = tmp_path / "site"
    site.mkdir()
    (site / "page.html").write_text(f"<html>{element}</html>")
    assert site_checks.faults(site) == ([f"page.html {fault}"] if fault else [])


def test_a_style_may_load_nothing_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text(
        "@font-face { src: url('https://fonts.example/a.woff2') } b { src: url(c.png) }"
    )
    assert site_checks.faults(tmp_path) == ["a.css loads https://fonts.example/a.woff2"]


def test_a_public_name_without_a_description_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "client.html").write_text('<dt id="keraserve_client.Client">')
    assert site_checks.undescribed(tmp_path / "client.html", ["Client", "Image"]) == [
        "client.html does not describe Image"
    ]


def test_links_lead_to_the_sites_pages_and_to_the_text_of_other_files(tmp_path: Path) -> None:
    text = "[a](../README.md#serve) [b](client.md) [c](../LICENSE) [d](https://keras.io) [e](a.png)"
    assert staging.adapted(text, Path("docs/your-model.md"), tmp_path) == (
        "[a](../index.md#serve) [b](client.md) [c](../source/LICENSE.md) [d](https://keras.io) [e](a.png)"
    )
    assert (ROOT / "LICENSE").read_text() in (tmp_path / "source/LICENSE.md").read_text()


def test_a_new_document_is_in_the_menu_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    staging.stage(tmp_path)
    experiment_pages.write(tmp_path)
    (tmp_path / "docs/reference").mkdir()
    for name in ("client", "command-line", "http", "training"):
        (tmp_path / f"docs/reference/{name}.md").write_text("")
    (tmp_path / "docs/brand-new.md").write_text("# New")
    build_site.add_menus(tmp_path)
    menu = (tmp_path / "index.md").read_text()
    assert "docs/brand-new" in menu.partition(":caption: Further")[2]
    assert "0001-distributions" in (tmp_path / "docs/decisions/index.md").read_text()
    (tmp_path / "docs/rules.md").unlink()
    with pytest.raises(FileNotFoundError, match="rules"):
        build_site.add_menus(tmp_path)
