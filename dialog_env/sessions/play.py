"""`dialog-retrieval play`: a page in the browser on which people find images, play the agent, and judge sentences."""

from __future__ import annotations

import threading
import webbrowser
from dataclasses import dataclass

from dialog_env.io.commands import one_line, run_command

with one_line():  # loading PyTorch takes seconds, in which Ctrl-C may come
    import tyro

    from dialog_env.sessions.serving import Serving, serve


@dataclass
class Play(Serving):
    """Open a page in the browser: find an image by talking, guess what somebody means, judge sentences."""

    browser: bool = True
    """Opens the page in the browser of this machine."""

    def __call__(self) -> None:
        """Serves the page until Ctrl-C."""
        try:
            from dialog_env.sessions.page.app import page_app
        except ImportError as error:
            raise ImportError(f'the page needs {error.name}; run pip install "dialog-retrieval[web]"') from error
        with self.listening() as bound, self.place() as place:
            address = self.address(bound)
            print(f"{address}{'?token=…' if self.token else ''} — Ctrl-C ends it", flush=True)
            if self.browser:
                opened = f"{address}?token={self.token}" if self.token else address
                threading.Timer(0.5, webbrowser.open, [opened]).start()
            serve(page_app(place, self.limits, self.token), bound)


def main(arguments: list[str] | None = None, program: str = "python -m dialog_env.sessions.play") -> None:
    """Runs the command line; bad input ends in one sentence."""
    run_command(lambda: tyro.cli(Play, prog=program, args=arguments)())


if __name__ == "__main__":
    main()
