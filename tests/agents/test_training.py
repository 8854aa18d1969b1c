"""Training: it learns, it can be interrupted at any moment, and it refuses what does not fit."""

from __future__ import annotations

import errno
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dialog_env import agents
from dialog_env.agents.__main__ import main
from dialog_env.agents.base import AGENT_FILE, TrainingData
from dialog_env.agents.guo2018.network_agent import NetworkAgent
from dialog_env.agents.training.trainer import Learner, Training, UpdateMetrics
from dialog_env.catalog import Catalog
from dialog_env.evaluate import metrics, protocol
from dialog_env.io import checkpoint
from dialog_env.training.epochs import CHECKPOINT_FILE
from tests.conftest import tiny_contents
from tests.damage import refusal
from tests.toys import ToyUser


def training_data(size: int = 60, seed: int = 0) -> TrainingData:
    gallery = Catalog(tiny_contents(size=size, seed=seed))
    validation = gallery.split("validation")
    return TrainingData(gallery, ToyUser(gallery), validation, ToyUser(validation))


def make(name: str, learned_from: TrainingData, **settings: Any) -> NetworkAgent:
    agent = agents.create(name, gallery=learned_from.gallery, vocabulary=learned_from.simulator.vocabulary, **settings)
    assert isinstance(agent, NetworkAgent)
    return agent


def weights(folder: Path) -> str:
    return checkpoint.fingerprint(checkpoint.read(folder / CHECKPOINT_FILE).below("network"))


def test_supervised_learns_what_the_user_says(tmp_path: Path) -> None:
    data = training_data(size=120)
    agent = make("supervised", data, epochs=8, batch=24)
    summary = agent.train(data, tmp_path, progress=False)
    assert summary["history"][-1]["percentile"] > 80
    assert summary["history"][-1]["triplet"] < summary["history"][0]["triplet"]
    assert summary["best_validation_percentile"] > 70


def test_every_target_counts_in_every_epoch_also_in_a_last_batch_of_one(tmp_path: Path) -> None:
    data = training_data(size=17)
    agent = make("supervised", data, epochs=1, batch=8)
    learner, seen = agent.learner(data), []
    update = learner.update

    def listening(targets: torch.Tensor, generator: torch.Generator) -> UpdateMetrics:
        seen.append(targets)
        return update(targets, generator)

    learner.update = listening  # type: ignore[method-assign]
    agent.learner = lambda _: learner  # type: ignore[method-assign]
    assert agent.train(data, tmp_path, progress=False)["updates"] == 3
    assert [len(targets) for targets in seen] == [8, 8, 1]
    assert sorted(torch.cat(seen).tolist()) == list(range(17))


def test_a_training_taken_up_again_ends_in_the_same_numbers(tmp_path: Path) -> None:
    data = training_data()
    make("supervised", data, epochs=4, batch=16).train(data, tmp_path / "whole", progress=False)
    for epochs in (1, 3, 4):
        make("supervised", data, epochs=epochs, batch=16).train(data, tmp_path / "parts", progress=False)
    assert weights(tmp_path / "whole") == weights(tmp_path / "parts")
    best = [checkpoint.read(tmp_path / part / AGENT_FILE) for part in ("whole", "parts")]
    assert checkpoint.fingerprint(best[0].tensors) == checkpoint.fingerprint(best[1].tensors)


def test_a_finished_training_only_gives_its_best_weights_back(tmp_path: Path) -> None:
    data = training_data()
    first = make("supervised", data, epochs=2, batch=16)
    summary = first.train(data, tmp_path, progress=False)
    second = make("supervised", data, epochs=2, batch=16)
    again = second.train(data, tmp_path, progress=False)
    assert again["history"] == summary["history"]
    assert checkpoint.fingerprint(first.network.state_dict()) == checkpoint.fingerprint(second.network.state_dict())


