"""Damage to JSON, lines and tables."""

from __future__ import annotations

import json
from typing import Any

from tools.reliability.damage.signing import sign
from tools.reliability.damage.target import Random, Target

JUNK: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 1.5, -0.5, 1e308, float("nan"), float("inf"), 10**30, -(2**63), 2**31, 1 << 40,
    "", "x", "evil.Evil", "evil", "\x00", "two\nlines", "z" * 5000, [], {}, [[]], [None], ["a"], {"a": 1}, [1, "a"],
    {"__class__": "evil.Evil"},
)  # fmt: skip


def edited(value: Any, random: Random) -> Any:
    """JSON data with one part of it removed, replaced, doubled or wrapped."""
    inner = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    if not inner or random.random() < 0.1:
        return JUNK[random.integers(len(JUNK))]
    key, part = inner[random.integers(len(inner))]
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    chance = random.random()
    if chance < 0.2:
        del copy[key]
    elif chance < 0.4:
        copy[key] = JUNK[random.integers(len(JUNK))]
    elif chance < 0.5 and isinstance(copy, list):
        copy.append(part)
    elif chance < 0.5:
        copy["unheard_of"] = part
    elif chance < 0.6:
        copy[key] = [part]
    else:
        copy[key] = edited(part, random)
    return copy


def edit_json(target: Target) -> None:
    """One part of it is something else."""
    target.path.write_text(json.dumps(edited(json.loads(target.path.read_text()), target.random)))


def edit_json_line(target: Target) -> None:
    """One line of it is something else."""
    lines = target.path.read_text().splitlines()
    number = target.place(len(lines))
    lines[number] = json.dumps(edited(json.loads(lines[number]), target.random))
    target.path.write_text("\n".join(lines) + "\n")


def nest(target: Target) -> None:
    """Brackets in brackets in brackets."""
    deep = int(target.random.choice([300, 2_000, 100_000]))
    opening, closing = ("[", "]") if target.random.random() < 0.5 else ('{"a":', "}")
    target.path.write_text(opening * deep + "1" + closing * (deep if target.random.random() < 0.7 else 0))


def long_number(target: Target) -> None:
    """A number of a hundred thousand digits."""
    text = target.path.read_text()
    digits = [place for place, letter in enumerate(text) if letter.isdigit()] or [0]
    place = digits[target.place(len(digits))]
    target.path.write_text(text[:place] + "9" * 100_000 + text[place:])


def drop_line(target: Target) -> None:
    """One line missing."""
    lines = target.path.read_text().splitlines(keepends=True)
    del lines[target.place(len(lines))]
    target.path.write_text("".join(lines))


def cut_lines(target: Target) -> None:
    """Its last lines missing, the cut between two lines."""
    lines = target.path.read_text().splitlines(keepends=True)
    target.path.write_text("".join(lines[: target.place(len(lines))]))


def double_line(target: Target) -> None:
    """One line twice."""
    lines = target.path.read_text().splitlines(keepends=True)
    place = target.place(len(lines))
    target.path.write_text("".join([*lines[:place], *lines[place - 1 : place], *lines[place:]]))


def stray_quote(target: Target) -> None:
    """A quotation mark somewhere."""
    text = target.path.read_text()
    place = target.place(len(text))
    target.path.write_text(text[:place] + '"' + text[place:])


def wide_field(target: Target) -> None:
    """A field of a million letters."""
    text = target.path.read_text()
    place = text.index(",", target.place(len(text) // 2))
    target.path.write_text(text[:place] + "w" * 1_000_000 + text[place:])


def other_encoding(target: Target) -> None:
    """In UTF-16."""
    target.path.write_bytes(target.path.read_text().encode("utf-16"))


def drop_column(target: Target) -> None:
    """One column missing."""
    rows = [line.split(",") for line in target.path.read_text().splitlines()]
    column = target.place(len(rows[0]))
    target.path.write_text("\n".join(",".join([*row[:column], *row[column + 1 :]]) for row in rows) + "\n")


def forge_json(target: Target) -> None:
    """One part of it is something else, and its digest made anew."""
    target.path.write_text(json.dumps(edited(json.loads(target.path.read_text()), target.random)))
    sign(target.path)
