from __future__ import annotations

import json
import math
import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from conftest import make_film, painter_of, run_cli, scene_rgb
from PIL import Image

from realtime_style import Look, bundled_styles
from realtime_style.color import FULL, ColorSpace
from realtime_style.engines.registry import available_engines
from realtime_style.errors import StyleFileError
from realtime_style.frame import Frame
from realtime_style.media.scaling import frame_from_rgb
from realtime_style.style.bundled import TIERS, open_style
from realtime_style.style.reading import parse_style

ENGINE = "onnxruntime" if "onnxruntime" in available_engines() else "auto"  # it loads faster
FRAME = frame_from_rgb(scene_rgb(160, 120, 1.0), ColorSpace())


@cache
def painted(look: Look) -> Frame:
    """FRAME in a look; it must not be changed."""
    return painter_of(look, engine=ENGINE, precision="f32", color=FRAME.color)(FRAME)


def psnr_db(a: Frame, b: Frame) -> float:
    error = float(np.square(a.i420.astype(float) - b.i420).mean())
    return 10 * math.log10(255**2 / error) if error else math.inf


ALL = [(style, tier) for tier in TIERS for style in bundled_styles(tier)]


@pytest.mark.parametrize(("style", "tier"), ALL)
def test_strength_0_is_the_film_and_strength_1_the_style(style: str, tier: str) -> None:
    assert np.array_equal(painted(Look(style, strength=0, tier=tier)).i420, FRAME.i420)
    whole = painter_of(open_style(style, tier), engine=ENGINE, precision="f32", color=FRAME.color)
    assert np.array_equal(painted(Look(style, strength=1, tier=tier)).i420, whole(FRAME).i420)


@pytest.mark.parametrize(("style", "tier"), ALL)
def test_more_strength_is_farther_from_the_film(style: str, tier: str) -> None:
    by_quarters = [painted(Look(style, strength=s / 4, tier=tier)) for s in range(7)]
    to_film = [psnr_db(frame, FRAME) for frame in by_quarters[:5]]
    assert to_film == sorted(to_film, reverse=True), to_film
    assert to_film[2] - to_film[4] > 0.5  # half strength is not yet the style
    to_style = [psnr_db(frame, by_quarters[4]) for frame in by_quarters[5:]]
    assert 45 > to_style[0] > to_style[1] > 10


def test_values_inside_a_network_may_have_any_names() -> None:
    style = open_style("great-wave")
    other = style.renamed("other")
    nodes = other.model.graph.node
    inner = {name for node in nodes for name in node.output} - {
        output.name for output in other.model.graph.output
    }
    for node in nodes:
        for names in (node.input, node.output):
            names[:] = [f"{name}.new" if name in inner else name for name in names]
    ours, theirs = (painted.__wrapped__(Look(each, strength=0.5)) for each in (style, other))
    assert np.array_equal(ours.i420, theirs.i420)
    for attribute in next(node for node in nodes if node.op_type == "SpaceToDepth").attribute:
        attribute.i = 1
    with pytest.raises(StyleFileError, match="another shape"):
        Look(style, strength=0.5, blend={"mondrian": 0.5}).mixed(
            lambda name, tier: other if name == "mondrian" else open_style(name, tier)
        )


def test_the_tier_is_described_and_checked() -> None:
    assert str(Look("starry-night", tier="fast")) == "starry-night, fast tier"
    with pytest.raises(StyleFileError, match="no tier 'quick'; choose standard, fast"):
        Look(tier="quick")


def test_the_fast_tier_paints_nearly_the_same() -> None:
    standard, fast, other = (
        painted(look) for look in (Look(), Look(tier="fast"), Look("great-wave"))
    )
    assert psnr_db(standard, fast) > psnr_db(standard, other) + 2


def test_a_blend_is_the_same_from_both_ends() -> None:
    one = Look("starry-night", {"great-wave": 0.4}).mixed().weights()
    other = Look("great-wave", {"starry-night": 0.6}).mixed().weights()
    for name, weight in one.items():
        np.testing.assert_allclose(weight, other[name], rtol=2e-3, atol=1e-6)


def test_shares_of_0_and_1_are_the_styles_themselves() -> None:
    wave, night = (open_style(name).weights() for name in ("great-wave", "starry-night"))
    none = Look("great-wave", {"starry-night": 0.0}).mixed().weights()
    whole = Look("great-wave", {"starry-night": 1.0}).mixed().weights()
    for name in wave:
        assert np.array_equal(none[name], wave[name])
        assert np.array_equal(whole[name], night[name])


def test_a_blend_lies_between_its_styles() -> None:
    wave, night = painted(Look("great-wave")), painted(Look("starry-night"))
    half = painted(Look("great-wave", {"starry-night": 0.5}))
    assert psnr_db(half, wave) > psnr_db(night, wave)
    assert psnr_db(half, night) > psnr_db(wave, night)


