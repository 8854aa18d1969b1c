"""Feature spaces: kept in the catalogue, named by their recipe, grown, and remembered by agents and captioners."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from dialog_env import agents
from dialog_env.agents import TrainingData
from dialog_env.catalog import Catalog, load_catalog
from dialog_env.catalog.__main__ import main
from dialog_env.catalog.catalog_file import TITLE
from dialog_env.catalog.sources.drawn import Drawn
from dialog_env.catalog.sources.features import VisionBackbone
from dialog_env.catalog.sources.photo_grades import measure
from dialog_env.catalog.sources.products import Products
from dialog_env.catalog.sources.reduction import Projection
from dialog_env.evaluate import protocol
from dialog_env.io import checkpoint
from dialog_env.io.seals import seal
from dialog_env.simulators import make_simulator
from dialog_env.simulators.captioner.caption_data import DescribedPairs
from dialog_env.simulators.captioner.training import CaptionerSettings, CaptionTraining
from tests.catalog.test_sources_products import ROW, write_products
from tests.catalog_files import write_version_1
from tests.conftest import tiny_contents

transformers = pytest.importorskip("transformers", reason="extraction needs the extra `images`")

OLD, NEW = 40, 12


def rows(numbers: range) -> list[list[str]]:
    """Products of three colours."""
    return [[str(n), *ROW[:4], ("Black", "Red", "Blue")[n % 3], *ROW[5:]] for n in numbers]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, backbones: dict[str, Path]) -> Path:
    """A folder with old and new photographs, and a catalogue of the old ones."""
    folder = tmp_path_factory.mktemp("spaces")
    write_products(folder / "old", rows(range(OLD)))
    write_products(folder / "new", rows(range(OLD, OLD + NEW)))
    source(folder, backbones).build()
    return folder


def source(folder: Path, backbones: dict[str, Path], *, root: str = "old", kind: str = "vit", **settings) -> Products:
    """A source of these photographs."""
    settings = {"output": "old.h5", "dimensions": 6, "region_channels": 5, "grid": 2, "batch": 8, **settings}
    return Products(folder / root, backbones[kind], folder / settings.pop("output"), **settings)


def copy_of(folder: Path, name: str) -> Path:
    """The old catalogue once more."""
    (folder / name).write_bytes((folder / "old.h5").read_bytes())
    return folder / name


def training_data(catalog: Catalog) -> TrainingData:
    """Galleries and describers of a catalogue."""
    galleries = [catalog.split("train"), catalog.split("validation")]
    users = [make_simulator("describer", gallery) for gallery in galleries]
    return TrainingData(galleries[0], users[0], galleries[1], users[1])


def test_the_space_is_kept_in_the_file_with_its_reduction_and_encoder(built: Path) -> None:
    space = Catalog.open(built / "old.h5").space
    assert space is not None
    assert space.encoder["kind"] == "vision"
    assert len(space.encoder["weights sha256"]) == 64
    assert (space.recipe["pooling"], space.recipe["grid"], space.encoder["preprocessing"]["height"]) == ("mean", 2, 32)
    assert space.pooled is not None
    assert space.regions is not None
    assert (space.pooled.components.shape, space.regions.components.shape) == ((16, 6), (16, 5))


def test_the_id_does_not_depend_on_rounding_but_on_pictures_encoder_and_settings(
    built: Path,
    backbones: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = Catalog.open(built / "old.h5")
    fit = Projection.fit

    def elsewhere(*arguments) -> Projection:
        found = fit(*arguments)
        return Projection(found.mean, found.components * (1 + 1e-6), found.kept)

    with monkeypatch.context() as machine:
        machine.setattr(Projection, "fit", elsewhere)
        rounded = source(built, backbones, output="rounded.h5").build()
    assert rounded.fingerprint != first.fingerprint
    assert rounded.space_id == first.space_id
    others = [
        source(built, backbones, output="other.h5", **change).build()
        for change in ({"kind": "clip"}, {"dimensions": 5}, {"grid": 1}, {"pooling": "cls"}, {"root": "new"})
    ]
    assert len({first.space_id, *(other.space_id for other in others)}) == 6


def test_pictures_are_embedded_into_an_old_space(built: Path, backbones: dict[str, Path]) -> None:
    old = Catalog.open(built / "old.h5")
    again = source(built, backbones, output="again.h5", like=built / "old.h5", dimensions=3, grid=0).build()
    np.testing.assert_allclose(again.features, old.features, atol=1e-6)
    new = source(built, backbones, root="new", output="like.h5", like=built / "old.h5").build()
    assert new.space_id == again.space_id == old.space_id
    assert (len(new), new.dimensions, new.region_shape) == (NEW, 6, (4, 5))
    apart = source(built, backbones, root="new", output="apart.h5").build()
    assert np.abs(apart.features - new.features).max() > 0.1


def test_one_picture_is_embedded_as_the_catalogue_was(built: Path, backbones: dict[str, Path]) -> None:
    catalog = Catalog.open(built / "old.h5")
    embed = catalog.embedder(backbones["vit"])
    path = built / "old" / "images" / f"{catalog.ids[3]}.jpg"
    for item in (path, str(path), path.read_bytes()):
        found = embed(item)
        np.testing.assert_allclose(found.pooled, catalog.features[3], atol=1e-5)
        np.testing.assert_allclose(found.regions, catalog.read_regions()[3], atol=5e-3)
    assert embed(np.zeros((9, 7, 3), np.uint8)).pooled.shape == (6,)
    with pytest.raises(ValueError, match=r"is another encoder than it was built with \(its weights sha256 differs\)"):
        catalog.embedder(backbones["convolution"])
    with pytest.raises(ValueError, match="needs its encoder; give the folder"):
        catalog.embedder()
    with pytest.raises(ValueError, match="are no picture; give"):
        embed(np.zeros((9, 7), np.uint8))


def test_a_drawn_shoe_is_embedded_as_the_drawn_catalogue_was() -> None:
    catalog = load_catalog("synthetic")
    found = catalog.embedder()(catalog.image(5))
    np.testing.assert_allclose(found.pooled, catalog.features[5], atol=2e-3)
    assert found.regions is not None
    assert found.regions.shape == catalog.region_shape


def test_a_catalogue_grows_and_what_was_there_stays_as_it_was(
    built: Path,
    backbones: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    old, path = Catalog.open(built / "old.h5"), copy_of(built, "grown.h5")
    backbone = ["--backbone", str(backbones["vit"]), "--output", str(path)]
    main(["add", "products", "--root", str(built / "new"), *backbone])
    assert f"added to {path}" in capsys.readouterr().out
    grown = Catalog.open(path)
    assert grown.space_id == old.space_id
    assert list(grown.ids) == [str(number) for number in range(OLD + NEW)]
    before = grown.take(np.arange(OLD))
    np.testing.assert_array_equal(before.features, old.features)
    np.testing.assert_array_equal(before.read_regions(), old.read_regions())
    np.testing.assert_array_equal(before.images(np.arange(3)), old.images(np.arange(3)))
    assert (before.attributes is None, old.attributes is None) == (False, False)
    np.testing.assert_array_equal(before.attributes.graded, old.attributes.graded)
    assert [grown.split(name).ids[:count].tolist() for name, count in old.splits.items()] == [
        old.split(name).ids.tolist() for name in old.splits
    ]
    grown.verify()
    with pytest.raises(SystemExit, match=rf"error: {path} has images 40, 41, 42, … already \(12 in all\)"):
        main(["add", "products", "--root", str(built / "new"), *backbone])
    assert Catalog.open(path).fingerprint == grown.fingerprint


def test_new_values_and_grades_join_the_scale_of_the_old_ones(built: Path, backbones: dict[str, Path]) -> None:
    path = copy_of(built, "colours.h5")
    old = Catalog.open(path)
    write_products(built / "green", [["90", *ROW[:4], "Green", *ROW[5:]]])
    grown = source(built, backbones, root="green", output="colours.h5", split="test").add()
    assert grown.attributes is not None
    colours = grown.attributes.values[grown.attributes.categorical_names.index("baseColour")]
    assert colours == ("Black", "Blue", "Red", "Green")
    assert grown.split("test").ids[-1] == "90"
    low, high = old.provenance["graded attributes"]["bright in colour"]
    measured = measure(grown.image(OLD))["bright in colour"]
    expected = np.clip((measured - low) / (high - low), 0, 1)
    assert grown.attributes.grade("bright in colour")[-1] == pytest.approx(expected, abs=1e-5)


@pytest.fixture(scope="module")
def captioner(built: Path) -> Path:
    """A captioner that has learned a little from the old photographs."""
    old = Catalog.open(built / "old.h5")
    pairs = [DescribedPairs(old.split(name), 60) for name in ("train", "validation")]
    settings = CaptionerSettings(epochs=1, hidden=8, embedding=8, attention=8, threshold=1)
    CaptionTraining(settings, *pairs, built / "captioner").run(progress=False)
    return built / "captioner"


@pytest.mark.parametrize("kind", ["supervised", "sb3-ppo"])
def test_an_agent_scores_the_same_on_the_old_pictures_after_growth_and_refuses_another_space(
    built: Path,
    backbones: dict[str, Path],
    captioner: Path,
    kind: str,
) -> None:
    old = Catalog.open(built / "old.h5")
    copy_of(built, f"{kind}.h5")
    grown = source(built, backbones, root="new", output=f"{kind}.h5").add()
    user = f"captioner:{captioner}"
    galleries = [old.split("train"), old.split("validation")]
    users = [make_simulator(user, gallery) for gallery in galleries]
    data = TrainingData(galleries[0], users[0], galleries[1], users[1])
    small = (
        {"epochs": 1} if kind == "supervised" else {"total_timesteps": 64, "n_envs": 8, "evaluations": 1, "n_steps": 4}
    )
    learner = agents.create(kind, dimensions=6, vocabulary=users[0].vocabulary, **small)
    learner.train(data, built / kind, progress=False)
    agent = agents.load(built / kind)
    assert agent.space == old.space_id
    before, after = (
        protocol.run(agent, gallery, make_simulator(user, gallery), seed=0, turns=3)
        for gallery in (old.take(np.arange(OLD)), grown.take(np.arange(OLD)))
    )
    np.testing.assert_array_equal(after.shown, before.shown)
    np.testing.assert_array_equal(after.closer, before.closer)
    agent.bind(grown)
    agent.bind(Catalog(tiny_contents(dimensions=6)))  # of an unknown space
    other = source(built, backbones, output="rebuilt.h5", region_channels=4).build()
    with pytest.raises(
        ValueError, match=rf"agent {kind} knows feature space {old.space_id} and Catalog.* lies in .*--like"
    ):
        agent.bind(other)
    with pytest.raises(ValueError, match=rf"captioner .* knows feature space {old.space_id}, and catalogue .* lies in"):
        make_simulator(user, other)


def test_weights_of_another_space_are_no_beginning(built: Path, backbones: dict[str, Path], tmp_path: Path) -> None:
    old, new = (
        training_data(Catalog.open(built / "old.h5")),
        training_data(source(built, backbones, output="begin.h5", region_channels=4).build()),
    )
    vocabulary = old.simulator.vocabulary
    agents.create("supervised", gallery=old.gallery, vocabulary=vocabulary).save(tmp_path / "first")
    second = agents.create(
        "supervised", gallery=new.gallery, vocabulary=vocabulary, epochs=1, initial=str(tmp_path / "first")
    )
    with pytest.raises(ValueError, match=r"initial weights of .*first know feature space"):
        second.train(new, tmp_path / "second", progress=False)


def test_files_of_before_there_were_spaces_are_read_and_fit_any(tmp_path: Path) -> None:
    contents = tiny_contents()
    write_version_1(contents, tmp_path / "old.h5")
    old = Catalog.open(tmp_path / "old.h5")
    assert (old.space, old.space_id) == (None, "")
    with pytest.raises(ValueError, match="feature space of catalogue 'tiny' is unknown; build it again"):
        old.embedder()
    agent = agents.create("supervised", gallery=old, vocabulary=make_simulator("describer", old).vocabulary)
    agent.save(tmp_path / "agent")
    saved = checkpoint.read(tmp_path / "agent" / "agent.safetensors")
    checkpoint.write(saved.path, saved.tensors, {key: saved.facts[key] for key in saved.facts if key != "space"})
    again = agents.load(tmp_path / "agent")
    assert again.space == ""
    again.bind(Catalog(tiny_contents()))


def test_the_drawn_catalogues_share_a_space_old_files_and_new_ones(tmp_path: Path) -> None:
    shipped, drawn = load_catalog("synthetic"), Drawn(tmp_path / "drawn.h5", size=8).build()
    with h5py.File(tmp_path / "drawn.h5") as file:
        assert "space" in file
    assert shipped.space_id == drawn.space_id != ""
    with pytest.raises(ValueError, match="must both have pictures, or both none, and drawn shoes cannot grow"):
        drawn.extended(Drawn(tmp_path / "more.h5", size=9, seed=1).build()._contents)


def test_a_space_that_does_not_fit_is_refused_before_pictures_are_read(
    built: Path,
    backbones: dict[str, Path],
    tmp_path: Path,
) -> None:
    write_products(tmp_path / "data", rows(range(3)))
    (tmp_path / "data" / "images" / "1.jpg").write_bytes(b"broken")

    def build(kind: str, like: Path, **settings) -> None:
        Products(tmp_path / "data", backbones[kind], tmp_path / "out.h5", like=like, **settings).build()

    with pytest.raises(ValueError, match=r"old\.h5 lies in feature space .* is another encoder than it was built with"):
        build("clip", built / "old.h5")
    with pytest.raises(FileNotFoundError, match=r"no catalogue at .*none\.h5"):
        build("vit", tmp_path / "none.h5")
    write_version_1(tiny_contents(), tmp_path / "before.h5")
    with pytest.raises(ValueError, match="is of a release that kept no feature space; build it again"):
        build("vit", tmp_path / "before.h5")
    Drawn(tmp_path / "drawn.h5", size=8).build()
    with pytest.raises(ValueError, match="into which no encoder from a folder embeds"):
        build("vit", tmp_path / "drawn.h5")
    for kind, pooling, message in (
        ("convolution", "cls", "gives no class token; choose --pooling mean"),
        ("vit", "projection", "has no projection; choose --pooling mean or cls"),
    ):
        with pytest.raises(ValueError, match=message):
            Products(tmp_path / "data", backbones[kind], tmp_path / "out.h5", pooling=pooling).build()
    assert not (tmp_path / "out.h5").exists()
    with pytest.raises(SystemExit, match=r"error: no catalogue .*none\.h5 to add to"):
        main(
            [
                "add",
                "products",
                "--root",
                str(tmp_path / "data"),
                "--backbone",
                "x",
                "--output",
                str(tmp_path / "none.h5"),
            ]
        )


def test_poolings_are_the_class_token_and_what_the_network_compares_by(built: Path, backbones: dict[str, Path]) -> None:
    content = [(built / "old" / "images" / f"{number}.jpg").read_bytes() for number in range(3)]
    cls = VisionBackbone(backbones["vit"], pooling="cls")
    pixels = [cls.prepare(each) for each in content]
    batch = cls.preprocessing.normalise(torch.from_numpy(np.stack(pixels)))
    with torch.inference_mode():
        expected = cls.network(pixel_values=batch).last_hidden_state[:, 0]
    torch.testing.assert_close(cls(pixels, 2)[0], expected, atol=1e-5, rtol=1e-4)
    projected = VisionBackbone(backbones["clip"], pooling="projection")
    whole = transformers.CLIPModel.from_pretrained(backbones["clip"]).eval()
    with torch.inference_mode():
        given = whole.get_image_features(pixel_values=batch)
    given = getattr(given, "pooler_output", given)
    torch.testing.assert_close(projected(pixels, 2)[0], given, atol=1e-5, rtol=1e-4)
    catalog = source(built, backbones, kind="clip", pooling="projection", output="projected.h5").build()
    whole_width = torch.nn.functional.normalize(given).numpy()
    order = [list(catalog.ids).index(str(number)) for number in range(3)]
    np.testing.assert_allclose(catalog.features[order], whole_width, atol=1e-4)
    np.testing.assert_allclose(catalog.embedder(backbones["clip"])(content[1]).pooled, whole_width[1], atol=1e-4)


def test_a_damaged_space_is_refused(built: Path) -> None:
    for name, change in (
        ("recipe", lambda file: file["space"].attrs.modify("recipe", "[1]")),
        ("shape", lambda file: file["space/pooled"].move("mean", "middle")),
        ("number", lambda file: file["space/regions/components"].write_direct(np.full((16, 5), np.nan, np.float32))),
    ):
        path = copy_of(built, f"damaged-{name}.h5")
        with h5py.File(path, "r+") as file:
            change(file)
        seal(path, TITLE)
        with pytest.raises(ValueError, match=rf"damaged-{name}\.h5 is no catalogue"):
            Catalog.open(path)