def test_the_best_weights_on_validation_are_kept_apart_from_the_last(tmp_path: Path) -> None:
    data = training_data()
    agent = make("supervised", data, epochs=6, batch=16, learning_rate=0.05)
    summary = agent.train(data, tmp_path, progress=False)
    validation = [row["validation"] for row in summary["history"]]
    best = agents.load(tmp_path)
    assert isinstance(best, NetworkAgent)
    assert best.trained["epoch"] == validation.index(max(validation)) + 1
    assert best.trained["validation"] == max(validation) == summary["best_validation_percentile"]
    last = agents.load(tmp_path, last=True)
    assert isinstance(last, NetworkAgent)
    assert checkpoint.fingerprint(last.network.state_dict()) == weights(tmp_path)


@pytest.mark.parametrize("name", ["supervised", "continued", "scst", "policy_improvement"])
def test_no_training_ends_worse_on_validation_than_it_began(name: str, tmp_path: Path) -> None:
    data = training_data()
    trained = make("supervised", data, epochs=4, batch=16)
    trained.train(data, tmp_path / "first", progress=False)
    spoiled = {"initial": str(tmp_path / "first"), "learning_rate": 0.5, "epochs": 1, "batch": 16}
    agent = make(name, data, **spoiled)
    summary = agent.train(data, tmp_path / "second", progress=False)
    assert summary["history"][0]["validation"] < summary["best_validation_percentile"]
    assert agent.trained["epoch"] == 0
    best = agents.load(tmp_path / "second")
    assert isinstance(best, NetworkAgent)
    weights_of = [checkpoint.fingerprint(each.network.state_dict()) for each in (trained, agent, best)]
    assert weights_of[0] == weights_of[1] == weights_of[2]
    record = protocol.run(best, data.validation_gallery, data.validation_simulator, seed=0)
    assert metrics.percentile(record).mean() == pytest.approx(summary["best_validation_percentile"])
    with pytest.raises(ValueError, match=r"learning_rate 0\.5 and this one has 0\.4"):
        make(name, data, **{**spoiled, "learning_rate": 0.4}).train(data, tmp_path / "second", progress=False)


def test_judging_the_start_changes_nothing_of_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = training_data()
    make("supervised", data, epochs=2, batch=16).train(data, tmp_path / "judged", progress=False)
    judge = Training.judge
    monkeypatch.setattr(
        Training,
        "judge",
        lambda self: judge(self) if self.done.best is not None else {"validation": 0.0, "validation_last": 0.0},
    )
    make("supervised", data, epochs=2, batch=16).train(data, tmp_path / "unjudged", progress=False)
    assert weights(tmp_path / "judged") == weights(tmp_path / "unjudged")


def test_checkpoints_of_before_go_on(tmp_path: Path) -> None:
    """They lack the settings that came since, and those of epoch 0 the judgement of the start."""
    data = training_data()
    make("supervised", data, epochs=3, batch=16).train(data, tmp_path / "whole", progress=False)
    for epochs in (0, 1):
        folder = tmp_path / str(epochs)
        make("supervised", data, epochs=epochs, batch=16).train(data, folder, progress=False)
        for name in (CHECKPOINT_FILE, AGENT_FILE):
            saved = checkpoint.read(folder / name)
            facts = saved.facts
            parts = [facts["settings"], facts["trained"]["settings"]]
            if name == CHECKPOINT_FILE:
                parts.append(facts["identity"]["settings"])
            for part in parts:
                del part["keep"], part["targets"]
            if epochs == 0:
                facts["trained"] = {}
                if name == CHECKPOINT_FILE:
                    facts["progress"]["best"] = None
            checkpoint.write(folder / name, saved.tensors, facts)
        assert isinstance(agents.load(folder), NetworkAgent)
        make("supervised", data, epochs=3, batch=16).train(data, folder, progress=False)
        assert weights(folder) == weights(tmp_path / "whole")
        both = [checkpoint.read(part / AGENT_FILE) for part in (folder, tmp_path / "whole")]
        assert checkpoint.fingerprint(both[0].tensors) == checkpoint.fingerprint(both[1].tensors)


