"""`python -m dialog_env.envs`: try an environment, with parts of your own or without."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from dialog_env.io.commands import one_line, run_command

with one_line():  # loading PyTorch takes seconds, in which Ctrl-C may come
    import gymnasium
    import tyro
    from gymnasium.utils.env_checker import check_env

    from dialog_env.envs.dialog_batch import DEFAULT_CATALOG, DEFAULT_PRESET, DEFAULT_SIMULATOR


@dataclass
class Check:
    """Make an environment, let Gymnasium's checker try it, and hold dialogs with random actions."""

    catalog: str = DEFAULT_CATALOG
    """Name or file of the catalogue."""
    split: str = "train"
    """The split that is the gallery."""
    simulator: str = DEFAULT_SIMULATOR
    """The user."""
    preset: str = DEFAULT_PRESET
    """dialog, vector or discrete: action and observation where they are not given."""
    action: str | None = None
    """candidate, query, direction, move, score, or module:Class of your own."""
    observation: tuple[str, ...] | None = None
    """Parts: features, coordinates, pixels, words, or module:Class of your own; feedback and turn are always there."""
    flatten: bool = False
    """Makes one vector of all parts."""
    reward: str = "percentile"
    """percentile, change, log_rank, found, or module:Class of your own."""
    turns: int = 5
    """Turns of a dialog."""
    dialogs: int = 3
    """How many are held."""
    seed: int = 0
    """Of targets, first candidates and actions."""

    def __call__(self) -> None:
        """Prints spaces, and the reward of each dialog; warnings of the checker are errors."""
        env = gymnasium.make(
            "dialog_env:DialogRetrieval-v0",
            catalog=self.catalog,
            split=self.split,
            simulator=self.simulator,
            preset=self.preset,
            action=self.action,
            observation=self.observation,
            flatten=self.flatten,
            reward=self.reward,
            turns=self.turns,
        )
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("error", module="gymnasium.*")
                check_env(env.unwrapped, skip_render_check=True)
        except (AssertionError, Warning) as error:
            raise ValueError(f"Gymnasium's checker refuses the environment: {' '.join(str(error).split())}") from error
        print(f"actions: {env.action_space}")
        if isinstance(env.observation_space, gymnasium.spaces.Dict):
            for name, space in env.observation_space.items():
                print(f"observation {name!r}: {space}")
        else:
            print(f"observation: {env.observation_space}")
        env.action_space.seed(self.seed)
        for number in range(self.dialogs):
            env.reset(seed=self.seed + number)
            rewards, over = [], False
            while not over:
                _, reward, over, *_ = env.step(env.action_space.sample())
                rewards.append(float(reward))
            print(f"dialog {number}: {len(rewards)} turns, rewards {', '.join(f'{each:.3f}' for each in rewards)}")


def main(arguments: list[str] | None = None, program: str = "python -m dialog_env.envs") -> None:
    """Runs the command line; bad input ends in one sentence."""
    run_command(lambda: tyro.extras.subcommand_cli_from_dict({"check": Check}, prog=program, args=arguments)())


if __name__ == "__main__":
    main()
