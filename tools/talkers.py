"""How long people wait who talk to the service at the same time: `python -m tools.talkers --help`.

Starts the service in a process of its own, as `dialog-retrieval serve` does, and lets so many people talk to it, each
in a session of its own, who say what the describer would and pause before they speak again.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import torch
import tyro

from dialog_env.catalog import load_catalog
from dialog_env.simulators import make_simulator


@dataclass
class Talkers:
    """Let many people talk to the service, and say how long they waited."""

    catalog: str = "synthetic:10000:1"
    """Name or file of the catalogue, all of whose images are the gallery."""
    agent: str = "ceiling"
    """As for `serve`."""
    people: int = 200
    """Sessions at once."""
    turns: int = 5
    """Sentences of each."""
    pause: float = 5.0
    """Mean seconds, of an exponential distribution, for which each thinks and types; 0: all speak again at once."""
    seed: int = 0
    """Of pauses and sentences."""

    def __call__(self) -> None:
        """Prints how long the answers took."""
        command = [sys.executable, "-m", "dialog_env", "serve", "--port", "0", "--catalog", self.catalog]
        command += ["--split", "all", "--agent", self.agent]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                port = int(server.stdout.readline().split("/")[2].rpartition(":")[2])
                waited = asyncio.run(self._talk(port, self._sentences()))
            finally:
                server.terminate()
        shares = statistics.quantiles(waited, n=100)
        print(
            f"{self.people} people, {len(waited)} turns with {self.agent} on {self.catalog}, pause {self.pause:g} s: "
            f"median {shares[49]:.0f} ms, 95% within {shares[94]:.0f} ms, the longest {max(waited):.0f} ms"
        )

    def _sentences(self) -> list[str]:
        """What the describer says of random pairs."""
        describer, random_pair = make_simulator("describer", load_catalog("synthetic").split("test")), random.Random(0)
        pairs = torch.tensor([random_pair.sample(range(1000), 2) for _ in range(500)])
        return describer.vocabulary.decode(describer.feedback(pairs[:, 0], pairs[:, 1], pairs[:, 1] * 0 - 1).numpy())

    async def _talk(self, port: int, sentences: list[str]) -> list[float]:
        draw, waited = random.Random(self.seed), []

        async def person(said: list[str], pauses: list[float]) -> None:
            begun = await ask(port, "/sessions", {})
            for sentence, pause in zip(said, pauses, strict=True):
                await asyncio.sleep(pause)
                start = time.perf_counter()
                await ask(port, f"/sessions/{begun['id']}/say", {"sentence": sentence})
                waited.append(1000 * (time.perf_counter() - start))

        def pause() -> float:
            return draw.expovariate(1 / self.pause) if self.pause else 0.0

        await asyncio.gather(
            *(
                person(draw.choices(sentences, k=self.turns), [pause() for _ in range(self.turns)])
                for _ in range(self.people)
            )
        )
        return waited


async def ask(port: int, path: str, fields: dict[str, Any]) -> Any:
    """What the service answers over a connection of its own; ValueError where it refuses."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps(fields).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    writer.write(head.encode() + b"\r\n\r\n" + body)
    answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(answer.partition("content-length:")[2].split()[0])
    content = json.loads(await reader.readexactly(length))
    writer.close()
    if "error" in content:
        raise ValueError(content["error"])
    return content


if __name__ == "__main__":
    tyro.cli(Talkers)()
