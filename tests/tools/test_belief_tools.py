"""What is made of the belief beside the package: the curve of asking, the shipped file, PPO on top, its cost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from dialog_env import agents
from dialog_env.agents import SHIPPED
from dialog_env.agents.belief.agent import new_asking
from dialog_env.benchmarks import results
from dialog_env.catalog import load_catalog
from dialog_env.envs.wrappers import BeliefCandidates
from dialog_env.evaluate import protocol
from dialog_env.io import checkpoint
from dialog_env.simulators import make_simulator
from tests.benchmarks.test_benchmarks import made_up_result, shown_to
from tools.asking_curve import Curve, pairs_of
from tools.belief_ppo import Chooses
from tools.ship_belief import Ship
from tools.throughput import belief as cost


def test_who_asks_is_paired_with_the_same_who_does_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shares = {
        "belief:initial=a,epochs=0": 0.3,
        "belief:initial=a,epochs=0,ask=expected": 0.5,
        "belief@shipped": 0.6,
        "belief@shipped:ask=expected": 0.9,
        "belief@shipped:ask=learned": 0.6,
        "belief:initial=b,ask=expected": 0.9,
        "ceiling": 0.8,
        "ceiling@asks": 1.0,
    }
    made = [shown_to(made_up_result(name), share) for name, share in shares.items()]
    pairs = {(pair.name, pair.way): pair for pair in pairs_of(made)}
    assert set(pairs) == {
        ("belief:initial=a,epochs=0", "expected"),
        ("belief@shipped", "expected"),
        ("belief@shipped", "learned"),
        ("ceiling", "exact belief, asks"),
    }
    assert [gain.value for gain in pairs["belief@shipped", "learned"].gains] == [0] * 5
    asks, likely = (made[place].values("found")[:, 2].mean() for place in (1, 0))
    assert pairs["belief:initial=a,epochs=0", "expected"].gains[2].value == pytest.approx(asks - likely)
    for each in made:
        results.write(each, tmp_path / "runs" / each.run.name)
    Curve(tmp_path / "runs", tmp_path / "curve.png")()
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].startswith(
        "| belief | found by turn 2 without, % | found by turn 3 without, % | asks | gain, turn 1"
    )
    found = [float(row.split("|")[3]) for row in rows[2:6]]
    assert found == sorted(found)
    assert (tmp_path / "curve.png").stat().st_size > 5000
    with pytest.raises(ValueError, match="holds no agent with ask="):
        Curve(tmp_path, tmp_path / "none.png")()


def test_the_shipped_belief_takes_up_how_to_ask_and_nothing_else(tmp_path: Path) -> None:
    gallery = load_catalog("synthetic:60:1").split("all")
    shutil.copytree(SHIPPED["belief"], tmp_path / "shipped")
    words = agents.load("belief").vocabulary
    made: dict[str, Any] = {"gallery": gallery, "vocabulary": words, "initial": "shipped", "epochs": 0}
    agent: Any = agents.create("belief", **made)
    agent.asking = None
    agent.save(tmp_path / "silent")
    with pytest.raises(ValueError, match="has not learned to ask; train belief:ask=learned,"):
        Ship(tmp_path / "silent", tmp_path / "shipped")()
    agent.asking, agent.temperatures = new_asking(torch.Generator().manual_seed(3)), (1.25, 1.5)
    agent.save(tmp_path / "learned")
    Ship(tmp_path / "learned", tmp_path / "shipped")()
    before, after = (
        checkpoint.read(folder / agents.AGENT_FILE) for folder in (SHIPPED["belief"], tmp_path / "shipped")
    )
    assert {**before.facts, "temperatures": [1.25, 1.5]} == after.facts
    for name, tensor in before.tensors.items():
        assert name.startswith("asking.") or torch.equal(tensor, after.tensors[name])
    assert checkpoint.fingerprint(after.below("asking")) == checkpoint.fingerprint(agent.asking.state_dict())
    next(agent.network.parameters()).data.add_(1)
    agent.save(tmp_path / "other")
    with pytest.raises(ValueError, match="has other weights than"):
        Ship(tmp_path / "other", tmp_path / "shipped")()


def test_a_policy_of_stable_baselines_chooses_in_the_protocol_as_in_the_environment() -> None:
    gallery = load_catalog("synthetic:60:1").split("train")
    user = make_simulator("captioner", gallery)
    env: Any = gymnasium.make("dialog_env:DialogRetrieval-v0", catalog=gallery, simulator=user)
    belief: Any = agents.load("belief")
    wrapped: Any = BeliefCandidates(env, belief, 6)
    model = PPO("MultiInputPolicy", wrapped, n_steps=16, batch_size=16, n_epochs=1, seed=0, device="cpu")
    pair = torch.tensor([17]), torch.tensor([4])
    record = protocol.run(Chooses(belief, model, 6), gallery, user, seed=0, pairs=pair)
    observation, info = wrapped.reset(options={"target": 17, "candidate": 4})
    images = [info["candidate"]]
    for _ in range(5):
        action, _ = model.predict(observation, deterministic=True)
        observation, _, _, _, info = wrapped.step(int(action))
        images.append(info["candidate"])
    assert record.shown.tolist() == [images]
    assert np.unique(images).size == 6


def test_the_cost_of_the_belief_is_told_beside_that_of_the_supervised_agent(capsys: pytest.CaptureFixture[str]) -> None:
    cost.measure("synthetic:60:1", dialogs=4, repeats=1, threads=torch.get_num_threads())
    told = capsys.readouterr().out
    assert "a turn of the belief takes" in told
    assert told.count("turns/s") == 2
