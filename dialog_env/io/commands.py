"""How a command line ends: by itself, with one sentence of what was wrong, or stopped by who started it."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STOPPED = 128 + signal.SIGINT
"""Exit status of a command that Ctrl-C ended, as shells give it."""
AGAIN = 0.01
"""Seconds after which Ctrl-C is raised again where the first time had no effect."""


def run_command(command: Callable[[], object], stopped: str = "stopped") -> None:
    """Runs a command line; whatever ends it early ends it in one line (see `one_line`)."""
    with one_line(stopped):
        command()


@contextmanager
def one_line(stopped: str = "stopped") -> Iterator[None]:
    """Ends the process with one line on stderr where the block does not end well.

    Input that cannot be used, a file or package that is not there, a full disk or memory: the error's sentence, exit
    status 1. Ctrl-C: status 130. A pipe whose reader has gone, as in `| head`, is no error: no line, status 0.

    Args:
        stopped: what Ctrl-C prints.
    """
    try:
        try:
            with interrupts_kept():
                yield
        except SystemExit:
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would only disturb the ending
        close_bars()
        print(stopped, file=sys.stderr)
        sys.exit(STOPPED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more on its way out
        sys.exit(0)
    except (ValueError, OSError, ImportError, MemoryError) as error:
        sys.exit(f"error: {sentence(error)}")


def close_bars() -> None:
    """Ends the line of every progress bar that Ctrl-C left open, so that what is said next has its own."""
    bars = getattr(sys.modules.get("tqdm"), "tqdm", None)
    for bar in list(getattr(bars, "_instances", ())):
        with suppress(AttributeError):  # it was being made
            bar.close()


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """Raises Ctrl-C again where it came in a finalizer or a callback of a library, which Python cannot end by it.

    Python would print a traceback there and go on as if nobody had pressed anything. Does nothing on Windows, which has
    no alarm, nor in other threads than the first, which never hear of Ctrl-C.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    usual_hook = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, AGAIN)  # raised here and now, it would be lost once more
        else:
            usual_hook(unraisable)

    usual_handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = usual_hook
        late = signal.setitimer(signal.ITIMER_REAL, 0)[0] > 0
        signal.signal(signal.SIGALRM, usual_handler)
    if late:
        raise KeyboardInterrupt


def typed() -> str:
    """The command line as it was typed, for the records; bytes that are no text are written as escapes."""
    program = Path(sys.argv[0])
    name = program.name
    if name == "__main__.py":
        above, package = program.parts[-3:-1] if len(program.parts) > 2 else ("", program.parent.name)
        name = f"python -m {'tools.' if above == 'tools' else 'dialog_env.'}{package}".replace(
            "dialog_env.dialog_env", "dialog_env"
        )
    return " ".join([name, *map(shlex.quote, sys.argv[1:])]).encode(errors="backslashreplace").decode()


def sentence(error: BaseException) -> str:
    """What an error says; the number of an error of the system is left out, its file named."""
    if isinstance(error, OSError) and error.strerror is not None:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error) or type(error).__name__
