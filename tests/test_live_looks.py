"""Looks that load while another one paints, and the stage that uses them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import affine_style
from live_fakes import frame, live_stage, wait_until

from realtime_style.color import ColorSpace
from realtime_style.errors import StyleError
from realtime_style.frame import Size
from realtime_style.live.look_loader import LookLoader
from realtime_style.painting.chain import load_stylizer
from realtime_style.painting.plan import PaintPlan
from realtime_style.painting.stylizer import Stylizer
from realtime_style.style.look import Look

COLOR = ColorSpace()
STYLES = ["a", "b", "c", "d", "e"]


class Network:
    """Stands for a loaded stylizer."""

    def __init__(self, look: Look, color: ColorSpace) -> None:
        self.look, self.color, self.prepared = look, color, []

    def prepare(self, size: tuple[int, int]) -> None:
        self.prepared.append(size)


class Loads:
    """Loads stubs, and remembers of what; `fails` are styles that cannot be loaded.

    Loading on the loader's own thread waits until the gate is open.
    """

    def __init__(self, **fails: Exception) -> None:
        self.looks: list[Look] = []
        self.networks: list[Network] = []
        self.gate = threading.Event()
        self.gate.set()
        self._fails = fails

    def __call__(self, plan: PaintPlan, color: ColorSpace) -> Any:
        self.looks.append(plan.look)
        if threading.current_thread().name == "looks":
            self.gate.wait(30)
        if error := self._fails.get(str(plan.look.style)):
            raise error
        self.networks.append(Network(plan.look, color))
        return self.networks[-1]


@pytest.fixture
def loaders() -> Iterator[list[LookLoader]]:
    made: list[LookLoader] = []
    yield made
    for loader in made:
        assert loader.close(10)


def loader_of(loaders: list[LookLoader], loads: Loads, settle_s: float = 0.0) -> LookLoader:
    loader = LookLoader(STYLES, PaintPlan(Look("a")), loads, settle_s)
    loaders.append(loader)
    loader.load_for(COLOR)
    return loader


def now(loader: LookLoader) -> Look:
    return loader.current((64, 48))[0]


def test_the_other_styles_are_loaded_ahead_the_nearest_first(loaders: list[LookLoader]) -> None:
    loads = Loads()
    loader_of(loaders, loads)
    wait_until(lambda: len(loads.looks) == 5)
    assert [look.style for look in loads.looks] == ["a", "b", "e", "c", "d"]


def test_the_previous_look_paints_until_the_wanted_one_is_ready(loaders: list[LookLoader]) -> None:
    loads = Loads()
    loader = loader_of(loaders, loads, settle_s=30)
    loads.gate.clear()
    loader.want(Look("c"))
    wait_until(lambda: len(loads.looks) == 2)
    assert now(loader) == Look("a")
    assert loader.wanted == Look("c")
    loader.want(Look("d"))
    loader.want(Look("e"))  # of several only the last is loaded
    loads.gate.set()
    wait_until(lambda: now(loader) == Look("e"))
    assert [look.style for look in loads.looks] == ["a", "c", "e"]
    assert loads.networks[-1].prepared == [(64, 48)]


def test_looks_that_nobody_asked_for_have_to_wait(loaders: list[LookLoader]) -> None:
    loads = Loads()
    loader = loader_of(loaders, loads, settle_s=30)
    loader.want(Look("d"))
    wait_until(lambda: now(loader) == Look("d"))
    assert [look.style for look in loads.looks] == ["a", "d"]


def test_keeping_colors_needs_no_loading(loaders: list[LookLoader]) -> None:
    loads = Loads()
    loader = loader_of(loaders, loads, settle_s=30)
    time.sleep(0.1)  # by now the thread waits before it loads another style
    kept = Look("a", keep_colors=True)
    loader.want(kept)
    assert now(loader) == kept
    time.sleep(0.1)  # a wish must not end that wait
    assert loads.looks == [Look("a")]


def test_looks_go_on_being_loaded_when_a_wish_is_taken_back(
    loaders: list[LookLoader], monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = Loads()
    loader = loader_of(loaders, loads)
    wait_until(lambda: len(loads.looks) == 5)  # the thread has nothing to do now
    settling = threading.Event()
    wait = loader._changed.wait

    def noted(timeout_s: float | None = None) -> bool:
        if timeout_s is not None:
            settling.set()
        return wait(timeout_s)

    monkeypatch.setattr(loader._changed, "wait", noted)
    monkeypatch.setattr(loader, "_settle_s", 30)
    loader.want(replace(Look("a"), strength=0.9))
    wait_until(lambda: now(loader).strength == 0.9)
    assert settling.wait(30)
    loader.want(Look("a"))  # while the neighbours of that look wait to be loaded
    loader.want(replace(Look("a"), strength=0.5))
    wait_until(lambda: now(loader).strength == 0.5)
    assert [look.strength for look in loads.looks] == [1, 1, 1, 1, 1, 0.9, 0.5]


@pytest.mark.parametrize("error", [StyleError("it is bad"), RuntimeError("a driver fell over")])
def test_the_thread_outlives_any_error(loaders: list[LookLoader], error: Exception) -> None:
    loads = Loads(b=error)
    loader = loader_of(loaders, loads, settle_s=30)
    loader.want_style(1)
    wait_until(lambda: loader.failure)
    assert loader.failure
    assert loader.failure.text == f"b: {error}"
    assert loader.wanted == Look("a")
    loader.want_style(2)
    assert loader.failure is None
    wait_until(lambda: now(loader) == Look("c"))
    loader.want_style(1)  # known to fail: nothing is tried again
    assert loader.failure
    assert loader.wanted == Look("c")
    assert [look.style for look in loads.looks] == ["a", "b", "c"]


def test_a_failure_ahead_of_its_time_is_no_trouble_yet(loaders: list[LookLoader]) -> None:
    loads = Loads(b=StyleError("it is bad"))
    loader = loader_of(loaders, loads)
    wait_until(lambda: len(loads.looks) == 5)
    assert loader.failure is None


def test_another_color_space_loads_again(loaders: list[LookLoader]) -> None:
    loads = Loads()
    loader = loader_of(loaders, loads, settle_s=30)
    loader.load_for(COLOR)
    assert len(loads.looks) == 1
    loader.load_for(replace(COLOR, range=2 if COLOR.range != 2 else 1))
    assert [look.style for look in loads.looks] == ["a", "a"]
    assert loader.stylizer() is loads.networks[-1]


def test_a_network_for_the_previous_color_space_is_not_used(loaders: list[LookLoader]) -> None:
    loads = Loads()
    loader = loader_of(loaders, loads, settle_s=30)
    loads.gate.clear()
    loader.want(Look("b"))
    wait_until(lambda: len(loads.looks) == 2)  # it is being loaded for the previous one
    loader.load_for(replace(COLOR, range=2))
    loads.gate.set()
    assert loader.close(10)  # with that network
    assert len(loads.networks) == 3
    network = loader.stylizer()
    assert isinstance(network, Network)
    assert (network.look, network.color.range) == (Look("b"), 2)


def test_long_unused_looks_are_freed(loaders: list[LookLoader]) -> None:
    loads = Loads()
    loader = loader_of(loaders, loads, settle_s=30)
    for step in range(1, 15):
        look = Look("a", strength=step / 10)
        loader.want(look)
        wait_until(lambda look=look: now(loader) == look)
    assert len(loader._loaded) == len(STYLES) + 4


def test_closing_does_not_wait_for_a_load_that_does_not_end() -> None:
    loads = Loads()
    loader = LookLoader(STYLES, PaintPlan(Look("a")), loads, 0)
    assert loader.close(1)  # never started
    loader = LookLoader(STYLES, PaintPlan(Look("a")), loads, 30)
    loader.load_for(COLOR)
    loads.gate.clear()
    loader.want(Look("b"))
    wait_until(lambda: len(loads.looks) == 2)
    assert not loader.close(0.05)
    loads.gate.set()
    assert loader.close(10)


# The stage ------------------------------------------------------------------------------------


def test_styles_without_a_fast_tier_are_chosen_in_their_own() -> None:
    stage = live_stage(["great-wave", "my.onnx", "mondrian"])
    stage.choose_look(Look("great-wave", tier="fast"))
    stage.choose(2)
    assert stage.look == Look("mondrian", tier="fast")
    stage.choose(1)
    assert stage.look == Look("my.onnx")


def test_kept_colors_are_those_of_the_camera(tmp_path: Path) -> None:
    """By a style that paints everything grey, whose chroma is 128."""
    style = tmp_path / "grey.onnx"
    style.write_bytes(affine_style(0.0, 90.0, name="grey"))
    networks: list[Stylizer] = []

    def load(plan: PaintPlan, color: ColorSpace) -> Stylizer:
        networks.append(load_stylizer(plan, color))
        return networks[-1]

    stage = live_stage([str(style)], load=load)
    colored = frame()
    colored.chroma[...] = 77
    stage.choose_look(Look(str(style), keep_colors=True))
    shot = stage(colored)
    assert int(shot.painted.luma.mean()) == 90
    assert int(shot.painted.chroma.mean()) == 77
    stage.choose_look(Look(str(style)))
    assert stage(colored).look == Look(str(style))
    assert stage.close(10)
    assert len(networks) == 1


def test_the_size_follows_the_time_for_a_frame(tmp_path: Path) -> None:
    style = tmp_path / "identity.onnx"
    style.write_bytes(affine_style(name="identity"))
    sizes = {}
    for interval_s in (1e-9, 100.0):
        stage = live_stage([str(style)])
        stage.prepare(COLOR, interval_s)
        shots = [stage(frame(size=(512, 384))) for _ in range(8)]
        sizes[interval_s] = (shots[-1].painted.width, shots[-1].painted.height)
        assert stage.close(10)
    assert sizes == {1e-9: (480, 360), 100.0: (512, 384)}


@pytest.mark.parametrize(
    ("least", "size"),
    [(Size(96), (128, 96)), (Size(360, 200), (264, 200)), (Size(720), (512, 384))],
)
def test_no_size_is_smaller_than_the_smallest(
    tmp_path: Path, least: Size, size: tuple[int, int]
) -> None:
    style = tmp_path / "identity.onnx"
    style.write_bytes(affine_style(name="identity"))
    stage = live_stage([str(style)], min_size=least)
    stage.prepare(COLOR, 1e-9)
    shots = [stage(frame(size=(512, 384))) for _ in range(8)]
    assert (shots[-1].painted.width, shots[-1].painted.height) == size
    assert stage.close(10)


def test_a_size_that_was_asked_for_stays(tmp_path: Path) -> None:
    style = tmp_path / "identity.onnx"
    style.write_bytes(affine_style(name="identity"))
    stage = live_stage([str(style)], size=Size(96))
    stage.prepare(COLOR, 1e-9)
    shots = [stage(frame(size=(512, 384))) for _ in range(8)]
    assert {(shot.painted.width, shot.painted.height) for shot in shots} == {(128, 96)}
    assert stage.close(10)
