import hashlib
import http.server
import pickle
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from realtime_style.errors import TrainingError
from realtime_style.tools.demo import draw_scene
from realtime_style.training.perceptual import Features, Vgg, fetch_vgg19, load_networks

PERCEPTUAL = Path(__file__).parents[1] / "../shared/data/perceptual"
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
LAYERS = ("1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "3_4", "4_1")
TORCHVISION_NUMBERS = (0, 2, 5, 7, 10, 12, 14, 16, 19)
WIDTH = 6

State = dict[str, Tensor]


def true_state(layers: int = len(LAYERS), seed: int = 0) -> State:
    rng = torch.Generator().manual_seed(seed)
    state = {"conv0.weight": torch.diag(1 / STD)[:, :, None, None], "conv0.bias": -MEAN / STD}
    channels = 3
    for layer in LAYERS[:layers]:
        scale = (2 / (9 * channels)) ** 0.5
        state[f"conv{layer}.weight"] = torch.randn(WIDTH, channels, 3, 3, generator=rng) * scale
        state[f"conv{layer}.bias"] = 0.1 * torch.randn(WIDTH, generator=rng)
        channels = WIDTH
    return state


def torchvision_state(state: State) -> State:
    return {
        f"features.{number}.{kind}": state[f"conv{layer}.{kind}"]
        for layer, number in zip(LAYERS, TORCHVISION_NUMBERS, strict=True)
        for kind in ("weight", "bias")
    }


def distilled_state(seed: int = 1) -> State:
    rng = torch.Generator().manual_seed(seed)
    state = {key.replace("_", ""): value for key, value in true_state(seed=seed).items()}
    for layer in ("11", "21", "31", "41"):
        state[f"conv{layer}_aux.weight"] = torch.randn(10, WIDTH, 1, 1, generator=rng)
        state[f"conv{layer}_aux.bias"] = torch.randn(10, generator=rng)
    return state


def relu(*layers: str) -> frozenset[str]:
    return frozenset(f"relu{layer}" for layer in layers)


def picture(size: int = 128) -> Tensor:
    return torch.tensor(draw_scene(0, size, size)).permute(2, 0, 1)[None] / 255


def test_true_layouts_give_the_same_features() -> None:
    state = true_state()
    named, torchvision = Vgg(state), Vgg(torchvision_state(state))
    assert named.layers == torchvision.layers == relu(*LAYERS)
    assert not named.approximate
    assert not torchvision.approximate
    found, expected = (network(picture(), relu(*LAYERS)) for network in (torchvision, named))
    for layer, value in expected.items():
        inner = slice(value.shape[2] * 3 // 8, value.shape[2] * 5 // 8)  # untouched by padding
        torch.testing.assert_close(found[layer][..., inner, inner], value[..., inner, inner])
        assert value[..., inner, inner].std() > 0
        assert not torch.allclose(found[layer], value)  # zeros are not reflections


def test_layers_are_named_by_depth() -> None:
    network = Vgg(true_state(layers=5))
    assert network.layers == relu("1_1", "1_2", "2_1", "2_2", "3_1")
    features = network(picture(64), relu("1_1", "1_2", "2_1", "3_1"))
    assert {layer: value.shape[-1] for layer, value in features.items()} == {
        "relu1_1": 64,
        "relu1_2": 64,
        "relu2_1": 32,
        "relu3_1": 16,
    }


def test_features_are_as_defined() -> None:
    state = true_state(layers=3)
    x = (picture(32) - MEAN[:, None, None]) / STD[:, None, None]
    for layer in ("1_1", "1_2", "2_1"):
        if layer == "2_1":
            x = functional.max_pool2d(x, 2)
        x = functional.pad(x, (1, 1, 1, 1), "reflect")
        x = functional.conv2d(x, state[f"conv{layer}.weight"], state[f"conv{layer}.bias"]).relu()
    found = Vgg(state)(picture(32), relu("2_1"))
    assert list(found) == ["relu2_1"]
    torch.testing.assert_close(found["relu2_1"], x, rtol=1e-4, atol=1e-4)


def test_distilled_layers_go_through_their_heads() -> None:
    state = distilled_state()
    network = Vgg(state)
    assert network.layers == network.approximate == relu("1_1", "2_1", "3_1", "4_1")
    headless = Vgg({key: value for key, value in state.items() if "_aux" not in key})
    wanted = relu("1_1", "4_1")
    inner, found = headless(picture(64), wanted), network(picture(64), wanted)
    for layer, key in (("relu1_1", "conv11_aux"), ("relu4_1", "conv41_aux")):
        head = functional.conv2d(inner[layer], state[f"{key}.weight"], state[f"{key}.bias"])
        assert found[layer].shape[1] == 10
        torch.testing.assert_close(found[layer], head.relu())


@pytest.mark.parametrize("true_first", [True, False])
def test_true_layers_are_preferred(true_first: bool) -> None:
    true, distilled = Vgg(true_state(layers=5)), Vgg(distilled_state())
    networks = [true, distilled] if true_first else [distilled, true]
    found = Features(networks, relu("1_1", "3_1", "4_1"))(picture(64))
    assert set(found) == relu("1_1", "3_1", "4_1")
    torch.testing.assert_close(found["relu1_1"], true(picture(64), relu("1_1"))["relu1_1"])
    torch.testing.assert_close(found["relu3_1"], true(picture(64), relu("3_1"))["relu3_1"])
    torch.testing.assert_close(found["relu4_1"], distilled(picture(64), relu("4_1"))["relu4_1"])


def test_layers_can_be_asked_for_alone() -> None:
    networks = [Vgg(true_state(layers=5)), Vgg(distilled_state())]
    features = Features(networks, relu("1_1", "3_1", "4_1"))
    assert set(features(picture(64), relu("4_1"))) == relu("4_1")
    assert set(features(picture(64))) == relu("1_1", "3_1", "4_1")


def test_vgg16_has_three_convolutions_in_a_block() -> None:
    names = ("1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1")
    numbers = (0, 2, 5, 7, 10, 12, 14, 17)  # torchvision's
    state = true_state()
    plain = {f"conv{n}.{k}": state[f"conv{n}.{k}"] for n in names for k in ("weight", "bias")}
    torchvision = {
        f"features.{number}.{k}": state[f"conv{n}.{k}"]
        for n, number in zip(names, numbers, strict=True)
        for k in ("weight", "bias")
    }
    ours, theirs = Vgg(plain), Vgg(torchvision)
    assert ours.layers == theirs.layers == relu(*names)
    found, expected = (network(picture(64), relu("3_3", "4_1")) for network in (ours, theirs))
    torch.testing.assert_close(found, expected)
    nineteen = Vgg(state, zero_padding=True)(picture(64), relu("3_3", "4_1"))
    torch.testing.assert_close(found["relu3_3"], nineteen["relu3_3"])
    assert not torch.allclose(found["relu4_1"], nineteen["relu4_1"])


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"not the weights of VGG.*fc\.weight"):
        Vgg({"fc.weight": torch.zeros(1)})


def test_missing_layer_is_named() -> None:
    with pytest.raises(TrainingError, match="has the layer relu4_1") as caught:
        Features([Vgg(true_state(layers=5))], relu("1_1", "4_1"))
    assert caught.value.setting == "features"


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_files_load(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    state = {key: value.half() for key, value in true_state().items()}
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    found = Features(load_networks([path]), relu("3_1"))(picture(64))["relu3_1"]
    floats = {key: value.float() for key, value in state.items()}
    expected = Vgg(floats, zero_padding=True)(picture(64), relu("3_1"))["relu3_1"]
    assert torch.equal(found, expected)
    reflected = Vgg(floats)(picture(64), relu("3_1"))["relu3_1"]
    assert not torch.equal(found[..., 0], reflected[..., 0])
    inner = (slice(None), slice(None), slice(6, -6), slice(6, -6))  # beyond the border's reach
    torch.testing.assert_close(found[inner], reflected[inner])


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_unreadable_files_are_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(TrainingError, match=f"there is no file .*{name}"):
        Features(load_networks([path]), relu("1_1"))
    path.write_bytes(b"\x80\x02 nothing of the kind" * 20)
    with pytest.raises(TrainingError, match=f"{name} cannot be read as network weights"):
        Features(load_networks([path]), relu("1_1"))


def test_other_networks_are_named(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"fc.weight": torch.zeros(1)}, path)
    with pytest.raises(TrainingError, match=r"other\.safetensors: these are not the weights"):
        Features(load_networks([path]), relu("1_1"))


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_pickles_are_not_run(tmp_path: Path) -> None:
    path, sprung = tmp_path / "evil.pth", tmp_path / "sprung"
    torch.save({"features.0.weight": Trap(sprung)}, path)
    with pytest.raises(TrainingError, match="cannot be read"):
        Features(load_networks([path]), relu("1_1"))
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists()  # the trap works


@dataclass
class Server:
    url: str
    close: Callable[[], None]
    requests: list[str] = field(default_factory=list)


WEIGHTS = b"weights " * 1000
WEIGHTS_SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    requests: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            if self.path != "/vgg19.pth":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(WEIGHTS)))
            self.end_headers()
            self.wfile.write(WEIGHTS)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()

        def close() -> None:
            httpd.shutdown()
            thread.join()
            httpd.server_close()

        yield Server(f"http://127.0.0.1:{httpd.server_port}/vgg19.pth", close, requests)
        close()


