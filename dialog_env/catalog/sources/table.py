"""Any CSV about pictures: which column names them, and which of the others are attributes, grades or splits."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dialog_env.catalog.attributes import AttributeTable
from dialog_env.io.reading import read_text, some

UNKNOWN = ("", "nan", "na", "n/a", "null")
SPLIT_COLUMNS = ("split", "set", "subset", "partition", "fold")
SPLIT_NAMES = {"val": "validation", "valid": "validation", "dev": "validation", "training": "train", "testing": "test"}
MOST_VALUES = 200
"""Of an attribute whose column is guessed."""
LEAST_GRADES = 5
"""Different numbers of a graded attribute whose column is guessed."""
REMEDY = "give a CSV with a header, a column that names the pictures, and one line for each"


@dataclass(frozen=True)
class Table:
    """The columns of a CSV.

    Args:
        path: of the file.
        columns: name to the texts of all rows; "" where nothing is known.
        lines: the line of the file on which each row begins.
    """

    path: Path
    columns: dict[str, list[str]]
    lines: list[int]


@dataclass(frozen=True)
class Known:
    """What a table says of N pictures.

    Args:
        attributes: name to N values, "" where unknown.
        graded: name to N numbers, NaN where unknown.
        splits: N names, "" where unknown; none without such a column.
        notes: what was guessed and what was left out, a sentence each.
        unused: rows about no picture.
    """

    attributes: dict[str, list[str]] = field(default_factory=dict)
    graded: dict[str, list[float]] = field(default_factory=dict)
    splits: list[str] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    unused: int = 0


@dataclass
class Columns:
    """A table of one's own, and what its columns are; what is left open is guessed, and said.

    Numbers are graded attributes, texts that repeat are categorical ones, and the rest is left out.

    Args:
        table: a CSV with a header; none for a catalogue without attributes.
        id_column: its column that names the pictures; the one whose values most often do, where empty.
        split_column: its column that names their splits; one called split (or set, …), where empty.
        attributes: its columns that are categorical attributes.
        graded: its columns that are graded attributes.
        ignore: its columns that are left out.
    """

    table: Path | None = field(default=None, kw_only=True)
    id_column: str = field(default="", kw_only=True)
    split_column: str = field(default="", kw_only=True)
    attributes: tuple[str, ...] = field(default=(), kw_only=True)
    graded: tuple[str, ...] = field(default=(), kw_only=True)
    ignore: tuple[str, ...] = field(default=(), kw_only=True)
    old: AttributeTable | None = field(default=None, init=False, repr=False)

    def follow(self, old: AttributeTable | None) -> None:
        """Makes columns what attributes of their names are in a catalogue that is there."""
        self.old = old

    def known(self, pictures: Mapping[str, int], count: int) -> Known:
        """What the table says of `count` pictures; nothing without a table. See `known_of`."""
        named = [self.id_column, self.split_column, *self.attributes, *self.graded, *self.ignore]
        if self.table is not None:
            return known_of(read_table(self.table), pictures, count, self)
        if any(named):
            raise ValueError(
                f"columns ({some(list(filter(None, named)))}) are named without a table; give it as --table"
            )
        return Known()


def read_table(path: Path) -> Table:
    """Reads a CSV whose fields are parted by commas, semicolons or tabs, whichever the header has most of.

    Raises:
        FileNotFoundError: there is none.
        ValueError: no CSV in UTF-8, a column without a name or two of one, or a row with too few or too many fields.
    """
    text = read_text(path, "table", REMEDY).removeprefix("\ufeff")
    if "\0" in text:
        raise ValueError(f"{path} has a NUL in line {text[: text.index(chr(0))].count(chr(10)) + 1}; {REMEDY}")
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    rows, lines, begun = [], [], 1
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        for row in reader:
            if row:
                rows.append([cell.strip() for cell in row])
                lines.append(begun)
            begun = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{path} has a stray quote or another slip in line {begun} ({error}); mend the line"
        ) from error
    names = rows[0] if rows else []
    if not all(names) or len(set(names)) < len(names):
        raise ValueError(f"{path} has a column without a name or two of one ({some(names, 20)}); name each of its own")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(names):
            raise ValueError(f"{path} has {len(row)} of {len(names)} fields in line {line} ({row[0]!r}); mend the line")
    if len(rows) < 2:
        raise ValueError(f"{path} has no rows below its header; {REMEDY}")
    columns = {name: [row[place] for row in rows[1:]] for place, name in enumerate(names)}
    return Table(path, columns, lines[1:])


def known_of(table: Table, pictures: Mapping[str, int], count: int, roles: Columns) -> Known:
    """What a table says of `count` pictures.

    Args:
        table: that was read.
        pictures: the names that a picture may have in it, to the picture's position.
        count: N.
        roles: of its columns.

    Raises:
        ValueError: a column that is not there or cannot be what it shall be, no column that names pictures, a picture
            twice, a name that is none, or no column that tells pictures apart.
    """
    path = table.path
    given = [roles.id_column, roles.split_column, *roles.attributes, *roles.graded, *roles.ignore]
    for column in filter(None, given):
        if column not in table.columns:
            raise ValueError(f"{path} has no column {column!r}; it has {some(table.columns, 30)}")
    twice = set(roles.attributes) & set(roles.graded)
    if twice:
        raise ValueError(f"{path}: column {min(twice)!r} cannot be an attribute and graded; choose one")
    id_column = roles.id_column or _id_column(table, pictures)
    rows = _rows(table, id_column, pictures)
    notes = [f"{path}: column {id_column!r} names the pictures"]
    placed = {
        name: [values[row] if row >= 0 and values[row].casefold() not in UNKNOWN else "" for row in _order(rows, count)]
        for name, values in table.columns.items()
        if name != id_column and name not in roles.ignore
    }
    split_column = roles.split_column or next((name for name in placed if name.casefold() in SPLIT_COLUMNS), "")
    splits = [SPLIT_NAMES.get(value.casefold(), value) for value in placed.pop(split_column, [])]
    if splits:
        notes.append(f"{path}: column {split_column!r} names the splits")
    attributes, graded = {}, {}
    for name, values in placed.items():
        kind, why = _kind(name, values, roles, path)
        if kind == "graded":
            graded[name] = [float(value) if value else math.nan for value in values]
        elif kind == "attribute":
            attributes[name] = values
        notes.append(f"{path}: column {name!r} is {why}")
    if not attributes and not graded:
        raise ValueError(
            f"{path} has no column that tells pictures apart ({'; '.join(_reasons(notes))}); name some with "
            "--attributes or --graded, or leave the table out"
        )
    return Known(attributes, graded, splits, tuple(notes), len(table.lines) - len(rows))


def check_name(name: str, where: str) -> None:
    """ValueError for the name of a picture that is none, climbs out of its folder or does not fit into a line."""
    if not name.strip():
        raise ValueError(f"{where} names a picture {name[:80]!r}; give every picture a name")
    if not name.isprintable() or ".." in name.replace("\\", "/").split("/") or name.startswith("/"):
        raise ValueError(
            f"{where} names a picture {name[:80]!r}; give names without '..', line breaks or other signs that cannot "
            "be printed"
        )


def _id_column(table: Table, pictures: Mapping[str, int]) -> str:
    hits = {
        name: len({pictures[value] for value in values if value in pictures}) for name, values in table.columns.items()
    }
    best = max(hits, key=lambda name: hits[name])
    if not hits[best]:
        first = next(iter(table.columns))
        raise ValueError(
            f"{table.path} has no column that names the pictures (column {first!r} begins with "
            f"{some(table.columns[first][:1])!r}, the pictures with {some(list(pictures)[:1])!r}); add one with their "
            "names, or leave the table out"
        )
    return best


def _rows(table: Table, column: str, pictures: Mapping[str, int]) -> dict[int, int]:
    """The row of each picture that has one."""
    rows: dict[int, int] = {}
    for row, (name, line) in enumerate(zip(table.columns[column], table.lines, strict=True)):
        check_name(name, f"{table.path}, line {line}, column {column!r},")
        if name not in pictures:
            continue
        if pictures[name] in rows:
            raise ValueError(
                f"{table.path} speaks of the picture {some([name])!r} in lines {table.lines[rows[pictures[name]]]} and "
                f"{line}; keep one of them"
            )
        rows[pictures[name]] = row
    if not rows:
        first = table.columns[column][0]
        raise ValueError(
            f"{table.path} names no picture in column {column!r} (it begins with {some([first])!r}, the pictures with "
            f"{some(list(pictures)[:1])!r}); name the column with their names as --id-column"
        )
    return rows


def _order(rows: Mapping[int, int], count: int) -> Sequence[int]:
    """The row of each picture, -1 where it has none."""
    return [rows.get(position, -1) for position in range(count)]


def _kind(name: str, values: list[str], roles: Columns, path: Path) -> tuple[str, str]:
    """What a column is ("graded", "attribute" or "", which is left out), and that in words."""
    known = [value for value in values if value]
    different = len(set(known))
    if roles.old is not None and name in (*roles.old.graded_names, *roles.old.categorical_names):
        kind = "graded" if name in roles.old.graded_names else "attribute"
        if kind == "graded":
            _refuse_words(name, known, path)
        return kind, "as in the catalogue that grows"
    if name in (*roles.attributes, *roles.graded):
        if different < 2:
            told = f"{known[0][:40]!r} in every row" if known else "empty"
            raise ValueError(f"{path}: column {name!r} is {told} and tells no picture from another; leave it out")
        if name in roles.attributes:
            return "attribute", f"an attribute of {different} values"
        _refuse_words(name, known, path)
        return "graded", _graded(known)
    if different < 2:
        return "", f"left out, it is {'all alike' if known else 'empty'}"
    numbers = [_number(value) for value in known]
    if all(number is not None for number in numbers):
        found = [number for number in numbers if number is not None]
        counts = different == len(known) == max(found) - min(found) + 1
        if counts and all(number.is_integer() for number in found):
            return "", "left out, it counts the rows"
        if different >= LEAST_GRADES:
            return "graded", _graded(known)
    if different > min(MOST_VALUES, max(2, len(known) // 2)):
        return "", f"left out, {different} of {len(known)} values are different (--attributes takes it all the same)"
    return "attribute", f"an attribute of {different} values"


def _refuse_words(name: str, known: list[str], path: Path) -> None:
    wrong = next((value for value in known if _number(value) is None), None)
    if wrong is not None:
        raise ValueError(
            f"{path}: graded column {name!r} holds {wrong[:40]!r}, which is no number; mend it, or make the column one "
            "of --attributes"
        )


def _graded(known: list[str]) -> str:
    numbers = list(map(float, known))
    return f"graded, from {min(numbers):g} to {max(numbers):g}"


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _reasons(notes: Sequence[str]) -> list[str]:
    return [note.partition(": ")[2] for note in notes]
