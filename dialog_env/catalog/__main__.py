"""Command line: `dialog-retrieval catalog build <source> …`, `add <source> …` and `info <path>`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Union

import tyro

from dialog_env.catalog import load_catalog
from dialog_env.catalog.catalog import Catalog
from dialog_env.catalog.sources import SOURCES, source
from dialog_env.io.atomic import locked
from dialog_env.io.commands import run_command


@dataclass
class Build:
    """Builds a catalogue from a source."""

    source: Any

    def __call__(self) -> None:
        """Builds and describes the catalogue."""
        output: Path = self.source.output
        with locked(output.parent, output.name):
            print(describe(self.source.build()))
        print(f"written to {self.source.output}")


@dataclass
class Add:
    """Adds images from a source to the catalogue at its output, in that one's feature space."""

    source: Any

    def __call__(self) -> None:
        """Grows and describes the catalogue; ValueError where the source only builds new ones."""
        output: Path = self.source.output
        if not hasattr(self.source, "add"):
            raise ValueError(f"source {type(self.source).__name__} only builds new catalogues; use `catalog build`")
        if not output.is_file():
            raise FileNotFoundError(f"no catalogue {output} to add to; give one as --output, or use `catalog build`")
        with locked(output.parent, output.name):
            print(describe(self.source.add()))
        print(f"added to {output}")


@dataclass
class Info:
    """Describes a catalogue and checks that it is whole.

    Args:
        catalog: a file, "synthetic", or "synthetic:SIZE:SEED".
    """

    catalog: tyro.conf.Positional[str]

    def __call__(self) -> None:
        """Prints what the catalogue holds; ValueError where its contents differ from its fingerprint."""
        catalog = load_catalog(self.catalog)
        catalog.verify()
        print(describe(catalog))


def describe(catalog: Catalog) -> str:
    """What a catalogue holds, in lines of text."""
    table = catalog.attributes
    lines = [
        f"{catalog.name}: {len(catalog)} images, fingerprint {catalog.fingerprint}",
        "splits: " + ", ".join(f"{name} {count}" for name, count in catalog.splits.items()),
        f"features: {catalog.dimensions}, regions: {catalog.region_shape}, pictures: {catalog.image_size}",
        f"feature space: {catalog.space or 'unknown'}",
    ]
    if table is not None:
        known = (table.categorical >= 0).mean(axis=0)
        lines += [
            f"attribute {name}: {len(values)} values, known for {share:.0%}"
            for name, values, share in zip(table.categorical_names, table.values, known, strict=True)
        ]
        lines += [f"graded: {', '.join(table.graded_names)}"]
    return "\n".join([*lines, json.dumps(catalog.provenance, indent=1)])


def read_command(given: list[str], program: str) -> Any:
    """What the command line asks for; a source of one's own is named by `build module:Class`.

    Raises:
        ValueError: a source that is not there, or is none.
    """
    if given[:1] in (["build"], ["add"]) and ":" in "".join(given[1:2]):
        kind = Build if given[0] == "build" else Add
        return kind(tyro.cli(source(given[1]), prog=f"{program} {given[0]} {given[1]}", args=given[2:]))
    sources = tuple(Annotated[source(name), tyro.conf.subcommand(name)] for name in sorted(SOURCES))
    for each in (Build, Add):
        each.__annotations__["source"] = Union[sources]  # noqa: UP007
    commands = Union[  # noqa: UP007
        Annotated[Build, tyro.conf.subcommand("build")],
        Annotated[Add, tyro.conf.subcommand("add")],
        Annotated[Info, tyro.conf.subcommand("info")],
    ]
    settings = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
    return tyro.cli(commands, prog=program, args=given, config=settings)


def main(arguments: list[str] | None = None, program: str = "python -m dialog_env.catalog") -> None:
    """Parses the command line and runs it; an error in the input is one line and exit status 1."""
    run_command(
        lambda: read_command(sys.argv[1:] if arguments is None else arguments, program)(),
        "stopped and nothing written; extraction from photographs goes on with the same command",
    )


if __name__ == "__main__":
    main()
