"""A table, and how it looks as Markdown, CSV, LaTeX and HTML: the same table gives the same bytes."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dialog_env.evaluate.intervals import Interval
from dialog_env.io.atomic import write_atomically

LATEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


@dataclass(frozen=True)
class Cell:
    """A number with its interval.

    Args:
        interval: with the number.
        decimals: that are shown.
        signed: whether a plus is shown: the number is a difference.
    """

    interval: Interval
    decimals: int = 1
    signed: bool = False

    def __str__(self) -> str:
        return f"{self.interval:{self._format}}"

    @property
    def _format(self) -> str:
        return f"{'+' if self.signed else ''}.{self.decimals}f"

    @property
    def parts(self) -> tuple[str, str, str]:
        """The number, the lower and the upper end of its interval."""
        numbers = (self.interval.value, self.interval.low, self.interval.high)
        value, low, high = (format(number, self._format) for number in numbers)
        return value, low, high


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        head: what the columns are called.
        rows: as many cells each, a text or a number with its interval.
        note: below it.
        title: above it.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    note: str = ""
    title: str = ""


def markdown(table: Table) -> str:
    """Pipes in texts are escaped."""
    lines = [[cell if isinstance(cell, str) else str(cell) for cell in row] for row in (table.head, *table.rows)]
    rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    parts = [f"## {table.title}\n"] if table.title else []
    parts.append("\n".join([rows[0], "|" + "---|" * len(table.head), *rows[1:]]) + "\n")
    return "\n".join([*parts, table.note + "\n"] if table.note else parts)


def comma_separated(table: Table) -> str:
    """A number makes three columns: itself, and the two ends of its interval."""
    numbers = {
        column for row in table.rows for column, cell in enumerate(row) if isinstance(cell, Cell)
    }  # columns with a number in any row
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    head = [
        [name, f"{name}: low", f"{name}: high"] if column in numbers else [name]
        for column, name in enumerate(table.head)
    ]
    writer.writerow([name for names in head for name in names])
    for row in table.rows:
        cells = [
            list(cell.parts) if isinstance(cell, Cell) else [cell] + ["", ""] * (column in numbers)
            for column, cell in enumerate(row)
        ]
        writer.writerow([part for parts in cells for part in parts])
    return buffer.getvalue()


def latex(table: Table) -> str:
    """A `tabular` with rules of the package booktabs; the interval stands small behind its number."""
    columns = "l" + "r" * (len(table.head) - 1)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _latex_row([_escaped(name) for name in table.head])]
    lines.append(r"\midrule")
    lines += [
        _latex_row([_escaped(cell) if isinstance(cell, str) else _number(cell) for cell in row]) for row in table.rows
    ]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _escaped(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)


def _number(cell: Cell) -> str:
    value, low, high = cell.parts
    return rf"${value}$ {{\scriptsize $[{low}, {high}]$}}"


def hypertext(table: Table) -> str:
    """A `table` element; the interval stands small below its number."""
    lines = [f"<h2>{html.escape(table.title)}</h2>"] if table.title else []
    lines += ['<div class="scroll"><table>', "<thead><tr>"]
    lines += [f'<th scope="col">{html.escape(name)}</th>' for name in table.head]
    lines += ["</tr></thead>", "<tbody>"]
    for row in table.rows:
        first, *rest = row
        lines.append(f'<tr><th scope="row">{html.escape(str(first))}</th>')
        lines += [f"<td>{_hypertext_cell(cell)}</td>" for cell in rest]
        lines.append("</tr>")
    lines += ["</tbody></table></div>"]
    if table.note:
        lines.append(f'<p class="note">{html.escape(table.note)}</p>')
    return "\n".join(lines) + "\n"


def _hypertext_cell(cell: str | Cell) -> str:
    if isinstance(cell, str):
        return html.escape(cell)
    value, low, high = cell.parts
    return f"{value}<small>{low} to {high}</small>"


def write_tables(tables: Sequence[Table], output: Path, name: str) -> str:
    """Writes tables as Markdown, CSV and LaTeX into a folder; returns the Markdown."""
    for ending, form in {"md": markdown, "csv": comma_separated, "tex": latex}.items():
        write_atomically(output / f"{name}.{ending}", "\n".join(map(form, tables)).encode())
    return "\n".join(map(markdown, tables))
