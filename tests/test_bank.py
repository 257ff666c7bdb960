from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import scene_rgb
from numpy.typing import NDArray

from realtime_style.engines.network import Network
from realtime_style.engines.registry import available_engines
from realtime_style.style.bank import Bank
from realtime_style.style.bundled import bank_styles, bundled_styles, open_style

torch = pytest.importorskip("torch", reason="the extra [train] is not installed")

from export.encoder import export_encoder  # noqa: E402
from realtime_style.training.color import (  # noqa: E402
    PLANES_COLOR,
    planes_from_rgb,
    rgb_from_planes,
)
from realtime_style.training.encoder import (  # noqa: E402
    AnyStyleGenerator,
    StyleEncoder,
    palette_of,
)
from realtime_style.training.generator import Generator  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")
rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def bank() -> Bank:
    return Bank()


def any_vector(bank: Bank) -> NDArray[np.float64]:
    """The vector of a mixture of all styles, with random gains and offsets."""
    mean = np.mean([bank.vector_of(i) for i in range(len(bank.styles))], 0)
    return mean + 0.1 * rng.standard_normal(bank.vector_size)


def test_the_vector_of_a_style_gives_its_weights(bank: Bank) -> None:
    for number in (0, len(bank.styles) - 1):
        style = bank.styles[number]
        weights = bank.weights(bank.vector_of(number))
        for name, values in weights.items():
            np.testing.assert_allclose(values, style.weights()[name], atol=1e-12)
        assert weights.keys() == style.weights().keys()


def test_a_folded_code_paints_as_the_conditioned_network(bank: Bank) -> None:
    vector = any_vector(bank)
    netG = AnyStyleGenerator(bank).eval()  # noqa: N806
    luma, chroma = torch.rand(1, 1, 64, 96), torch.rand(1, 2, 32, 48)
    folded = Generator().folded().eval()
    weights = {k: torch.from_numpy(v).float() for k, v in bank.weights(vector).items()}
    assert not folded.load_state_dict(weights, strict=False).unexpected_keys
    with torch.no_grad():
        conditioned = netG(luma, chroma, torch.from_numpy(vector).float()[None])
        unconditioned = folded(255 * luma, 255 * chroma)
    for ours, theirs in zip(conditioned, unconditioned, strict=True):
        torch.testing.assert_close(ours, theirs / 255, rtol=0, atol=1e-4)


def test_each_picture_of_a_batch_has_its_own_vector(bank: Bank) -> None:
    netG = AnyStyleGenerator(bank).eval()  # noqa: N806
    luma, chroma = torch.rand(2, 1, 64, 64), torch.rand(2, 2, 32, 32)
    vectors = torch.from_numpy(np.stack([any_vector(bank), any_vector(bank)])).float()
    with torch.no_grad():
        both = netG(luma, chroma, vectors)[0]
        for i in range(2):
            alone = netG(luma[i : i + 1], chroma[i : i + 1], vectors[i : i + 1])[0]
            torch.testing.assert_close(both[i : i + 1], alone)


def test_phases_of_a_channel_share_their_gain(bank: Bank) -> None:
    vector = bank.vector_of(0)
    for layer in bank.layers:
        if layer.name in ("up", "head"):
            vector[layer.gains] = rng.standard_normal(layer.gains.stop - layer.gains.start)
    changed, own = bank.weights(vector), bank.styles[0].weights()
    for name, fours in (("up", 64), ("head", 4)):
        kernels = (each[f"{name}.weight"][:fours, 0, 1, 1] for each in (changed, own))
        ratio = np.divide(*kernels)
        assert np.allclose(ratio.reshape(-1, 4), ratio[::4, None])
        assert ratio.std() > 0.1 or fours == 4


