"""A page of tables, the plot and films, as one folder of static files: opened in any browser, served by anything."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from dialog_env.benchmarks.tables import Table, hypertext
from dialog_env.io.atomic import write_atomically

PAGE = "index.html"
FILMS = "films"
STYLE = """
:root { color-scheme: light dark; --line: #8884; --quiet: #777; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
th[scope=row], thead th:first-child { text-align: left; font-weight: 600; white-space: nowrap; }
thead th { font-weight: 600; max-width: 9rem; }
tbody tr:hover { background: #8881; }
small { display: block; color: var(--quiet); white-space: nowrap; }
img { max-width: 100%; height: auto; }
figure { margin: 1.5rem 0; }
figcaption, .note { color: var(--quiet); font-size: .85rem; max-width: 60rem; }
.scroll { overflow-x: auto; margin: 1.5rem 0 .5rem; }
.films { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 34rem), 1fr)); gap: 1.5rem; }
"""


def write(tables: Sequence[Table], folder: Path, title: str, plot: str) -> None:
    """Writes the page beside the plot and, where there are any, the films: `films/NAME.gif`.

    Args:
        tables: from top to bottom.
        folder: of the page.
        title: of the page.
        plot: name of its picture.
    """
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
        f'<figure><img src="{quote(plot)}" alt="Found and ranking percentile, turn by turn, of every agent"></figure>',
        *map(hypertext, tables),
        *_films(folder),
        "</body></html>",
    ]
    write_atomically(folder / PAGE, ("\n".join(parts) + "\n").encode())


def _films(folder: Path) -> list[str]:
    paths = sorted((folder / FILMS).glob("*.gif"))
    if not paths:
        return []
    figures = [
        f'<figure><img src="{FILMS}/{quote(path.name)}" loading="lazy" alt="Dialogs of {html.escape(path.stem)}">'
        f"<figcaption>{html.escape(path.stem)}</figcaption></figure>"
        for path in paths
    ]
    return ["<h2>Dialogs</h2>", '<div class="films">', *figures, "</div>"]
