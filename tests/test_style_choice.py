"""Training of the encoder that chooses a style for a picture."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import scene_rgb
from PIL import Image
from safetensors.torch import save_file

torch = pytest.importorskip("torch", reason="the extra [train] is not installed")

from test_training import Calls, make_photos, random_vgg19  # noqa: E402

from export.encoder import export_encoder  # noqa: E402
from realtime_style.engines.network import Network  # noqa: E402
from realtime_style.engines.registry import available_engines  # noqa: E402
from realtime_style.errors import TrainingError  # noqa: E402
from realtime_style.training import style_choice  # noqa: E402
from realtime_style.training.checkpoint import save_generator  # noqa: E402
from realtime_style.training.color import paint_rgb  # noqa: E402
from realtime_style.training.config import TrainConfig  # noqa: E402
from realtime_style.training.encoder import StyleEncoder  # noqa: E402
from realtime_style.training.generator import Generator  # noqa: E402
from realtime_style.training.objective import load_features  # noqa: E402
from realtime_style.training.observer import TrainStep  # noqa: E402
from realtime_style.training.style_choice import StyleGuide, train_encoder  # noqa: E402
from realtime_style.training.style_variants import StyleVariants, encoder_view  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")
STYLES = ["calm", "rough", "wild"]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    monkeypatch.setattr(style_choice, "_VARIANTS", 6)
    monkeypatch.setattr(style_choice, "STEPS", 40)
    save_file(random_vgg19(), tmp_path / "vgg19.safetensors")
    (tmp_path / "paintings").mkdir()
    for number in range(3):
        picture = Image.fromarray(scene_rgb(160, 120, 3.0 * number))
        picture.save(tmp_path / "paintings" / f"painting{number}.png")
    return TrainConfig(
        painting=tmp_path / "paintings",
        content=make_photos(tmp_path / "photos"),
        features=(tmp_path / "vgg19.safetensors",),
        crop_px=128,
        painting_px=96,
        precision="f32",
        device="cpu",
    )


@pytest.fixture
def strokes(tmp_path: Path) -> Path:
    folder = tmp_path / "strokes"
    folder.mkdir()
    for seed, name in enumerate(STYLES):
        torch.manual_seed(seed)
        save_generator(folder / f"{name}.safetensors", Generator(), {})
    return folder


def test_it_learns_the_shares_of_the_styles_whose_strokes_there_are(
    config: TrainConfig, strokes: Path
) -> None:
    reports: list[TrainStep] = []
    netE = train_encoder(config, strokes, Calls(reports.append))  # noqa: N806
    assert netE.styles == tuple(STYLES)
    assert [report.step for report in reports] == [*range(1, 41)]
    assert reports[-1].losses["choice"] < reports[0].losses["choice"]
    with torch.no_grad(), Image.open(config.painting / "painting1.png") as picture:
        shares = netE(encoder_view(picture.convert("RGB")))
    torch.testing.assert_close(shares.sum(1), torch.ones(1))


def test_unusable_data_are_refused(config: TrainConfig, strokes: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(TrainingError, match="holds no generators of strokes"):
        train_encoder(config, tmp_path / "none")
    Image.new("RGB", (32, 32)).save(tmp_path / "none" / "tiny.png")
    with pytest.raises(TrainingError, match="has no pictures to train on") as error:
        train_encoder(replace(config, painting=tmp_path / "none"), strokes)
    assert error.value.setting == "painting"


def test_the_guide_knows_by_which_style_a_picture_was_painted(config: TrainConfig) -> None:
    generators = {}
    for seed, name in enumerate(STYLES):
        torch.manual_seed(seed)
        generators[name] = Generator().eval()
    photos = (
        torch.stack(
            [torch.from_numpy(scene_rgb(96, 96, time_s).copy()) for time_s in (1.0, 5.0)]
        ).permute(0, 3, 1, 2)
        / 255
    )
    guide = StyleGuide(generators, photos, config, load_features(config, torch.device("cpu")))
    for number, netG in enumerate(generators.values()):  # noqa: N806
        with torch.no_grad():
            painted = paint_rgb(netG, photos[1:]).clamp(0, 1)[0]
        picture = Image.fromarray((255 * painted).byte().permute(1, 2, 0).numpy())
        shares = guide.shares(picture)
        torch.testing.assert_close(shares.sum(), torch.tensor(1.0))
        assert shares.argmax() == number


def test_variants_are_the_same_for_the_same_number_and_the_first_the_pictures(
    config: TrainConfig,
) -> None:
    paintings, photos = sorted(config.painting.iterdir()), sorted(config.content.iterdir())
    one, again = (StyleVariants(paintings, photos) for _ in range(2))
    for number in (0, 2, 7, 30):
        assert np.array_equal(one.picture(number), again.picture(number))
    with Image.open(paintings[2]) as picture:
        assert np.array_equal(one.picture(2), picture.convert("RGB"))
    look = encoder_view(one.picture(2))
    assert look.shape[2] * look.shape[3] == pytest.approx(512**2, rel=0.02)
    assert not np.array_equal(one.picture(7), one.picture(30))


def random_encoder() -> StyleEncoder:
    torch.manual_seed(0)
    netE = StyleEncoder(STYLES, Generator()).eval()  # noqa: N806
    netE.deviation.fill_(50)  # about the standard deviation of real layers
    netE.photo_mean.fill_(0.5)
    netE.photo_factor.mul_(0.2)
    return netE


def test_the_encoder_ignores_where_things_are_and_in_which_colours() -> None:
    netE = random_encoder()  # noqa: N806
    tile = torch.rand(1, 3, 64, 64)
    factors = torch.tensor([0.5, 0.7, 0.9])[:, None, None]
    with torch.no_grad():
        once, rolled, dyed = (
            netE.statistics(each.repeat(1, 1, 4, 4))
            for each in (tile, tile.roll(32, 3), tile * factors)
        )
        other = netE.statistics(torch.rand(1, 3, 256, 256).cumsum(3) / 128)
    for same in (rolled, dyed):
        assert (once - same).square().mean() < 0.1 * (once - other).square().mean()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """`random_encoder`, as an ONNX file."""
    out = tmp_path_factory.mktemp("encoder") / "encoder.onnx"
    export_encoder(random_encoder(), out)
    return out.read_bytes()


@pytest.mark.parametrize("engine", available_engines())
@pytest.mark.parametrize("size", [(192, 320), (64, 512)])
def test_the_exported_encoder_gives_the_same_shares_as_the_trained_one(
    exported: bytes, engine: str, size: tuple[int, int]
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1, 3, *size), dtype=np.uint8)
    with torch.no_grad():
        expected = random_encoder()(torch.from_numpy(picture).float() / 255).numpy()
    found = Network(exported, engine)({"picture": picture})["shares"]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_exported_encoder_names_its_styles(exported: bytes) -> None:
    (entry,) = onnx.load_model_from_string(exported).metadata_props
    assert (entry.key, json.loads(entry.value)) == ("styles", STYLES)