def test_an_agent_of_another_training_is_refused_when_it_is_read_back(tmp_path: Path) -> None:
    data = training_data()
    for seed in (0, 1):
        make("supervised", data, epochs=1, seed=seed).train(data, tmp_path / str(seed), progress=False)
    (tmp_path / "1" / AGENT_FILE).replace(tmp_path / "0" / AGENT_FILE)
    with pytest.raises(ValueError, match=r"agent\.safetensors is of a training with seed 1 and this one has 0"):
        make("supervised", data, epochs=1).train(data, tmp_path / "0", progress=False)


def test_targets_may_be_drawn_as_the_released_code_draws_them(tmp_path: Path) -> None:
    data = training_data(size=17)
    agent = make("supervised", data, epochs=3, batch=8, targets="drawn")
    learner, targets, first = agent.learner(data), [], []
    learn = learner.learn

    def listening(drawn: torch.Tensor, shown: torch.Tensor, *rest: torch.Tensor) -> UpdateMetrics:
        targets.append(drawn)
        first.append(shown)
        return learn(drawn, shown, *rest)

    learner.learn = listening
    agent.learner = lambda _: learner  # type: ignore[method-assign]
    agent.train(data, tmp_path, progress=False)
    assert [len(each) for each in targets] == [8] * 9
    assert len(torch.cat(targets[:3]).unique()) < 17
    assert (torch.cat(targets) == torch.cat(first)).any()


def test_the_last_weights_are_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    data = training_data()
    make("supervised", data, epochs=4, batch=16).train(data, tmp_path / "first", progress=False)
    kept = []
    for keep in ("best", "last"):
        agent = make("supervised", data, initial=str(tmp_path / "first"), epochs=2, learning_rate=0.5, keep=keep)
        agent.train(data, tmp_path / keep, progress=False)
        kept.append((agent.trained["epoch"], checkpoint.fingerprint(agent.network.state_dict())))
    assert [epoch for epoch, _ in kept] == [0, 2]
    assert kept[1][1] == weights(tmp_path / "last") == weights(tmp_path / "best") != kept[0][1]


def test_the_literal_configuration_undoes_every_switchable_difference_to_the_released_code() -> None:
    data = training_data()
    as_released = {"statistics": 0, "targets": "drawn", "keep": "last"}
    for name in ("supervised", "continued", "policy_improvement"):
        settings = asdict(make(name, data, configuration="literal").settings)
        assert {**settings, **as_released} == settings
        assert name == "supervised" or {**settings["pretraining"], **as_released} == settings["pretraining"]
        assert settings.get("ties", "strict") == "strict"


def test_other_data_settings_or_agents_are_refused_in_the_same_folder(tmp_path: Path) -> None:
    data = training_data()
    make("supervised", data, epochs=1).train(data, tmp_path, progress=False)
    with pytest.raises(ValueError, match="a training with seed 0 and this one has 1"):
        make("supervised", data, epochs=1, seed=1).train(data, tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"margin 0.1 and this one has 0.2"):
        make("supervised", data, epochs=1, margin=0.2).train(data, tmp_path, progress=False)
    other = training_data(seed=5)
    with pytest.raises(ValueError, match="a training with catalogue"):
        make("supervised", other, epochs=1).train(other, tmp_path, progress=False)
    with pytest.raises(ValueError, match="is from epoch 1 and 0 were asked for"):
        make("supervised", data, epochs=0).train(data, tmp_path, progress=False)


