"""A request for a film is a value: checked when made, stored as JSON, sent to other processes."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from realtime_style.engines.choice import EngineChoice
from realtime_style.errors import StyleError
from realtime_style.frame import Size
from realtime_style.jobs.film import FilmRequest
from realtime_style.media.encoding import Encoding
from realtime_style.painting.plan import MaskPlan, PaintPlan
from realtime_style.style.bundled import open_style
from realtime_style.style.look import Look

FULL = FilmRequest(
    "in.mp4",
    "out.mp4",
    PaintPlan(
        Look("great-wave", {"mondrian": 0.25}, strength=0.8, variation=3, keep_colors=True),
        EngineChoice("openvino", "f32", (0,)),
        stability=0.75,
        grain=False,
        mask=MaskPlan("person", "#00b140"),
    ),
    size=Size(720),
    output_size=Size(360, 640),
    start_s=1.5,
    duration_s=2.25,
    rate=Fraction(30000, 1001),
    encoding=Encoding("h265", 21.5, "fast", 10),
    hwaccel="qsv",
    overwrite=True,
)


@pytest.mark.parametrize("request_", [FilmRequest("a.mp4", "b.mp4"), FULL])
def test_json_and_pickle_return_the_same_request(request_: FilmRequest) -> None:
    for copy in (FilmRequest.from_json(request_.as_json()), pickle.loads(pickle.dumps(request_))):
        assert copy == request_
        assert hash(copy) == hash(request_)
    assert {request_: 1}[FilmRequest.from_json(request_.as_json())] == 1


def test_requests_that_differ_anywhere_are_not_equal() -> None:
    changes: dict[str, Any] = {
        "source": "x", "out": "x", "plan": PaintPlan(), "size": None, "output_size": None,
        "start_s": 0.0, "duration_s": None, "rate": None, "encoding": Encoding(), "hwaccel": None,
        "overwrite": False,
    }  # fmt: skip
    for name, value in changes.items():
        assert replace(FULL, **{name: value}) != FULL, name


def test_paths_are_taken_as_text() -> None:
    request = FilmRequest(Path("films") / "in.mp4", Path("out.mp4"))  # type: ignore[arg-type]
    assert (request.source, request.out) == (str(Path("films") / "in.mp4"), "out.mp4")


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("start_s", {"start_s": -1.0}),
        ("start_s", {"start_s": math.nan}),
        ("duration_s", {"duration_s": 0.0}),
        ("duration_s", {"duration_s": math.inf}),
        ("rate", {"rate": Fraction(0)}),
        ("residency", {"residency": "disk"}),
        ("size", {"residency": "gpu", "size": Size(720)}),
        ("bit_depth", {"residency": "gpu", "encoding": Encoding(bit_depth=10)}),
        ("hwaccel", {"residency": "gpu", "hwaccel": "cuda"}),
        ("devices", {"residency": "gpu", "plan": PaintPlan(engine=EngineChoice(devices=(0, 1)))}),
        ("only", {"residency": "gpu", "plan": PaintPlan(mask=MaskPlan())}),
        ("engine", {"residency": "gpu", "plan": PaintPlan(engine=EngineChoice("openvino"))}),
    ],
)
def test_what_is_out_of_range_is_refused_and_named(setting: str, values: dict[str, Any]) -> None:
    with pytest.raises(StyleError) as error:
        FilmRequest("in.mp4", "out.mp4", **values)
    assert error.value.setting == setting
    assert "--" not in str(error.value)


@pytest.mark.parametrize(
    ("setting", "make"),
    [
        ("stability", lambda: PaintPlan(stability=1.1)),
        ("only", lambda: MaskPlan("cat")),
        ("background", lambda: MaskPlan("person", "sunset")),
        ("background", lambda: MaskPlan("person", "#00b14080")),
        ("background", lambda: MaskPlan("background", "blur")),
        ("engine", lambda: EngineChoice("abacus")),
        ("precision", lambda: EngineChoice(precision="f8")),
        ("precision", lambda: EngineChoice("openvino", "f16")),
        ("precision", lambda: EngineChoice("tensorrt", "int8")),
        ("devices", lambda: EngineChoice(devices=())),
        ("devices", lambda: EngineChoice(devices=(1, 1))),
    ],
)
def test_plans_and_choices_are_checked_too(setting: str, make: Any) -> None:
    with pytest.raises(StyleError) as error:
        make()
    assert error.value.setting == setting


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"plan": {}}', FULL.as_json()[:-2]])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(StyleError, match="not the JSON of a film request"):
        FilmRequest.from_json(text)


def test_json_of_a_newer_version_is_refused() -> None:
    with pytest.raises(StyleError, match="not the JSON of a film request"):
        FilmRequest.from_json(FULL.as_json().replace('"hwaccel"', '"hardware"'))


def test_an_opened_style_can_be_sent_but_not_written(identity_style: Path) -> None:
    request = FilmRequest("a.mp4", "b.mp4", PaintPlan(Look(open_style(identity_style))))
    assert pickle.loads(pickle.dumps(request)) == request
    assert hash(pickle.loads(pickle.dumps(request))) == hash(request)
    with pytest.raises(StyleError):
        request.as_json()
