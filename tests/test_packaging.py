from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {
    name: [Requirement(text) for text in texts]
    for name, texts in PROJECT["optional-dependencies"].items()
}
BASE = [Requirement(text) for text in PROJECT["dependencies"]]


def names(requirements: list[Requirement]) -> set[str]:
    return {requirement.name for requirement in requirements}


def test_the_base_install_has_neither_torch_nor_cuda_nor_onnx_runtime() -> None:
    heavy = {"torch", "torchvision", "onnxruntime", "onnxruntime-gpu", "tensorrt", "cuda-python"}
    assert not names(BASE) & heavy


def test_no_extra_brings_both_onnx_runtimes_into_one_folder() -> None:
    assert names(EXTRAS["onnxruntime"]) == {"onnxruntime"}
    assert "onnxruntime-gpu" in names(EXTRAS["gpu"])
    assert "onnxruntime" not in names(EXTRAS["gpu"])
    assert not {n for n in names(EXTRAS["dev"]) | names(EXTRAS["train"]) if "onnxruntime" in n}
    assert not any("torchvision" in names(extra) for extra in EXTRAS.values())


def test_tensorrt_stays_where_onnx_runtime_is() -> None:
    (tensorrt,) = (r for r in EXTRAS["gpu"] if r.name == "tensorrt")
    assert tensorrt.specifier.contains("10.16")
    assert not tensorrt.specifier.contains("11.4")
    assert not tensorrt.specifier.contains("10.11")


@pytest.mark.parametrize("extra", ["dev", "train", "onnxruntime"])
def test_what_is_installed_here_satisfies_the_extras(extra: str) -> None:
    from importlib.metadata import PackageNotFoundError, version

    for requirement in (*BASE, *EXTRAS[extra]):
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            pytest.fail(f"{requirement} of [{extra}] is not installed")
        assert requirement.specifier.contains(Version(found), prereleases=True), requirement


def test_the_test_command_asks_for_what_the_tests_need() -> None:
    readme = (ROOT / "README.md").read_text()
    block = re.search(r"<!-- test command -->\n```\w*\n(.*?)```\n<!-- end -->", readme, re.S)
    assert block
    assert "[dev,docs,train,onnxruntime,web,webgpu,cluster]" in block[1]
    assert "pytest" in block[1]