def test_each_number_is_a_variation_of_its_own() -> None:
    first, again = (painted.__wrapped__(Look(variation=3)).i420 for _ in range(2))
    assert np.array_equal(first, again)
    other, style = painted(Look(variation=4)), painted(Look())
    assert 10 < psnr_db(painted(Look(variation=3)), other) < 30
    assert 10 < psnr_db(painted(Look(variation=3)), style) < 30
    assert np.array_equal(painted(Look(variation=3, strength=0)).i420, FRAME.i420)


def test_a_variation_changes_the_gains_of_the_trunk_only() -> None:
    style = open_style("starry-night")
    own, varied = style.weights(), Look(style, variation=3).mixed().weights()
    gains = []
    for name, weight in own.items():
        if not name.startswith("body.blocks.") or ".first." not in name:
            assert np.array_equal(varied[name], weight)
        elif name.endswith(".weight"):
            ratio = np.abs(varied[name]).sum((1, 2, 3)) / np.abs(weight).sum((1, 2, 3))
            bias = name.removesuffix("weight") + "bias"
            np.testing.assert_allclose(varied[bias], own[bias] * ratio, rtol=3e-3, atol=1e-5)
            gains.append(np.log(ratio))
    assert 0.55 < np.concatenate(gains).std() < 0.65


def test_kept_colours_are_those_of_the_film() -> None:
    plain, kept = painted(Look()), painted(Look(keep_colors=True))
    assert np.array_equal(kept.chroma, FRAME.chroma)
    assert np.array_equal(kept.luma, plain.luma)
    assert not np.array_equal(plain.chroma, FRAME.chroma)


def test_strokes_have_names_and_sizes() -> None:
    assert Look(strokes="large").strokes == Look(strokes="1.5").strokes == 1.5
    assert Look(strokes="medium") == Look()
    assert str(Look("mondrian", strokes="small")) == "mondrian, small strokes"
    assert str(Look("mondrian", strokes=1.2)) == "mondrian, 1.2x strokes"
    for wrong in ("huge", "", "nan", "0", 5.0, -1.0):
        with pytest.raises(StyleFileError, match="strokes") as caught:
            Look(strokes=wrong)
        assert caught.value.setting == "strokes"


def test_a_blend_names_its_parts() -> None:
    mixed = Look("great-wave", {"mondrian": 0.25}, strength=0.5, variation=7).mixed()
    assert mixed.name == "great-wave+mondrian"
    made = mixed.card["made"]
    assert made["shares"] == [0.75, 0.25]
    assert made["strength"] == 0.5
    assert made["variation"] == 7
    assert made["of"]["mondrian"]["painter"] == "Piet Mondrian"
    assert json.loads(json.dumps(mixed.card)) == mixed.card
    assert str(Look("great-wave", {"mondrian": 0.25}, 0.5, 7, True)) == (
        "great-wave 75% + mondrian 25%, strength 0.5, variation 7, the film's colours"
    )


def test_no_bundled_style_is_changed_by_mixing() -> None:
    style = open_style("great-wave")
    before = style.model.SerializeToString()
    Look(style, {"mondrian": 0.5}, strength=0.3, variation=1).mixed()
    assert style.model.SerializeToString() == before


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (lambda: Look(strength=1.6), "strength must be from 0 to 1.5, not 1.6"),
        (lambda: Look(strength=math.nan), "strength must be from 0 to 1.5, not nan"),
        (lambda: Look(blend={"mondrian": -0.1}), "share of mondrian must be from 0 to 1, not -0.1"),
        (
            lambda: Look(blend={"mondrian": 0.7, "great-wave": 0.5}),
            "add up to 1.2; they may have at",
        ),
        (lambda: Look(variation=-1), "variations are numbered from 0 up"),
        (lambda: Look(blend={"mona-lisa": 0.5}).mixed(), "there is no style 'mona-lisa'"),
    ],
)
def test_values_out_of_range_are_refused(look: object, words: str) -> None:
    assert callable(look)
    with pytest.raises(StyleFileError, match=words):
        look()


def test_styles_that_cannot_be_blended_are_named_with_the_reason(identity_style: Path) -> None:
    with pytest.raises(StyleFileError, match=r"identity .* starry-night: .* another shape"):
        Look(blend={identity_style: 0.5}).mixed()
    night = open_style("starry-night")
    random = np.random.default_rng(0)
    strange = {n: random.standard_normal(w.shape) * w.std() for n, w in night.weights().items()}
    stranger = night.with_weights(strange, "stranger", {}, None)
    with pytest.raises(
        StyleFileError, match=r"starry-night cannot be mixed with stranger: .* another base"
    ):
        Look(stranger, {"starry-night": 0.5}).mixed()


