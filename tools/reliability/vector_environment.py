"""Part `vector`: sessions of the vector environment, in all its modes, against as many literal dialogs."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from dialog_env.envs import DialogRetrievalEnv, DialogRetrievalVectorEnv
from dialog_env.envs.wrappers import DialogHistoryVector, TensorEpisodeStatistics
from tools.reliability import actions
from tools.reliability.cases import Case, Outcome, Part, expect, fail
from tools.reliability.environment import check_history
from tools.reliability.literal_world import LiteralDialog
from tools.reliability.refusals import Answer, attempt, require_clear
from tools.reliability.setups import beginning, close, draw_setup
from tools.reliability.users import BrokenUser, TableUser

CALLS = 25
MODES = ("SameStep", "NextStep", "Disabled")


class Session:
    """Calls of one vector environment, each checked; twins with a revealed target say what was drawn."""

    def __init__(self, case: Case) -> None:
        random = self.random = case.random
        self.breakable = bool(random.random() < 0.2)
        self.setup = draw_setup(case, breakable=self.breakable)
        turns = self.setup.rules.turns
        self.dialogs = int(random.integers(1, 6))
        self.mode = str(random.choice(MODES))
        self.tensors = bool(random.random() < 0.5)
        self.most = int(random.integers(1, turns + 3)) if random.random() < 0.4 else None
        keywords = {
            **self.setup.keywords,
            "num_envs": self.dialogs,
            "autoreset_mode": self.mode if random.random() < 0.5 else gymnasium.vector.AutoresetMode(self.mode),
            "output": "torch" if self.tensors else "numpy",
            "max_episode_steps": self.most,
        }
        self.env: gymnasium.vector.VectorEnv[Any, Any, Any] = DialogRetrievalVectorEnv(**keywords)
        self.statistics = self.tensors and bool(random.random() < 0.5)
        if self.statistics:
            self.env = TensorEpisodeStatistics(self.env)
        self.flat = bool(random.random() < 0.5)
        self.history = bool(random.random() < 0.3)
        if self.history:
            self.env = DialogHistoryVector(self.env, flat=self.flat)
        self.twins = [
            DialogRetrievalEnv(
                catalog=self.setup.known.gallery, split="all", simulator="relevance", reveal_target=True, turns=1
            )
            for _ in range(self.dialogs)
        ]
        self.literal = [LiteralDialog(self.setup.rules) for _ in range(self.dialogs)]
        self.ended = np.ones(self.dialogs, dtype=bool)
        self.returns = np.zeros(self.dialogs)
        self.begun = False
        self.calls = 0
        self.what = f"{self.mode}, {keywords}"

    def call(self) -> None:
        """One random call."""
        self.calls += 1
        chance = self.random.random()
        if not self.begun:
            self.before_reset() if chance < 0.2 else self.reset()
        elif self.mode == "Disabled" and self.ended.any():
            self.refuse(attempt(self.env.step, self.good()[1]), "a step after an end", ["reset_mask"])
            self.reset(self.ended) if chance < 0.9 else self.reset()
        elif chance < 0.08:
            self.reset()
        elif chance < 0.12:
            self.reset(self.random.random(self.dialogs) < 0.5)
        elif chance < 0.25:
            self.bad_step()
        elif chance < 0.33:
            self.bad_reset()
        elif chance < 0.4 and self.breakable:
            self.broken_step()
        else:
            self.step()

    def good(self) -> tuple[list[Any], Any]:
        """Actions as plain numbers, and in one of the forms in which they may be given."""
        plain = [actions.good(self.setup.rules, self.random) for _ in range(self.dialogs)]
        forms = (np.array, torch.tensor, list, tuple)
        return plain, forms[self.random.integers(len(forms))](plain)

    def before_reset(self) -> None:
        """A step before there are dialogs."""
        self.refuse(attempt(self.env.step, self.good()[1]), "a step before the reset", ["reset"])

    def reset(self, mask: NDArray[np.bool_] | None = None) -> None:
        """A reset that must work, of all dialogs or of those of a mask."""
        if mask is not None and not mask.any():
            return
        seeds = self.seeds()
        options: dict[str, Any] = {}
        if mask is not None:
            options["reset_mask"] = torch.from_numpy(mask) if self.random.random() < 0.5 else mask
        observation, info = self.env.reset(seed=seeds, options=options or None)
        begun = np.ones(self.dialogs, dtype=bool) if mask is None else mask
        each = [seeds + i for i in range(self.dialogs)] if isinstance(seeds, int) else seeds or [None] * self.dialogs
        for row in begun.nonzero()[0].tolist():
            self.begin(row, each[row])
        self.begun = True
        self.ended = self.ended & ~begun
        where = f"{self.what} reset(seed={seeds}, mask={mask})"
        self.check(observation, where)
        self.check_info(info, begun, where)

    def seeds(self) -> Any:
        """Seeds in one of their forms."""
        chance = self.random.random()
        if chance < 0.4:
            return int(self.random.integers(1000))
        drawn = self.random.integers(0, 1000, self.dialogs).tolist()
        if chance < 0.6:
            return [seed if not self.begun or self.random.random() < 0.7 else None for seed in drawn]
        return None if self.begun else drawn

    def begin(self, row: int, seed: int | None = None) -> None:
        """Begins a literal dialog with what the twin draws."""
        _, drawn = self.twins[row].reset(seed=seed)
        self.literal[row].begin(*beginning(drawn, f"dialog {row}", {}, len(self.setup.known.features)))
        self.returns[row] = 0

    def bad_reset(self) -> None:
        """A reset that must be refused and change nothing."""
        count = self.dialogs
        junk: list[dict[str, Any]] = [
            {"seed": list(range(count + 1))},
            {"seed": -1},
            {"seed": [-1] * count},
            {"seed": "seed"},
            {"seed": 1.5},
            {"seed": np.zeros((count, 1), int)},
            {"seed": [1.5] * count},
            {"seed": [True] * count},
            {"seed": 5, "options": {"reset_mask": np.zeros(count, bool)}},
            {"seed": 5, "options": {"reset_mask": np.ones(count + 1, bool)}},
            {"seed": 5, "options": {"reset_mask": np.ones(count, int)}},
            {"seed": 5, "options": {"reset_mask": "all"}},
            {"seed": 5, "options": {"reset_mask": [None] * count}},
            {"seed": 5, "options": {"target": 0}},
            {"seed": 5, "options": [1]},
            {"seed": 5, "options": "reset_mask"},
            {"seed": 5, "options": {3: 4}},
        ]
        chosen = junk[self.random.integers(len(junk))]
        self.refuse(attempt(self.env.reset, **chosen), f"reset({chosen})", ["seed", "reset_mask", "options"])

    def bad_step(self) -> None:
        """A step that must be refused and change nothing."""
        plain, _ = self.good()
        count = self.dialogs
        if self.random.random() < 0.3:
            wrong: Any = [plain + plain[:1], plain[:-1], None, 3, "x" * count, {}, b"", np.float64(0)]
            chosen = wrong[self.random.integers(len(wrong))]
        else:
            one = actions.bad(self.setup.rules, self.random)
            alike = actions.is_boolean(one) or self.random.random() < 0.5  # among numbers, True is a 1 to Python
            chosen = [one] * count if alike else [*plain[:-1], one]
        names = ["action", "candidate", "query", "score"]
        self.refuse(attempt(self.env.step, chosen), f"{self.setup.rules.action} actions {chosen!r}", names)

    def broken_step(self) -> None:
        """A step in which the user breaks down: the turn has not happened, for none of the dialogs."""
        user = self.setup.user
        assert isinstance(user, TableUser)
        user.breaks_at = int(self.random.integers(1, 3))
        user.error = KeyboardInterrupt() if self.random.random() < 0.5 else BrokenUser("this user broke down")
        plain, given = self.good()
        drawn = [twin.np_random.bit_generator.state for twin in self.twins]
        answer = attempt(self.env.step, given)
        user.breaks_at = 0
        if answer.error is None:
            self.check_step(answer.value, plain)
        elif not isinstance(answer.error, BrokenUser | KeyboardInterrupt):
            fail("unclear", f"a user that broke down became {answer.error!r}")
        else:
            for twin, state in zip(self.twins, drawn, strict=True):
                twin.np_random.bit_generator.state = state

    def step(self) -> None:
        """A step that must work."""
        plain, given = self.good()
        self.check_step(self.env.step(given), plain)

    def check_step(self, found: tuple[Any, ...], plain: list[Any]) -> None:
        """Compares all that a step gave."""
        observation, reward, terminated, truncated, info = found
        where = f"{self.what} step({plain})"
        finals: dict[str, Any] = {}
        ended = np.zeros(self.dialogs, dtype=bool)
        for row, dialog in enumerate(self.literal):
            if self.ended[row] and self.mode == "NextStep":
                self.begin(row)
                expected, over, cut = 0.0, False, False
            else:
                expected = dialog.step(plain[row])
                self.returns[row] += expected
                over, cut = dialog.over, self.most is not None and dialog.turn >= self.most
            close(float(reward[row]), expected, f"{where}: reward of dialog {row}")
            flags = (bool(terminated[row]), bool(truncated[row]))
            expect(flags == (over, cut), "wrong", f"{where}: dialog {row} gave {flags}, must be {(over, cut)}")
            ended[row] = over or cut
        kinds = (torch.float32, torch.bool, torch.bool) if self.tensors else (np.float64, np.bool_, np.bool_)
        found_kinds = tuple(part.dtype for part in (reward, terminated, truncated))
        expect(found_kinds == kinds, "wrong", f"{where}: types {found_kinds}")
        if self.statistics:
            self.check_statistics(info, ended, where)
        self.ended = ended
        if self.mode == "SameStep" and ended.any():
            finals = self.check_final(info, ended, where)
            for row in ended.nonzero()[0].tolist():
                self.begin(row)
        elif not self.tensors or not ended.any():
            expect("final_obs" not in info or self.tensors, "wrong", f"{where}: final_obs in {self.mode}")
        self.check(observation, where)
        self.check_info({k: v for k, v in info.items() if k not in finals}, np.ones(self.dialogs, bool), where)

    def check_statistics(self, info: dict[str, Any], ended: NDArray[np.bool_], where: str) -> None:
        """Compares returns and lengths of the dialogs that ended."""
        expect(info["_episode"].tolist() == ended.tolist(), "wrong", f"{where}: _episode {info['_episode']}")
        for row, dialog in enumerate(self.literal):
            close(float(info["episode"]["r"][row]), self.returns[row] * ended[row], f"{where}: return of dialog {row}")
            length = int(info["episode"]["l"][row])
            expect(length == dialog.turn * ended[row], "wrong", f"{where}: length {length} of dialog {row}")

    def check_final(self, info: dict[str, Any], ended: NDArray[np.bool_], where: str) -> dict[str, Any]:
        """Compares what stands in the info of the dialogs that ended; gives those parts of it."""
        marks = np.asarray(info["_final_obs"])
        expect(marks.tolist() == ended.tolist(), "wrong", f"{where}: _final_obs {marks}")
        for row in ended.nonzero()[0].tolist():
            last = info["final_obs"]
            own = {name: part[row] for name, part in last.items()} if self.tensors else last[row]
            self.check_one(own, row, f"{where}: final observation of dialog {row}")
        self.check_info(info["final_info"], ended, f"{where}: final info")
        return {name: value for name, value in info.items() if name.lstrip("_").startswith("final_")}

    def check(self, observation: dict[str, Any], where: str) -> None:
        """Compares the observations of all dialogs."""
        if not self.tensors:
            held = self.env.observation_space.contains(observation)
            expect(held, "wrong", f"{where}: outside the observation space")
        for row in range(self.dialogs):
            self.check_one({name: part[row] for name, part in observation.items()}, row, f"{where}: dialog {row}")

    def check_one(self, observation: dict[str, Any], row: int, where: str) -> None:
        """Compares the observation of one dialog."""
        if self.history:
            check_history(self.setup, observation, self.literal[row], self.flat, where)
        else:
            self.setup.check(observation, self.literal[row], where)

    def check_info(self, info: dict[str, Any], holds: NDArray[np.bool_], where: str) -> None:
        """Compares the info of the dialogs for which it holds."""
        expected = {"candidate"} | ({"target", "rank"} if self.setup.reveal else set())
        expected |= set() if self.tensors else {"sentence", "id"}
        names = {name for name in info if not name.startswith("_")} - {"episode"}
        expect(names == expected, "wrong", f"{where}: info has {sorted(names)}")
        for name in names if not self.tensors else ():
            marks = info[f"_{name}"].tolist()
            expect(marks == holds.tolist(), "wrong", f"{where}: _{name} is {marks}")
        for row in holds.nonzero()[0].tolist():
            own = {name: info[name][row] for name in names}
            own = {name: value.item() if hasattr(value, "item") else value for name, value in own.items()}
            if self.tensors:
                dialog = self.literal[row]
                facts = {"candidate": dialog.shown[-1], "target": dialog.target, "rank": dialog.rank}
                facts = {name: facts[name] for name in names}
                expect(own == facts, "wrong", f"{where}: info of dialog {row} is {own}, must be {facts}")
            else:
                self.setup.check_info(own, self.literal[row], f"{where}: dialog {row}")

    def refuse(self, answer: Answer, what: str, names: list[str]) -> None:
        """Ends the case unless a call was refused clearly."""
        if answer.error is None:
            fail("wrong", f"{what} was taken")
        require_clear(answer.error, names, what)


def run(case: Case) -> Outcome:
    """A session."""
    session = Session(case)
    for _ in range(CALLS):
        session.call()
    return Outcome(count=session.calls)


PART = Part(
    name="vector",
    tries="calls of the vector environment in all autoreset modes, with arrays and tensors, against literal dialogs",
    run=run,
    cases=200,
    small=8,
)