def test_weights_are_fetched_once(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    for _ in range(2):
        path = fetch_vgg19(server.url, folder, WEIGHTS_SHA256[:8])
        assert path.read_bytes() == WEIGHTS
    assert list(folder.iterdir()) == [path]
    assert server.requests == ["/vgg19.pth"]


def test_weights_with_another_hash_are_not_kept(server: Server, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="cannot be downloaded") as caught:
        fetch_vgg19(server.url, tmp_path, "0000beef")
    assert caught.value.setting == "features"
    assert server.requests == ["/vgg19.pth"]
    assert not list(tmp_path.iterdir())


def test_missing_weights_say_what_to_do(server: Server, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"404.*another way") as caught:
        fetch_vgg19(server.url.replace("vgg19", "vgg99"), tmp_path, WEIGHTS_SHA256[:8])
    assert caught.value.setting == "features"
    assert not list(tmp_path.iterdir())


def test_no_server_says_what_to_do(server: Server, tmp_path: Path) -> None:
    server.close()
    with pytest.raises(TrainingError, match=r"cannot be downloaded from http.*another way") as no:
        fetch_vgg19(server.url, tmp_path, WEIGHTS_SHA256[:8])
    assert no.value.setting == "features"
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not PERCEPTUAL.is_dir(), reason="no ../shared/data/perceptual here")
def test_real_networks_see_a_picture() -> None:
    names = ("vgg19_normalised_relu3_1", "vgg19_cd16x_small_relu5_1", "vgg16_ssd300voc_relu3_3")
    paths = [PERCEPTUAL / f"{name}.fp32.safetensors" for name in names]
    features = Features(load_networks(paths), relu("1_1", "2_1", "3_1", "3_3", "4_1"))(picture(160))
    widths = {layer: value.shape[1] for layer, value in features.items()}
    assert widths == {"relu1_1": 64, "relu2_1": 128, "relu3_1": 256, "relu3_3": 256, "relu4_1": 512}
    means = {k: value.mean().item() for k, value in features.items() if k != "relu3_3"}
    assert means == {layer: pytest.approx(1, abs=0.8) for layer in means}  # channel-normalised