def test_styles_of_different_colour_spaces_are_not_blended(tmp_path: Path) -> None:
    night = open_style("starry-night")
    from dataclasses import replace

    other = replace(night, color=ColorSpace(night.color.matrix, FULL), name="bright")
    with pytest.raises(StyleFileError, match="another colour space"):
        Look(other, {"great-wave": 0.5}).mixed()


def test_any_style_file_has_a_strength(negative_style: Path) -> None:
    middle = painted(Look(negative_style, strength=0.5)).luma.astype(int)
    assert np.abs(middle - 127.5).max() <= 1  # halfway from each value to its negative


def test_video_takes_a_look(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4", size=(96, 64))
    out = tmp_path / "out.mp4"
    result = run_cli(
        "video", film, out, "--style", "great-wave", "--blend", "mondrian:0.3", "--strength", "0.8",
        "--keep-colors", "--variation", "2", "--json",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["look"] == (
        "great-wave 70% + mondrian 30%, strength 0.8, variation 2, the film's colours"
    )
    with av.open(str(out)) as painted_film:
        chroma = next(painted_film.decode(video=0)).to_ndarray()[64:]
    assert np.abs(chroma.astype(int) - 128).max() <= 6  # the film is grey


def test_image_takes_a_look(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(scene_rgb(256, 192, 1.0)).save(photo)
    errors = []
    for strength in ("0", "1"):
        out = tmp_path / f"{strength}.png"
        result = run_cli("image", photo, out, "--strength", strength, "--json")
        assert result.returncode == 0, result.stderr
        before, after = (np.asarray(Image.open(path), float) for path in (photo, out))
        errors.append(np.sqrt(np.square(before - after).mean()))
    assert errors[0] < errors[1] / 3


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--blend", "great-wave"], 2, "STYLE:SHARE"),
        (["--blend", "great-wave:much"], 2, "STYLE:SHARE"),
        (["--strength", "2"], 2, "from 0 to 1.5"),
        (["--blend", "great-wave:1.4"], 2, "great-wave must be from 0 to 1"),
        (["--blend", "nothing:0.4"], 1, "there is no style 'nothing'"),
    ],
)
def test_the_command_line_refuses_values_out_of_range(
    tmp_path: Path, film: Path, options: list[str], status: int, words: str
) -> None:
    result = run_cli("video", film, tmp_path / "out.mp4", *options)
    assert result.returncode == status, result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["film.mp4"]


def test_a_picture_from_noise(tmp_path: Path) -> None:
    results = [
        run_cli("image", "--from-noise", seed, "--size", "200x150", tmp_path / f"{name}.png", "-q")
        for name, seed in (("one", "1"), ("again", "1"), ("other", "2"))
    ]
    assert [r.returncode for r in results] == [0, 0, 0], results[0].stderr
    one, again, other = (
        np.asarray(Image.open(tmp_path / f"{name}.png")).astype(float)
        for name in ("one", "again", "other")
    )
    assert one.shape == (150, 200, 3)
    assert np.array_equal(one, again)
    assert np.abs(one - other).mean() > 10
    assert one.std() > 20


@pytest.mark.parametrize(
    "arguments",
    [["in.png", "out.png", "--from-noise", "1"], ["out.png"]],
)
def test_from_noise_has_no_input(tmp_path: Path, arguments: list[str]) -> None:
    result = run_cli("image", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert not list(tmp_path.iterdir())


def test_a_blend_is_saved_as_a_style_file(tmp_path: Path) -> None:
    out = tmp_path / "mine.onnx"
    arguments = "style-from", "great-wave", out, "--blend", "mondrian:0.25", "--strength", "0.9"
    result = run_cli(*arguments, "--json")
    assert result.returncode == 0, result.stderr
    kept = open_style(out)
    assert kept.name == "mine"
    assert kept.card["made"]["strength"] == 0.9
    assert list(kept.card["made"]["of"]) == ["great-wave", "mondrian"]
    mixed = painted(Look("great-wave", {"mondrian": 0.25}, 0.9))
    assert psnr_db(painted(Look(out)), mixed) > 40 or np.array_equal(
        painted(Look(out)).i420, mixed.i420
    )
    again = run_cli(*arguments)
    assert again.returncode == 1
    assert "--overwrite" in again.stderr


def opened_looks() -> list[Look]:
    style = open_style("great-wave")
    return [Look(style), Look(style, {"mondrian": 0.25}, 0.5, 7, True), Look(style.renamed("mine"))]


def test_looks_are_values() -> None:
    looks = [Look(), Look("mondrian"), Look(blend={"mondrian": 0.2}), *opened_looks()]
    again = [Look(), Look("mondrian"), Look(blend=[("mondrian", 0.2)]), *opened_looks()]
    assert looks == again
    assert [hash(look) for look in looks] == [hash(look) for look in again]
    assert len(set(looks)) == len(looks)
    assert Look(Path("some") / "style.onnx") == Look("some/style.onnx")
    assert Look(blend={"mondrian": 0.2}).blend == (("mondrian", 0.2),)


def test_the_hash_of_a_style_is_that_of_its_content() -> None:
    style = open_style("great-wave")
    weights = {"body.down.bias": style.weights()["body.down.bias"] + 1}
    others = [
        style.renamed("other"),
        style.with_weights(weights, style.name, style.card, style.ranges),
        style.with_weights({}, style.name, style.card | {"year": 1}, style.ranges),
    ]
    assert len({hash(each) for each in (style, *others)}) == 4
    assert style.digest == parse_style(style.model.SerializeToString()).digest


def _digest_of(look: Look) -> tuple[int, str]:
    return os.getpid(), look.mixed().digest


def test_a_look_travels_to_another_process_with_its_opened_style() -> None:
    looks = opened_looks()
    for look in looks:
        assert pickle.loads(pickle.dumps(look)) == look
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as workers:
        found = list(workers.map(_digest_of, looks))
    assert os.getpid() not in [process for process, _ in found]
    assert [digest for _, digest in found] == [look.mixed().digest for look in looks]


@pytest.mark.parametrize(
    "look",
    [
        Look(),
        Look("great-wave", {"mondrian": 0.25, "some/mine.onnx": 0.1}, 0.5, 7, True, "fast", 1.2),
        Look(Path("some/style.onnx"), variation=0),
    ],
    ids=str,
)
def test_a_look_is_stored_as_json(look: Look) -> None:
    assert Look.from_json(look.as_json()) == look
    assert Look.from_dict(json.loads(json.dumps(look.as_dict()))) == look


def test_a_stored_look_may_leave_values_out() -> None:
    assert Look.from_json('{"style": "mondrian"}') == Look("mondrian")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a look in JSON"),
        ("[" * 100_000, "not a look in JSON"),
        ("[1]", "must be a JSON object"),
        ('{"colour": 1}', "a look has no value 'colour'; it has style, blend"),
        ('{"style": 3}', "style cannot be 3"),
        ('{"style": null}', "style cannot be None"),
        ('{"strength": "much"}', "strength cannot be 'much'"),
        ('{"strength": true}', "strength cannot be True"),
        ('{"keep_colors": "no"}', "keep_colors cannot be 'no'"),
        ('{"variation": 1.5}', "variation cannot be 1.5"),
        ('{"strength": NaN}', "strength must be from 0 to 1.5, not nan"),
        ('{"strength": 2}', "strength must be from 0 to 1.5, not 2"),
        ('{"blend": 1}', "blend cannot be 1"),
        ('{"blend": [["mondrian"]]}', "not a look"),
        ('{"blend": [["mondrian", "much"]]}', "not a look"),
        ('{"blend": [[3, 0.5]]}', "not a look"),
        ('{"blend": [["mondrian", 2]]}', "share of mondrian must be from 0 to 1"),
        ('{"variation": "x"}', "variation cannot be 'x'"),
        ('{"tier": null}', "tier cannot be None"),
        ('{"tier": "quick"}', "no tier 'quick'"),
    ],
)
def test_text_that_is_not_a_look_is_refused(text: str, words: str) -> None:
    with pytest.raises(StyleFileError, match=words):
        Look.from_json(text)


def test_an_opened_style_is_not_stored_as_json() -> None:
    with pytest.raises(StyleFileError, match="'great-wave' cannot be stored in JSON; save it"):
        opened_looks()[0].as_json()


def test_a_style_has_one_share_in_a_blend() -> None:
    with pytest.raises(StyleFileError, match="mondrian has two shares"):
        Look(blend=[("mondrian", 0.2), ("mondrian", 0.3)])


@pytest.mark.parametrize(
    ("values", "setting"),
    [
        ({"strength": 2}, "strength"),
        ({"blend": {"mondrian": 2}}, "blend"),
        ({"blend": {"mondrian": 0.7, "great-wave": 0.7}}, "blend"),
        ({"variation": -1}, "variation"),
        ({"tier": "quick"}, "tier"),
        ({"style": "mona-lisa"}, "style"),
        ({"style": "nothere.onnx"}, "style"),
        ({"style": ""}, "style"),
    ],
)
def test_an_error_names_its_setting(values: dict[str, Any], setting: str) -> None:
    with pytest.raises(StyleFileError) as caught:
        Look(**values).mixed()
    assert caught.value.setting == setting
    assert "--" not in str(caught.value)
