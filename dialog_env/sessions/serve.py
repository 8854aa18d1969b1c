"""`dialog-retrieval serve`: sessions as a JSON service."""

from __future__ import annotations

from dataclasses import dataclass

from dialog_env.io.commands import one_line, run_command

with one_line():  # loading PyTorch takes seconds, in which Ctrl-C may come
    import tyro

    from dialog_env.sessions.serving import Serving, serve


@dataclass
class Serve(Serving):
    """Serve sessions as JSON, for a front end of your own; the first page says how it is asked."""

    def __call__(self) -> None:
        """Serves until Ctrl-C."""
        try:
            from dialog_env.sessions.service import service_app
        except ImportError as error:
            raise ImportError(f'the service needs {error.name}; run pip install "dialog-retrieval[web]"') from error
        with self.listening() as bound, self.place() as place:
            print(f"{self.address(bound)} — Ctrl-C ends it", flush=True)
            serve(service_app(place, self.limits, self.token), bound)


def main(arguments: list[str] | None = None, program: str = "python -m dialog_env.sessions.serve") -> None:
    """Runs the command line; bad input ends in one sentence."""
    run_command(lambda: tyro.cli(Serve, prog=program, args=arguments)())


if __name__ == "__main__":
    main()
