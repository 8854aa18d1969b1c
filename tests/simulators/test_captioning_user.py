"""The captioning user answers the same whatever is around a pair, and changes its id with its answers."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dialog_env.catalog import Catalog, load_catalog
from dialog_env.catalog.attributes import AttributeTable
from dialog_env.simulators import make_simulator
from dialog_env.simulators.captioner import Captioner, Sizes, make_captioner, save_captioner
from dialog_env.simulators.captioner.caption_data import image_digests
from dialog_env.simulators.captioner.user import SHIPPED, CaptioningUser
from dialog_env.world.user import UserSimulator
from dialog_env.world.vocabulary import Vocabulary
from tests.conftest import tiny_contents

GOLDEN = Path(__file__).parent / "captioning_golden.json"
WORDS = Vocabulary((*(f"word{number}" for number in range(30)), "UNK"))


def network(architecture: str = "show_attend_tell", seed: int = 0) -> Captioner:
    """A talkative captioner for the tiny catalogue, not trained."""
    sizes = Sizes(len(WORDS), 8, 6, hidden=16, embedding=16, attention=16)
    made = make_captioner(architecture, sizes, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for weight in made.parameters():
            weight *= 4
        made.logit.bias[0] = -6
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_captioner(tmp_path / "captioner.safetensors", network(), WORDS)
    return tmp_path


def all_pairs(images: int) -> tuple[torch.Tensor, torch.Tensor]:
    pairs = torch.cartesian_prod(torch.arange(images), torch.arange(images))
    return pairs[:, 0], pairs[:, 1]


@pytest.fixture
def shipped() -> CaptioningUser:
    return CaptioningUser(load_catalog("synthetic").split("test"))


def test_it_is_found_by_name_with_a_folder_or_a_file(tiny_catalog: Catalog, folder: Path) -> None:
    users = [make_simulator(f"captioner:{path}", tiny_catalog) for path in (folder, folder / "captioner.safetensors")]
    assert all(isinstance(user, UserSimulator) for user in users)
    assert users[0].id == users[1].id
    assert users[0].id.startswith("captioner-show_attend_tell:")
    assert users[0].vocabulary == WORDS
    targets, candidates = all_pairs(len(tiny_catalog))
    tokens = users[0].feedback(targets, candidates, torch.full_like(targets, -1))
    assert tokens.shape == (len(targets), 16)
    assert tokens.dtype == torch.int64
    assert len(tokens.unique(dim=0)) > 50
    said = users[0].sentences(targets, candidates)  # type: ignore[attr-defined]
    assert said == WORDS.decode(tokens)


def test_its_answer_depends_on_the_pair_alone(tiny_catalog: Catalog, folder: Path) -> None:
    user = CaptioningUser(tiny_catalog, argument=folder)
    targets, candidates = all_pairs(len(tiny_catalog))
    whole = user.feedback(targets, candidates, targets)
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    assert torch.equal(user.feedback(targets[order], candidates[order], candidates[order]), whole[order])
    singles = [user.feedback(targets[row : row + 1], candidates[row : row + 1], targets[:1]) for row in range(40)]
    assert torch.equal(torch.cat(singles), whole[:40])


def test_a_split_gets_the_answers_of_the_whole_catalogue(tiny_catalog: Catalog, folder: Path) -> None:
    test = tiny_catalog.split("test")
    positions = torch.tensor([list(tiny_catalog.ids).index(name) for name in test.ids])
    targets, candidates = all_pairs(len(test))
    inside = CaptioningUser(test, argument=folder).sentences(targets, candidates)
    whole = CaptioningUser(tiny_catalog, argument=folder).sentences(positions[targets], positions[candidates])
    assert inside == whole


def test_it_never_reads_an_attribute(folder: Path) -> None:
    contents = tiny_contents()
    table = contents.attributes
    assert table is not None
    blind = replace(contents, attributes=None, fingerprint="")
    swapped = AttributeTable(
        table.graded_names, 1 - table.graded, table.categorical_names, table.values, table.categorical[::-1].copy()
    )
    other = replace(contents, attributes=swapped, fingerprint="")
    targets, candidates = all_pairs(len(contents.ids))
    answers = [
        CaptioningUser(Catalog(each), argument=folder).sentences(targets, candidates)
        for each in (contents, blind, other)
    ]
    assert answers[0] == answers[1] == answers[2]


def test_it_looks_at_the_features(folder: Path) -> None:
    contents = tiny_contents()
    moved = replace(contents, features=contents.features[::-1].copy(), fingerprint="")
    targets, candidates = all_pairs(len(contents.ids))
    said = [CaptioningUser(Catalog(each), argument=folder).sentences(targets, candidates) for each in (contents, moved)]
    assert said[0] != said[1]


def test_its_id_changes_with_weights_words_and_architecture_alone(tiny_catalog: Catalog, tmp_path: Path) -> None:
    ids = []
    for number, (made, words) in enumerate(
        [
            (network(), WORDS),
            (network(), WORDS),
            (network(seed=1), WORDS),
            (network("att2in"), WORDS),
            (network(), Vocabulary((*reversed(WORDS.words[:-1]), "UNK"))),
        ]
    ):
        path = tmp_path / f"{number}.safetensors"
        save_captioner(path, made, words, {"number": number})
        ids.append(CaptioningUser(tiny_catalog, argument=path).id)
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4


def test_a_small_memory_changes_no_answer(tiny_catalog: Catalog, folder: Path) -> None:
    targets, candidates = all_pairs(len(tiny_catalog))
    roomy = CaptioningUser(tiny_catalog, argument=folder)
    with pytest.warns(
        UserWarning, match=r"keeps what it computes of \d+ of \d+ images.*several times as long as an answer"
    ):
        tight = CaptioningUser(tiny_catalog, argument=folder, memory_limit=30_000)
    assert tight._captioner.capacity < len(tiny_catalog)
    assert tight.sentences(targets, candidates) == roomy.sentences(targets, candidates)


def test_memory_is_by_default_half_of_what_is_free_or_what_the_environment_says(
    tiny_catalog: Catalog, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = CaptioningUser(tiny_catalog, argument=folder)._captioner
    few = whole.table_bytes + 3 * whole.image_bytes
    monkeypatch.setattr("dialog_env.simulators.captioner.memory.free_memory", lambda device: 2 * few)
    with pytest.warns(UserWarning, match="of 3 of"):
        assert CaptioningUser(tiny_catalog, argument=folder)._captioner.capacity == 3
    monkeypatch.setenv("DIALOG_RETRIEVAL_MEMORY", str((few + whole.image_bytes) / (1 << 30)))
    with pytest.warns(UserWarning, match="of 4 of"):
        assert CaptioningUser(tiny_catalog, argument=folder)._captioner.capacity == 4
    for wrong in ("much", "0", "-1", "nan", "inf"):
        monkeypatch.setenv("DIALOG_RETRIEVAL_MEMORY", wrong)
        with pytest.raises(ValueError, match=f"DIALOG_RETRIEVAL_MEMORY is '{wrong}'; give GiB"):
            CaptioningUser(tiny_catalog, argument=folder)


def test_regions_are_read_image_by_image_where_they_are_many(
    tiny_catalog: Catalog, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets, candidates = all_pairs(len(tiny_catalog))
    expected = CaptioningUser(tiny_catalog, argument=folder).sentences(targets, candidates)
    monkeypatch.setattr("dialog_env.simulators.captioner.user.READ_AT_ONCE", 0)
    asked: list[int] = []
    read = Catalog.read_regions

    def spy(self: Catalog, positions: np.ndarray | None = None) -> np.ndarray:
        assert positions is not None
        asked.extend(positions.tolist())
        return read(self, positions)

    monkeypatch.setattr(Catalog, "read_regions", spy)
    user = CaptioningUser(tiny_catalog, argument=folder)
    assert not asked
    assert user.sentences(targets[5:6], candidates[5:6]) == expected[5:6]
    assert set(asked) == {0, 5}
    assert user.sentences(targets, candidates) == expected


def test_features_of_another_making_are_refused_with_the_remedy(tiny_catalog: Catalog, tmp_path: Path) -> None:
    origin = {"features": {"backbone": {"name": "synthetic"}}}
    save_captioner(tmp_path / "captioner.safetensors", network(), WORDS, origin)
    with pytest.raises(ValueError, match=r"trained on features of backbone .* has None; train one with"):
        CaptioningUser(tiny_catalog, argument=tmp_path)
    with pytest.raises(ValueError, match="captioner 'shipped' was trained on features of backbone"):
        CaptioningUser(tiny_catalog)


def test_a_catalogue_without_regions_is_refused_by_a_captioner_that_looks_at_them(folder: Path) -> None:
    with pytest.raises(ValueError, match="show_attend_tell looks at region features and catalogue 'tiny' has none"):
        CaptioningUser(Catalog(tiny_contents(regions=None)), argument=folder)


def test_a_folder_or_file_that_is_not_there_is_named(tiny_catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no captioner\.safetensors"):
        CaptioningUser(tiny_catalog, argument=tmp_path)
    with pytest.raises(FileNotFoundError, match="no captioner at"):
        CaptioningUser(tiny_catalog, argument=tmp_path / "absent.safetensors")


def test_the_shipped_captioner_says_what_it_said_when_it_was_shipped(shipped: CaptioningUser) -> None:
    """Where this fails because answers changed on purpose, the id has to change too."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    targets, candidates = (
        torch.tensor([answer[key] for answer in golden["answers"]]) for key in ("target", "candidate")
    )
    said = shipped.sentences(targets, candidates)
    assert said == [answer["sentence"] for answer in golden["answers"]]
    assert shipped.id == golden["id"]


