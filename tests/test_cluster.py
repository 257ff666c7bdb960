"""Films painted by a Ray cluster: the bytes of one process, whatever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from conftest import cli_command, make_film

from realtime_style.errors import EngineError
from realtime_style.jobs.execution import Execution
from realtime_style.jobs.film import FilmRequest, open_film
from realtime_style.jobs.parts import PartsFolder, settings_of
from realtime_style.jobs.planning import plan_film
from realtime_style.jobs.ray_workers import RayWorkers
from realtime_style.jobs.workers import Task
from realtime_style.painting.chain import build_painter
from realtime_style.painting.plan import PaintPlan

ray = pytest.importorskip("ray", reason="needs the extra cluster")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

LONG_S = 60.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two machines of one core, as far as Ray knows."""
    from ray.cluster_utils import Cluster

    machines = Cluster(head_node_args={"num_cpus": 1, "include_dashboard": False})
    machines.add_node(num_cpus=1)
    yield machines
    ray.shutdown()
    machines.shutdown()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of five minutes, with a frame every fifth of a second."""
    path = tmp_path_factory.mktemp("film") / "in.mp4"
    return make_film(
        path, pts=range(1500), rate=Fraction(5), time_base=Fraction(1, 5), sound=None
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(film: Path, identity_style: Path) -> bytes:
    """The film painted by one process."""
    request = FilmRequest(film, film.with_name("whole.mp4"), PaintPlan(identity_style))
    with open_film(request) as job:
        job.run()
    return Path(request.out).read_bytes()


class _At:
    """A `FilmObserver` that does something once some frames are done."""

    def __init__(self, frames: int, act: Callable[[], None]) -> None:
        self._frames, self._act, self._is_done = frames, act, False

    def on_build(self, part: float) -> None: ...

    def on_plan(self, frames: int) -> None: ...

    def on_frame(self, stats: Any) -> None:
        if not self._is_done and stats.frames >= self._frames:
            self._is_done = True
            self._act()


def painted(film: Path, out: Path, style: Path, cluster: Any, observer: Any = None) -> bytes:
    request = FilmRequest(film, out, PaintPlan(style))
    with open_film(request, Execution(cluster=cluster.address)) as job:
        job.run(observer)
    return out.read_bytes()


def test_a_killed_process_and_a_killed_machine_cost_nothing_but_time(
    film: Path, whole: bytes, identity_style: Path, tmp_path: Path, cluster: Any
) -> None:
    def kill_process() -> None:
        end_s, pids = time.monotonic() + LONG_S, ""
        while not pids:
            assert time.monotonic() < end_s
            pids = subprocess.run(
                ["pgrep", "-f", "ray::_painted"], capture_output=True, text=True
            ).stdout
        os.kill(int(pids.split()[0]), signal.SIGKILL)

    out = tmp_path / "killed.mp4"
    assert painted(film, out, identity_style, cluster, _At(1, kill_process)) == whole
    machine = cluster.add_node(num_cpus=1)
    remove = _At(1, lambda: cluster.remove_node(machine, allow_graceful=False))
    assert painted(film, tmp_path / "removed.mp4", identity_style, cluster, remove) == whole


def test_a_killed_job_goes_on(
    film: Path, whole: bytes, identity_style: Path, tmp_path: Path, cluster: Any
) -> None:
    out = tmp_path / "out.mp4"
    command = cli_command(
        "video", film, out, "--style", identity_style, "--cluster", cluster.address
    )
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        end_s = time.monotonic() + LONG_S
        while not list(PartsFolder(out).path.glob("*.packets")):
            assert time.monotonic() < end_s
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "resumed: " in done.stderr + done.stdout
    assert out.read_bytes() == whole


def test_machines_that_would_paint_something_else_refuse(
    film: Path, identity_style: Path, tmp_path: Path, cluster: Any
) -> None:
    request = FilmRequest(film, tmp_path / "out.mp4", PaintPlan(identity_style))
    settings = settings_of(request, build_painter(request.plan), "libx264")
    plan = plan_film(request, 2)
    workers = RayWorkers(cluster.address, settings | {"precision": "f16 on a GPU"}, "libx264")
    task = Task(request, plan.segments[0], tmp_path, plan.threads)
    with pytest.raises(
        EngineError, match=r"no machine of the cluster .*: precision is .* there, and f16 on a GPU"
    ):
        list(workers.paint(iter([task]), lambda number, frames: None))
    blind = replace(task, folder=tmp_path / "missing")
    with pytest.raises(EngineError, match="does not see the film or its folder"):
        list(
            RayWorkers(cluster.address, settings, "libx264").paint(
                iter([blind]), lambda number, frames: None
            )
        )


@pytest.mark.parametrize("address", ["127.0.0.1:1", "somewhere", "no.such.host.invalid:6379"])
def test_a_cluster_that_is_not_there_is_told(
    address: str, film: Path, identity_style: Path, tmp_path: Path
) -> None:
    # in a process of its own: this one may be connected to another cluster
    command = cli_command(
        "video", film, tmp_path / "out.mp4", "--style", identity_style, "--cluster", address
    )
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.returncode == 1
    assert f"the cluster {address} cannot be reached" in told.stderr
    assert "Traceback" not in told.stderr
