"""`dialog-retrieval` and `python -m dialog_env`: everything that is done from a command line.

    dialog-retrieval environment check
    dialog-retrieval catalog build|add|info
    dialog-retrieval simulator train|evaluate|sheet
    dialog-retrieval agent train
    dialog-retrieval benchmark run|paper|carry|noise|composed|gap|replay|table|publish|leaderboard|film
    dialog-retrieval talk
    dialog-retrieval play
    dialog-retrieval serve

Nothing but the part that is asked for is imported, and help does without PyTorch, so that it is quick (see
`dialog_env.io.stand_ins`). The folder in which the command is given is where `module:Class` is looked for after the
installed packages.
"""

from __future__ import annotations

import sys
from importlib import import_module

from dialog_env import __version__
from dialog_env.io import stand_ins
from dialog_env.io.commands import one_line

GROUPS = {
    "environment": ("dialog_env.envs.__main__", "try an environment, with parts of your own or without"),
    "catalog": ("dialog_env.catalog.__main__", "build catalogues of images, grow them, and say what one holds"),
    "simulator": ("dialog_env.simulators.__main__", "train captioning users, evaluate them, look at what they say"),
    "agent": ("dialog_env.agents.__main__", "train an agent"),
    "benchmark": (
        "dialog_env.benchmarks.__main__",
        "run agents against each other; tables, claims of the paper, films",
    ),
    "talk": ("dialog_env.sessions.talk", "talk to an agent in the terminal"),
    "play": ("dialog_env.sessions.play", "talk to an agent, play one, and judge sentences in the browser"),
    "serve": ("dialog_env.sessions.serve", "serve sessions as JSON, for a front end of your own"),
}
"""Name to the module whose `main(arguments, program)` reads the rest, and what it is for."""

PROGRAM = "dialog-retrieval"

NEEDED = {"agent": "pydantic"}
"""Name of a group to the slow package that its help computes with: it shows the settings of a configuration."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line; bad input ends in one sentence and exit status 1, or 2 where it is not understood."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["--version"]:
        print(f"{PROGRAM} {__version__}")
    elif not given or given[0] in ("-h", "--help"):
        print(usage())
    elif given[0] in GROUPS:
        if "" not in sys.path:
            sys.path.append("")
        if arguments is None and {"-h", "--help"} & set(given) and stand_ins.install(NEEDED.get(given[0], "")):
            help_alone(given)
        else:
            run(given)
    else:
        print(f"error: no command {given[0]!r}; known are {', '.join(GROUPS)}", file=sys.stderr)
        sys.exit(2)


def run(given: list[str]) -> None:
    """Runs the command of a group."""
    with one_line():  # loading PyTorch takes seconds, in which Ctrl-C may come
        group = import_module(GROUPS[given[0]][0])
    group.main(given[1:], f"{PROGRAM} {given[0]}")


def help_alone(given: list[str]) -> None:
    """Runs a command that asks for help, with stand-ins; once more without them if it does anything else than to end.

    A part of one's own may compute while it is imported, and not every `--help` is meant to ask for it.
    """
    try:
        run(given)
    except SystemExit as end:
        if not isinstance(end.code, str):  # a sentence of what was wrong
            raise
    except Exception:  # whatever a stand-in cannot do
        pass
    stand_ins.begin_anew()


def usage() -> str:
    """What the command offers."""
    lines = [f"  {name:<11} {purpose}" for name, (_, purpose) in GROUPS.items()]
    head = f"usage: {PROGRAM} [--version] {{{','.join(GROUPS)}}} ...\n\nDialog-based image retrieval.\n"
    return "\n".join([head, *lines, "", f"`{PROGRAM} COMMAND --help` lists what each can do."])