def test_wrong_shapes_are_named(tmp_path: Path) -> None:
    state = true_state()
    state["conv2_1.weight"] = torch.zeros(WIDTH, WIDTH + 1, 3, 3)
    save_file(state, tmp_path / "odd.safetensors")
    with pytest.raises(TrainingError, match=r"odd\.safetensors: conv2_1 has weights of \(6, 7, 3"):
        Features(load_networks([tmp_path / "odd.safetensors"]), relu("1_1"))
    state = true_state()
    state["conv1_2.weight"][0, 0, 0, 0] = float("nan")
    save_file(state, tmp_path / "nan.safetensors")
    with pytest.raises(TrainingError, match="conv1_2 has weights that are NaN"):
        Features(load_networks([tmp_path / "nan.safetensors"]), relu("1_1"))


def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    torch.save(torchvision_state(true_state()), tmp_path / "weights.pth")
    data = (tmp_path / "weights.pth").read_bytes()
    named = tmp_path / f"vgg19-{hashlib.sha256(data).hexdigest()[:8]}.pth"
    named.write_bytes(data)
    Features(load_networks([named]), relu("1_1"))
    (tmp_path / "vgg19-01234567.pth").write_bytes(data)
    with pytest.raises(TrainingError, match=r"is damaged: .* not with 01234567"):
        Features(load_networks([tmp_path / "vgg19-01234567.pth"]), relu("1_1"))
