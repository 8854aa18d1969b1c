"""What the site needs beside its pages: files from elsewhere in the repository, and links that lead somewhere.

A page links to what it means as the repository has it, so that it can be read there too. On the site, documents and
pictures from outside of `docs` get a place of their own; of links to code the text is left.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
ELSEWHERE = ("CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/results/**/*.md", "benchmarks/results/**/*.png")
CARD = "simulators/captioner/weights/synthetic/README.md"


def on_files(files: Files, config: Any) -> Files:
    """Adds documents and pictures from outside of `docs` under their place in the repository."""
    for path in sorted(found for pattern in (*ELSEWHERE, CARD) for found in ROOT.glob(pattern)):
        files.append(File.generated(config, site_place(path), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Links to what is on the site lead there; of others the text is left."""
    source = Path(page.file.abs_src_path or "")

    def link(match: re.Match[str]) -> str:
        picture, text, target, anchor = match.groups()
        if target.startswith(("http:", "https:")):
            return match[0]
        place = site_place((source.parent / target).resolve())
        if files.get_file_from_path(place) is None:
            return text
        return (
            f"{picture}[{text}]({posixpath.relpath(place, posixpath.dirname(page.file.src_uri) or '.')}{anchor or ''})"
        )

    return LINK.sub(link, markdown)


def site_place(path: Path) -> str:
    """Where a file of the repository lies on the site; those outside of `docs` keep their path."""
    place = path.resolve().relative_to(ROOT).as_posix()
    return place.removeprefix("docs/") if place != CARD else "captioner-card.md"
