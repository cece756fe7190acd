"""The pages point at what is there, and the index knows them all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "freeswitch" / "README.md"])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_page_links_to_what_is_there(page: Path):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    here = [link for link in links if "://" not in link]
    assert [link for link in here if not (page.parent / link).exists()] == []


def test_the_index_has_every_page():
    index = (ROOT / "docs" / "README.md").read_text()
    names = {page.name for page in ROOT.glob("docs/*.md")} - {"README.md"}
    assert names == set(re.findall(r"\(([\w-]+\.md)\)", index))


def test_the_readme_fits_on_a_screen_and_leads_to_the_docs():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 60
    assert "(docs/README.md)" in text
