"""In a checkout some packages lie in folders of their own as well, which Python finds under their bare names."""

from __future__ import annotations

import runpy
import sys


def one_name(folder: str) -> None:
    """Keeps a package from being loaded a second time, under the bare name of its folder.

    `python -m benchmarks`, typed in a checkout, runs `dialog_env.benchmarks`.

    Raises:
        ImportError: an import of the bare name.
    """
    if sys.argv[0] == "-m":  # Python is looking for the module that `-m` names
        runpy.run_module(f"dialog_env.{folder}", run_name="__main__", alter_sys=True)
        sys.exit()
    raise ImportError(f"{folder} is a folder of the checkout, not a package; import dialog_env.{folder}")