def test_checkpoints_whose_parts_are_something_else_are_refused(tmp_path: Path) -> None:
    data = training_data()
    make("supervised", data, epochs=1, batch=32).train(data, tmp_path, progress=False)
    path = tmp_path / CHECKPOINT_FILE
    saved = checkpoint.read(path)
    progress = saved.facts["progress"]
    wrong: list[dict[str, Any]] = [
        {"progress": None},
        {"progress": {**progress, "epoch": "1"}},
        {"progress": {**progress, "best": "high"}},
        {"progress": {**progress, "history": [{"validation": None}]}},
        {"progress": {}},
        {"groups": []},
        {"groups": [{"params": 3}]},
        {"identity": []},
        {"identity": {**saved.facts["identity"], "settings": None}},
        {"trained": None},
    ]
    for changes in wrong:
        checkpoint.write(path, saved.tensors, {**saved.facts, **changes})
        sentence = refusal(make("supervised", data, epochs=2, batch=32).train, data, tmp_path)
        assert sentence.startswith(f"{path} is "), changes
        assert "\n" not in sentence
    other: list[dict[str, torch.Tensor]] = [
        {"generator": torch.zeros(3)},
        {"optimiser.first.exp_avg": torch.zeros(3)},
        {"network.more": torch.zeros(3)},
        {"network.image.weight": torch.zeros(3)},
    ]
    for tensors in other:
        checkpoint.write(path, {**saved.tensors, **tensors}, saved.facts)
        sentence = refusal(make("supervised", data, epochs=2, batch=32).train, data, tmp_path)
        assert sentence.startswith(f"{path} is "), tensors.keys()


def test_training_goes_on_from_the_weights_of_another(tmp_path: Path) -> None:
    data = training_data()
    make("supervised", data, epochs=2).train(data, tmp_path / "first", progress=False)
    continued = make("supervised", data, epochs=0, initial=str(tmp_path / "first"))
    continued.train(data, tmp_path / "second", progress=False)
    best = checkpoint.read(tmp_path / "first" / AGENT_FILE).below("network")
    assert checkpoint.fingerprint(continued.network.state_dict()) == checkpoint.fingerprint(best)
    with pytest.raises(ValueError, match="fusion 'sum' and this agent has 'concatenation'"):
        make("supervised", data, initial=str(tmp_path / "first"), fusion="concatenation").train(
            data, tmp_path / "third", progress=False
        )


def test_a_full_disk_leaves_the_checkpoint_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = training_data()
    make("supervised", data, epochs=1, batch=16).train(data, tmp_path, progress=False)
    before = weights(tmp_path)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="what it held before is kept"):
            make("supervised", data, epochs=2, batch=16).train(data, tmp_path, progress=False)
    assert weights(tmp_path) == before
    assert not list(tmp_path.glob(".*.part"))
    make("supervised", data, epochs=2, batch=16).train(data, tmp_path, progress=False)
    make("supervised", data, epochs=2, batch=16).train(data, tmp_path / "whole", progress=False)
    assert weights(tmp_path) == weights(tmp_path / "whole")


def test_weights_that_become_infinite_are_not_saved(tmp_path: Path) -> None:
    data = training_data()
    agent = make("supervised", data, epochs=1)
    learner = agent.learner(data)
    update = learner.update

    def spoiling(targets: torch.Tensor, generator: torch.Generator) -> UpdateMetrics:
        report = update(targets, generator)
        agent.network.head.weight.data[0, 0] = torch.inf
        return report

    learner.update = spoiling  # type: ignore[method-assign]
    agent.learner = lambda _: learner  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=r"'network.head.weight' became NaN or infinite in epoch 1"):
        agent.train(data, tmp_path, progress=False)
    assert checkpoint.read(tmp_path / CHECKPOINT_FILE).facts["progress"]["epoch"] == 0


def test_a_training_that_diverges_within_an_epoch_says_so_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    data = training_data()
    with pytest.raises(ValueError, match=f"became NaN or infinite in epoch 1; the checkpoint in {tmp_path} is from"):
        make("supervised", data, epochs=2, batch=8, learning_rate=1e30).train(data, tmp_path, progress=False)
    assert checkpoint.read(tmp_path / CHECKPOINT_FILE).facts["progress"]["epoch"] == 0