@pytest.fixture(scope="module")
def exported_encoder(bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """`random_encoder`, as an ONNX file."""
    out = tmp_path_factory.mktemp("encoder") / "encoder.onnx"
    export_encoder(random_encoder(bank), bank, out)
    return out.read_bytes()


@pytest.mark.parametrize("engine", available_engines())
@pytest.mark.parametrize("size", [(192, 320), (256, 256), (64, 1024)])
def test_the_exported_encoder_gives_the_same_vectors_as_the_trained_one(
    exported_encoder: bytes, bank: Bank, engine: str, size: tuple[int, int]
) -> None:
    picture = rng.integers(0, 256, (1, 3, *size), dtype=np.uint8)
    with torch.no_grad():
        expected = random_encoder(bank)(torch.from_numpy(picture).float() / 255).numpy()
    found = Network(exported_encoder, engine)({"picture": picture})["code"]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_exported_encoder_names_its_bank(exported_encoder: bytes, bank: Bank) -> None:
    (entry,) = onnx.load_model_from_string(exported_encoder).metadata_props
    assert (entry.key, entry.value) == ("bank", bank.digest)


def random_encoder(bank: Bank) -> StyleEncoder:
    torch.manual_seed(0)
    netE = StyleEncoder(bank, Generator()).eval()  # noqa: N806
    netE.deviation.fill_(50)  # about the standard deviation of real layers
    netE.photo_mean.fill_(0.5)
    netE.photo_factor.mul_(0.2)
    torch.nn.init.normal_(netE.change[-1].weight, std=1e-3)
    return netE


def test_the_encoder_ignores_where_things_are_in_the_picture(bank: Bank) -> None:
    netE = random_encoder(bank)  # noqa: N806
    tile = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        once, rolled = netE(tile.repeat(1, 1, 4, 4)), netE(tile.roll(32, 3).repeat(1, 1, 4, 4))
        other = netE(torch.rand(1, 3, 256, 256) * tile.mean())
    assert (once - rolled).abs().max() < 0.3 * (once - other).abs().max()


def test_the_encoder_chooses_among_the_styles_and_changes_them(bank: Bank) -> None:
    netE = random_encoder(bank)  # noqa: N806
    picture = torch.rand(2, 3, 128, 96)
    with torch.no_grad():
        log_shares, change = netE.read(netE.statistics(picture))
        palette = palette_of(picture)
        torch.testing.assert_close(netE(picture), netE.vector(log_shares, change, *palette))
    torch.testing.assert_close(log_shares.exp().sum(1), torch.ones(2))
    one = torch.full((1, len(bank.styles)), -torch.inf)
    one[0, 3] = 0
    expected = torch.from_numpy(bank.vector_of(3)).float() + change[0]
    vector = netE.vector(one, change[:1], torch.zeros(1, 3), torch.eye(3)[None])[0]
    torch.testing.assert_close(vector, expected)  # the identity as the palette's map


def test_what_is_recoloured_has_the_palette(bank: Bank) -> None:
    netG = AnyStyleGenerator(bank).eval()  # noqa: N806
    netE = random_encoder(bank)  # noqa: N806
    torch.nn.init.zeros_(netE.change[-1].weight)
    photo, picture = (
        torch.from_numpy(scene_rgb(128, 96, time_s).copy()).permute(2, 0, 1)[None] / 255
        for time_s in (1.0, 4.0)
    )
    picture = (picture * torch.tensor([0.5, 0.7, 0.9])[:, None, None]).flip(3)

    def paint(vector: torch.Tensor) -> torch.Tensor:
        planes = netG(*planes_from_rgb(photo, PLANES_COLOR), vector[None])
        return rgb_from_planes(*planes, PLANES_COLOR)

    with torch.no_grad():
        for number in (0, 7):
            own_mean, own_factor = palette_of(
                paint(torch.from_numpy(bank.vector_of(number)).float())
            )
            netE.palette_means[number] = own_mean[0]
            netE.palette_inverses[number] = own_factor[0].inverse()
            chosen = torch.full((1, len(bank.styles)), -torch.inf)
            chosen[0, number] = 0
            _, change = netE.read(netE.statistics(picture))
            mean, factor = palette_of(picture)
            found = palette_of(paint(netE.vector(chosen, change, mean, factor)[0]))
            torch.testing.assert_close(found[0], mean, atol=0.01, rtol=0)
            covariances = (f @ f.transpose(1, 2) for f in (found[1], factor))
            torch.testing.assert_close(*covariances, atol=0.004, rtol=0.05)


def test_styles_that_changed_after_the_encoder_was_trained_are_kept_for_it(bank: Bank) -> None:
    bundled = bundled_styles()
    assert [style.name for style in bank.styles] == [*bundled, "identity"]
    for path in bank_styles():
        if path.parent.name == "bank":
            assert path.read_bytes() != bundled[path.stem].read_bytes()
            assert open_style(path).shapes() == open_style(path.stem).shapes()


def test_the_digest_is_of_the_weights(bank: Bank, tmp_path: Path) -> None:
    assert Bank().digest == bank.digest
    assert Bank(bank.styles[1:]).digest != bank.digest
