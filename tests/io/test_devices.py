"""Where tensors live: one device, nothing to and fro inside a turn, half precision, and clear refusals."""

import copy
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dialog_env import agents
from dialog_env.agents import TrainingData
from dialog_env.catalog import Catalog, load_catalog
from dialog_env.evaluate import protocol
from dialog_env.io import device
from dialog_env.simulators import make_simulator
from dialog_env.simulators.captioner import PrecomputedCaptioner
from dialog_env.world.dialog import Dialog
from dialog_env.world.ranking import EmbeddedGallery, QueryRanking, ScoreRanking
from tests.simulators.test_captioners_precomputed import ALL, Case
from tests.toys import ToyUser

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device here")
NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
FLAGS_A_TURN = 3
"""Are the actions valid, is every dialog to be asked, has any ended."""


@pytest.fixture
def gallery(make_tiny):
    return Catalog(make_tiny(size=48)).split("train")


class Reads(TorchDispatchMode):
    """Counts single numbers that the host waits for, and tensors made from host data or sent elsewhere."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        moved = name == "_to_copy" and (kwargs or {}).get("device") is not None
        if moved or name in ("_local_scalar_dense", "nonzero", "lift_fresh", "bincount"):
            self.counts[name] += 1
        return function(*args, **(kwargs or {}))


@contextmanager
def nothing_leaves_the_device(monkeypatch):
    def refuse(self, *args, **kwargs):
        raise AssertionError("a whole tensor was read by the host")

    with monkeypatch.context() as patch, Reads() as reads:
        for name in ("cpu", "numpy", "tolist", "__array__"):
            patch.setattr(Tensor, name, refuse)
        yield reads


@pytest.mark.parametrize("action", ["candidate", "query", "score"])
@pytest.mark.parametrize("user", [ToyUser, lambda gallery: make_simulator("describer", gallery)])
def test_inside_a_turn_the_host_reads_three_flags_and_nothing_else(gallery, monkeypatch, action, user):
    env = gym.make_vec(
        "DialogRetrieval-v0",
        6,
        catalog=gallery,
        simulator=user(gallery),
        action=action,
        output="torch",
        reveal_target=True,
        reward="change",
    )
    env.reset(seed=0)
    actions = torch.from_numpy(env.action_space.sample())
    env.step(actions)
    with nothing_leaves_the_device(monkeypatch) as reads:
        for _ in range(3):
            env.step(actions)
    allowed = FLAGS_A_TURN + (action == "candidate")
    assert set(reads.counts) == {"_local_scalar_dense"}
    assert reads.counts["_local_scalar_dense"] <= 3 * allowed


def test_a_captioner_with_all_images_kept_looks_at_none_of_them_on_the_host(monkeypatch):
    case = Case("show_attend_tell")
    captioner = case.precomputed()
    captioner.precompute()
    with monkeypatch.context() as patch:
        for name in ("cpu", "numpy", "tolist", "__array__"):
            patch.setattr(Tensor, name, lambda self: pytest.fail("a whole tensor was read by the host"))
        patch.setattr(captioner, "_decide", lambda targets, candidates: 0)
        captioner.feedback(case.targets, case.candidates)


@NO_GPU
def test_a_device_that_is_not_there_is_refused_in_one_sentence(gallery):
    makers = (
        lambda device: Dialog(gallery, ToyUser(gallery), device=device),
        lambda device: gym.make("DialogRetrieval-v0", catalog=gallery, device=device),
        lambda device: gym.make_vec("DialogRetrieval-v0", 2, catalog=gallery, device=device),
        lambda device: make_simulator("describer", gallery, device=device),
        lambda device: agents.create("random", device=device),
        lambda device: Case("fc").precomputed(device=device),
    )
    for make in makers:
        with pytest.raises(
            ValueError, match=r"device='cuda' is not there, PyTorch sees no CUDA device; give device='cpu'"
        ):
            make("cuda")
        with pytest.raises(ValueError, match=r"device='abacus' is not known; give 'auto', 'cpu', 'cuda'"):
            make("abacus")


def test_tensors_of_another_device_are_refused(gallery):
    world = Dialog(gallery, ToyUser(gallery))
    here, elsewhere = torch.tensor([1, 2]), torch.tensor([3, 4], device="meta")
    with pytest.raises(ValueError, match="first candidates are on meta and the dialogs on cpu"):
        world.reset(here, elsewhere)
    world.reset(here, torch.tensor([3, 4]))
    with pytest.raises(ValueError, match="rankings are on meta"):
        world.step(ScoreRanking(torch.empty(2, len(gallery), device="meta")))
    with pytest.raises(ValueError, match="candidates are on meta"):
        world.show(elsewhere)
    with pytest.raises(ValueError, match=r"queries .* on meta do not fit embeddings .* on cpu"):
        QueryRanking(torch.empty(2, 8, device="meta"), EmbeddedGallery(world.features))
    user = ToyUser(gallery)
    user.device = "meta"
    with pytest.raises(ValueError, match="build both with the same device"):
        Dialog(gallery, user)


def test_too_little_memory_says_how_much_is_needed_and_what_to_lower(monkeypatch):
    case = Case("show_attend_tell", channels=64)
    whole = case.precomputed()
    needed = whole.memory_bytes
    monkeypatch.setattr(device, "free_memory", lambda device: needed - 1)
    with pytest.raises(
        ValueError, match=r"keeps of 30 images need 0.00 GiB on cpu and 0.00 GiB are free; lower memory_limit"
    ):
        case.precomputed(memory_limit=needed)
    assert case.precomputed(half=True).image_bytes * 2 == whole.image_bytes


@pytest.mark.parametrize(
    ("limit", "current", "stat", "left"),
    [("max", "9", "", None), ("1000", "400", "inactive_file 100\n", 700), ("1000", "1200", "", 0), ("", "", "", None)],
)
def test_a_container_has_no_more_memory_than_it_may_take(tmp_path, monkeypatch, limit, current, stat, left):
    for name, content in (("memory.max", limit), ("memory.current", current), ("memory.stat", stat)):
        if content:
            (tmp_path / name).write_text(content + "\n")
    monkeypatch.setattr(device, "CONTROL_GROUP", tmp_path)
    assert device.free_in_container() == left
    if left is not None:
        assert device.free_memory(torch.device("cpu")) in (None, left)


def test_free_memory_of_this_machine_is_known_and_plausible():
    free = device.free_memory(torch.device("cpu"))
    assert free is None or 1 << 20 < free < 1 << 50


@pytest.mark.parametrize("architecture", ["show_tell", "show_attend_tell", "topdown"])
def test_half_precision_answers_hardly_ever_differ_and_depend_on_the_pair_alone(architecture):
    case = Case(architecture)
    reference = case.precomputed().feedback(case.targets, case.candidates)
    half = case.precomputed(half=True)
    assert all(part is None or part.dtype == torch.float16 for role in half._roles for part in role.kept)
    said = half.feedback(case.targets, case.candidates)
    assert (said == reference).all(dim=1).float().mean() > 0.85
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    limit = half.table_bytes + 4 * half.image_bytes
    for other in (half, case.precomputed(half=True, memory_limit=limit)):
        assert torch.equal(other.feedback(case.targets[order], case.candidates[order]), said[order])
    singles = zip(case.targets[:40].split(1), case.candidates[:40].split(1), strict=True)
    assert torch.equal(torch.cat([half.feedback(*pair) for pair in singles]), said[:40])


def test_features_in_half_precision_are_read_as_they_are():
    case = Case("show_attend_tell")
    coarse = PrecomputedCaptioner(case.network, case.pooled.half(), case.regions.half())
    fine = PrecomputedCaptioner(case.network, case.pooled.half().float(), case.regions.half().float())
    pairs = case.targets[:50], case.candidates[:50]
    assert torch.equal(coarse.feedback(*pairs), fine.feedback(*pairs))


def test_products_too_large_for_half_precision_are_refused():
    case = Case("show_attend_tell")
    case.regions = case.regions * 1e6
    with pytest.raises(ValueError, match="keep single precision"):
        case.precomputed(half=True).feedback(case.targets[:1], case.candidates[:1])


@GPU
@pytest.mark.parametrize("action", ["candidate", "query", "score"])
def test_a_graphics_card_gives_what_the_cpu_gives(gallery, action):
    envs = [
        gym.make_vec(
            "DialogRetrieval-v0",
            16,
            catalog=gallery,
            simulator="describer",
            action=action,
            output="torch",
            device=device,
        )
        for device in ("cpu", "cuda")
    ]
    seen = [env.reset(seed=0)[0] for env in envs]
    for _ in range(7):
        for key in seen[0]:
            assert torch.equal(seen[0][key], seen[1][key].cpu())
        actions = torch.from_numpy(envs[0].action_space.sample())
        steps = [env.step(actions.to(env.dialogs.world.device)) for env in envs]
        seen = [step[0] for step in steps]
        assert torch.equal(steps[0][1], steps[1][1].cpu())


@GPU
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("architecture", ALL)
def test_a_captioner_says_the_same_on_a_graphics_card(architecture, half):
    """Step by step while images are new to it, then by recordings; those of a copy are its own."""
    case = Case(architecture)
    here, there = (case.precomputed(half=half, device=device) for device in ("cpu", "cuda"))
    expected = here.feedback(case.targets, case.candidates)
    assert torch.equal(there.feedback(case.targets, case.candidates).cpu(), expected)
    there.precompute()
    for captioner in (there, copy.deepcopy(there)):
        for size in (300, 1, 2, 17, 64, 300):
            pairs = case.targets[-size:], case.candidates[-size:]
            with torch.inference_mode(size == 2):
                assert torch.equal(captioner.feedback(*pairs).cpu(), expected[-size:])
        assert sorted(captioner._recorded.recordings) == [16, 32, 64, 512]
        many = (part.repeat(4) for part in (case.targets, case.candidates))  # 1,024 of them step by step
        assert torch.equal(captioner.feedback(*many).cpu(), expected.repeat(4, 1))


@GPU
def test_what_cannot_be_recorded_is_said_step_by_step(monkeypatch):
    case = Case("show_attend_tell")
    expected = case.precomputed().feedback(case.targets, case.candidates)
    captioner = case.precomputed(device="cuda")
    captioner.precompute()

    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("none is left\nmore about it")

    monkeypatch.setattr(torch.cuda, "graph", full)
    with pytest.warns(UserWarning, match="decodes step by step, as it cannot be recorded: none is left$"):
        assert torch.equal(captioner.feedback(case.targets, case.candidates).cpu(), expected)
    monkeypatch.undo()
    assert torch.equal(captioner.feedback(case.targets, case.candidates).cpu(), expected)
    assert not captioner._recorded.recordings


@GPU
def test_threads_share_a_captioner_on_a_graphics_card():
    case = Case("show_attend_tell")
    expected = case.precomputed().feedback(case.targets, case.candidates)
    captioner = case.precomputed(device="cuda")
    captioner.precompute()

    def on_a_stream_of_its_own(targets, candidates):
        with torch.cuda.stream(torch.cuda.Stream()):
            return captioner.feedback(targets, candidates).cpu()

    with ThreadPoolExecutor(4) as pool:
        for say in (captioner.feedback, on_a_stream_of_its_own):
            parts = pool.map(say, case.targets.split(13), case.candidates.split(13))
            assert torch.equal(torch.cat([part.cpu() for part in parts]), expected)


@GPU
@pytest.mark.parametrize(
    ("name", "configuration"),
    [("greedy", "released"), ("ceiling", "released"), ("ceiling", "asks"), ("belief", "shipped")],
)
def test_an_agent_holds_the_same_dialogs_on_a_graphics_card(name, configuration):
    gallery = load_catalog("synthetic").split("test").take(np.arange(300))
    records = []
    for place in ("cpu", "cuda"):
        user = make_simulator("captioner", gallery, device=place)
        agent = agents.create(
            name, gallery=gallery, vocabulary=user.vocabulary, device=place, configuration=configuration
        )
        records.append(protocol.run(agent, gallery, user, seed=0, device=place))
    here, there = records
    same = (here.shown == there.shown).all(axis=1)
    assert same.mean() > 0.97  # what is level but for rounding may come in another order
    assert np.array_equal(here.closer[same][:, :2], there.closer[same][:, :2])


@GPU
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("supervised", {"epochs": 1}),
        ("continued", {"epochs": 1, "pretraining": {"epochs": 1}}),
        ("policy_improvement", {"epochs": 1, "pretraining": {"epochs": 1}}),
        ("scst", {"epochs": 1, "pretraining": {"epochs": 1}}),
        ("belief", {"epochs": 1, "regions": 6, "evidence": 32}),
        ("sb3-ppo", {"total_timesteps": 256, "n_envs": 4}),
        ("sb3-dqn", {"total_timesteps": 256, "n_envs": 4}),
    ],
)
def test_what_learned_on_a_graphics_card_acts_on_the_cpu(name, settings, tmp_path, gallery):
    user, there = (make_simulator("describer", gallery, device=place) for place in ("cpu", "cuda"))
    agent = agents.create(name, gallery=gallery, vocabulary=user.vocabulary, device="cuda", **settings)
    agent.train(TrainingData(gallery, there, gallery, there), tmp_path / "training", progress=False)
    agent.save(tmp_path / "agent")
    taught = protocol.run(agent, gallery, there, seed=0, device="cuda")
    loaded = protocol.run(agents.load(tmp_path / "agent"), gallery, user, seed=0)
    assert (taught.shown == loaded.shown).all(axis=1).mean() > 0.9


@pytest.mark.parametrize("name", [10**30, 2.5, [], None, True, "", "two\nlines"], ids=str)
def test_what_is_no_name_of_a_device_is_refused_in_one_line(name):
    with pytest.raises(ValueError, match=r"^device=[^\n]* is not known; give 'auto', 'cpu', 'cuda' or"):
        device.find_device(name)