def test_validation_takes_the_statistics_of_batchnorm_from_many_dialogs(tmp_path: Path) -> None:
    data = training_data()
    running = make("supervised", data, epochs=1, batch=16, statistics=0)
    taken = make("supervised", data, epochs=1, batch=16, statistics=4)
    for agent in (running, taken):
        agent.train(data, tmp_path / str(agent.settings.statistics), progress=False)
    batches = [agent.network.text.normalisation.num_batches_tracked.item() for agent in (running, taken)]
    assert batches == [4 * 5, 4 * 5]
    means = [agent.network.text.normalisation.running_mean for agent in (running, taken)]
    assert not torch.equal(*means)
    assert torch.equal(running.network.head.weight, taken.network.head.weight)
    assert running.network.text.normalisation.momentum == taken.network.text.normalisation.momentum == 0.1


def test_users_with_other_words_are_refused(tmp_path: Path) -> None:
    data = training_data()
    agent = agents.create("supervised", dimensions=8, vocabulary=type(data.simulator.vocabulary)(("a", "b", "UNK")))
    with pytest.raises(ValueError, match="vocabulary of 3 words"):
        agent.train(data, tmp_path, progress=False)


def test_every_documented_number_is_logged(tmp_path: Path) -> None:
    data = training_data()
    make("supervised", data, epochs=2, batch=16).train(data, tmp_path, progress=False)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    charts = {"percentile", "percentile_last", "updates_per_second", "validation", "validation_last"}
    assert set(events.Tags()["scalars"]) == {"losses/triplet", *(f"charts/{name}" for name in charts)}
    assert [event.step for event in events.Scalars("charts/validation")] == [0, 4, 8]


def test_the_learning_rate_drops_when_it_should_and_stays_low_after_an_interruption(tmp_path: Path) -> None:
    data = training_data()
    rates = []
    for epochs in (1, 2, 3):
        make("supervised", data, epochs=epochs, drop_after=1).train(data, tmp_path, progress=False)
        rates.append(checkpoint.read(tmp_path / CHECKPOINT_FILE).facts["groups"][0]["lr"])
    assert rates == pytest.approx([1e-3, 1e-4, 1e-4])


def test_the_command_line_trains_an_agent_on_a_catalogue_file(tiny_file: Path, tmp_path: Path) -> None:
    common = [
        "--catalog",
        str(tiny_file),
        "--simulator",
        "describer",
        "--batch",
        "8",
        "--statistics",
        "1",
        "--device",
        "cpu",
        "--seed",
        "4",
    ]
    main(["train", "supervised", *common, "--output", str(tmp_path / "first"), "--epochs", "1"])
    assert agents.load(tmp_path / "first").seed == 4
    paper = ["--nearest", "3", "--epochs", "1", "--pretraining.epochs", "1"]
    main(["train", "policy_improvement@paper:turns=3", *common, *paper, "--output", str(tmp_path / "second")])
    second = agents.load(tmp_path / "second")
    assert isinstance(second, NetworkAgent)
    settings = second.settings
    assert (second.name, second.network.fusion_name) == ("policy_improvement", "concatenation")
    assert (settings.nearest, settings.turns) == (3, 3)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["train", "supervised", "--output", "x", "--catalog", "absent.h5"], "no catalogue 'absent.h5'"),
        (["train", "supervised@best", "--output", "x"], "no configuration 'best'"),
        (["train", "random", "--output", "x"], "agent random does not learn; choose one of belief, continued, "),
        (["train", "nobody", "--output", "x"], "no agent 'nobody'; known are"),
    ],
)
def test_the_command_line_says_what_is_wrong_in_a_sentence(words: list[str], complaint: str) -> None:
    with pytest.raises(SystemExit, match=complaint):
        main(words)


def test_a_word_that_is_no_command_gets_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m dialog_env.agents train AGENT")


def test_learners_are_what_the_trainer_expects() -> None:
    data = training_data()
    for name in agents.AGENTS:
        if issubclass(agents.agent_class(name), NetworkAgent):
            assert isinstance(make(name, data).learner(data), Learner)
