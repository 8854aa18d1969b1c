"""`dialog-retrieval talk`: a dialog in a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from dialog_env.io.commands import one_line, run_command, sentence

with one_line():  # loading PyTorch takes seconds, in which Ctrl-C may come
    import torch
    import tyro

    from dialog_env.catalog import Catalog
    from dialog_env.evaluate.records import RecordFile
    from dialog_env.sessions.answer import Answer, Image
    from dialog_env.sessions.choice import Choice
    from dialog_env.sessions.recording import CONSENT, Recording
    from dialog_env.sessions.session import Session

WIDTH = 32
"""Columns of a picture; half as many lines."""

HELP = """Say how the image you have in mind differs from the one that is shown.
  /like 3      look at the third of the best images instead
  /undo        take back what you said or liked last
  /forget      take back all
  /forget 2    take back the second thing you said or liked, and say the rest again
  /json        the dialog as JSON, for Session.from_json
  /help        this
  /quit        end; so do Ctrl-D and Ctrl-C"""


@dataclass
class Talk(Choice):
    """Talk to an agent: it shows an image, you say how the one you look for differs, it shows the next."""

    own: bool = False
    """You have an image in mind; else one is drawn, and shown to you, for you to lead the agent to."""
    seed: int | None = None
    """Draws the image to look for and the first that is shown; another dialog each time where left out."""

    record: Path | None = None
    """File to which the dialog is appended, if you agree when you are asked."""

    def __call__(self) -> None:
        """Holds the dialog on stdin and stdout."""
        partner, _ = self.open()
        generator = torch.Generator()
        seed = generator.seed() if self.seed is None else self.seed
        target = (
            None if self.own else int(torch.randint(len(partner.gallery), (), generator=generator.manual_seed(seed)))
        )
        session = Session(partner, target=target, seed=seed)
        print(f"You talk to {partner.agent.name!r} about {len(partner.gallery)} images of {partner.gallery.name!r}.\n")
        with ExitStack() as stack:
            recording = None
            if self.record is not None and agreed(self.record):
                recording = Recording(stack.enter_context(RecordFile(self.record)), session, seed=seed)
            hold(session, recording)


def agreed(file: Path) -> bool:
    """Whether the person lets the dialog be recorded."""
    print(f"{CONSENT}\nMay it be written to {file}? Type yes or no.")
    answer = next(typed(), "no").lower() in ("y", "yes")
    print("It is recorded. /quit ends it.\n" if answer else "Nothing is recorded.\n")
    return answer


def hold(session: Session, recording: Recording | None) -> None:
    """Reads lines and answers them until the target is shown or there are no more."""
    print(HELP + "\n")
    if session.target is not None:
        show("Lead it to this one", session.target, session.partner.gallery)
    show("It shows", session.candidate, session.partner.gallery)
    seen = time.monotonic()
    for line in typed():
        if line == "/quit":
            break
        try:
            obey(line, session) if line.startswith("/") else tell(session.say(line), session)
            if recording is not None:
                recording.follow(round(1000 * (time.monotonic() - seen)))
        except ValueError as error:
            print(error)
            continue
        except OSError as error:
            print(f"{sentence(error)}; the dialog goes on, but nothing more of it is recorded")
        seen = time.monotonic()
        if session.found:
            print("Found.")
            break
    if recording is not None and not recording.failed:
        recording.end()


def typed() -> Iterator[str]:
    """The lines that are typed, without empty ones, until the end of the input."""
    prompt = "> " if sys.stdin.isatty() else ""
    while True:
        try:
            line = input(prompt).strip()
        except EOFError:
            return
        except UnicodeDecodeError:
            print("that was no text; type it again")
            continue
        if line:
            yield line


def obey(line: str, session: Session) -> None:
    """Does what a line that begins with / says; ValueError where it is not understood."""
    command, _, number = line[1:].partition(" ")
    if number and not number.isdecimal():
        raise ValueError(f"{number!r} is no number; /help lists what there is")
    counted: dict[str, Callable[[int], Image]] = {
        "like": lambda count: session.like(nth(count, session)),
        "forget": lambda count: session.forget(count - 1),
    }
    plain: dict[str, Callable[[], Image]] = {"undo": session.undo, "forget": session.forget}
    if command == "help":
        print(HELP)
    elif command == "json":
        print(session.to_json())
    elif number and command in counted:
        show("It shows", counted[command](int(number[:9])), session.partner.gallery)
    elif not number and command in plain:
        show("It shows", plain[command](), session.partner.gallery)
    else:
        raise ValueError(f"{line[:40]!r} is not understood; /help lists what there is")


def nth(count: int, session: Session) -> int:
    """Gallery position of one of the best images, counted from 1."""
    best = session.answer.best if session.answer else ()
    if not 1 <= count <= len(best):
        raise ValueError(
            f"there is no image {count}; the best are numbered from 1 to {len(best)} once you said something"
        )
    return best[count - 1].position


def tell(answer: Answer, session: Session) -> None:
    """Prints what came of a sentence."""
    heard = answer.heard
    if not answer.understood:
        print("I understood no word of it.", hint(answer), "The image is the same; say it in other words.")
        return
    print(f"understood: {' '.join(heard.understood)}" + (f"; not: {', '.join(heard.unknown)}" if heard.unknown else ""))
    for more in (hint(answer), heard.unheard and f"16 words are heard; these came later: {' '.join(heard.unheard)}"):
        if more:
            print(more)
    rank = "" if answer.rank is None else f"yours is number {answer.rank + 1:.0f} of {len(session.partner.gallery)}; "
    sure = answer.certainty.told() if answer.certainty else ""
    print(f"{rank}it is {sure}" if answer.certainty and answer.certainty.best is not None else f"{rank}{sure}")
    print("best: " + ", ".join(f"{number} {image.id}" for number, image in enumerate(answer.best, 1)))
    show("It shows", answer.candidate, session.partner.gallery)


def hint(answer: Answer) -> str:
    """For what unknown words were taken."""
    return " ".join(f"By {word!r} I take you to mean {meant!r}." for word, meant in answer.heard.meant.items())


def show(what: str, image: Image, gallery: Catalog) -> None:
    """Prints an image, as a picture where the terminal has colours and the catalogue pictures."""
    print(f"{what}: {image.id}")
    if gallery.image_size is not None and sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        print(half_blocks(gallery, image.position))


def half_blocks(gallery: Catalog, position: int) -> str:
    """A picture as text: each letter an upper half block, the colour of which is one pixel, that behind it the next."""
    pixels = gallery.image(position, (WIDTH, WIDTH))
    lines = []
    for upper, lower in zip(pixels[::2].tolist(), pixels[1::2].tolist(), strict=True):
        letters = [
            f"\x1b[38;2;{r};{g};{b};48;2;{x};{y};{z}m▀" for (r, g, b), (x, y, z) in zip(upper, lower, strict=True)
        ]
        lines.append("".join(letters) + "\x1b[0m")
    return "\n".join(lines)


def main(arguments: list[str] | None = None, program: str = "python -m dialog_env.sessions.talk") -> None:
    """Runs the command line; bad input ends in one sentence."""
    run_command(lambda: tyro.cli(Talk, prog=program, args=arguments)())


if __name__ == "__main__":
    main()