def test_the_shipped_captioner_mostly_tells_the_truth(shipped: CaptioningUser) -> None:
    """Colours and classes are looked up in the attribute table, which the captioner never sees."""
    gallery = load_catalog("synthetic").split("test")
    table = gallery.attributes
    assert table is not None
    generator = torch.Generator().manual_seed(3)
    targets, candidates = torch.randint(len(gallery), (2, 600), generator=generator)
    said = shipped.sentences(targets, candidates)
    assert len(set(said)) > 200
    column = table.categorical_names.index("colour")
    right = named = 0
    for target, sentence in zip(targets.tolist(), said, strict=True):
        words = sentence.partition(" not ")[0].split()
        spoken = [value for value in table.values[column] if value in words]
        named += len(spoken) == 1
        right += spoken == [table.values[column][table.categorical[target, column]]]
    assert named > 100
    assert right / named > 0.8


def test_the_shipped_captioner_has_a_model_card_that_names_it(shipped: CaptioningUser) -> None:
    card = (SHIPPED / "README.md").read_text(encoding="utf-8")
    assert shipped.id in card
    assert shipped.provenance["command"] in card
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 6_000_000


def test_the_shipped_captioner_was_trained_on_no_image_of_the_test_split(shipped: CaptioningUser) -> None:
    catalog = load_catalog("synthetic")
    seen = set(shipped.provenance["image digests"])
    assert seen == set(image_digests(catalog.split("train")))
    assert not seen & set(image_digests(catalog.split("test")))
