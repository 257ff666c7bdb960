"""Segments painted by a Ray cluster, whose machines all see the film and the folder of parts."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from realtime_style.errors import EngineError, MediaError, StyleError
from realtime_style.jobs.parts import difference, settings_of
from realtime_style.jobs.request import FilmRequest, open_source
from realtime_style.jobs.segments import Part, paint_segment
from realtime_style.jobs.workers import OnFrame, Task
from realtime_style.painting.chain import PainterChain, build_painter
from realtime_style.system.cores import usable_cores

_MEMORY_BYTES = 1 << 30  # of a task: an engine, its buffers, an encoder
_AHEAD = 2  # tasks that wait for each that can run, so that no machine waits for this one
_KNOCK_S = 5.0
_GPU_ENGINES = ("tensorrt", "onnxruntime-cuda", "onnxruntime-tensorrt")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A machine that must not paint: its pictures or bytes would be others.

    Attributes:
        node: Ray's id of it.
        reason: what differs, in words.
    """

    node: str
    reason: str


class RayWorkers:
    """Paints the segments of a film as Ray tasks, one on each machine at a time: `Workers`.

    Machines that would paint anything else than this one refuse, and get no more tasks. Tasks that
    are lost, with their process or with their machine, are run again by Ray.
    """

    def __init__(self, address: str, settings: dict[str, str], encoder: str) -> None:
        """Connects to a cluster.

        Args:
            address: of the cluster; "auto" takes the one that runs here, or starts one of this
                machine only.
            settings: from `settings_of`: what every machine must agree with.
            encoder: FFmpeg's name of the film's encoder.

        Raises:
            EngineError: Ray is not installed, or the cluster cannot be reached.
        """
        self._settings, self._encoder = settings, encoder
        self._ray = _connected(address)
        self._refusals: dict[str, str] = {}

    def paint(self, tasks: Iterator[Task], on_frame: OnFrame) -> Generator[Part]:
        """See `Workers`; frames are told when their segment is done."""
        ray = self._ray
        running: dict[Any, Task] = {}
        waiting = iter(tasks)
        try:
            while True:
                room = _AHEAD * max(1, len(self._nodes())) - len(running)
                for task in itertools.islice(waiting, max(0, room)):
                    running[self._submitted(task)] = task
                if not running:
                    return
                done, _ = ray.wait([*running], num_returns=1, timeout=1.0)
                for reference in done:
                    task = running.pop(reference)
                    result = self._result(reference)
                    if isinstance(result, Part):
                        yield result
                    else:
                        self._refusals[result.node] = result.reason
                        waiting = itertools.chain([task], waiting)
        finally:
            for reference in running:
                ray.cancel(reference, force=True, recursive=True)

    def _result(self, reference: Any) -> Part | Refusal:
        """What a task has returned; raises StyleError if it has failed."""
        try:
            result: Part | Refusal | StyleError = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise EngineError(f"the cluster failed: {reason}", setting="cluster") from error
        if isinstance(result, StyleError):
            raise result
        return result

    def _nodes(self) -> list[str]:
        """The machines that may paint, by their ids; raises EngineError if all have refused."""
        alive = [node["NodeID"] for node in self._ray.nodes() if node["Alive"]]
        fit = [node for node in alive if node not in self._refusals]
        if alive and not fit:
            raise EngineError(
                f"no machine of the cluster can paint this film: {self._refusals[alive[0]]}",
                setting="cluster",
            )
        return fit

    def _submitted(self, task: Task) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        nodes = self._nodes()
        needs: dict[str, Any] = {"memory": _MEMORY_BYTES, "max_retries": -1}
        if task.request.plan.engine.name in _GPU_ENGINES:
            needs["num_gpus"] = 1
        else:
            needs["num_cpus"] = self._cpus()
        if self._refusals:  # Ray knows only one machine to prefer, none to avoid
            node = nodes[task.segment.number % len(nodes)]
            needs["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=False)
        else:
            needs["scheduling_strategy"] = "SPREAD"
        remote = self._ray.remote(**needs)(_painted)
        return remote.remote(task, self._settings, self._encoder, str(Path.cwd()))

    def _cpus(self) -> int:
        """As many as the smallest machine has: a painter uses all cores that it may."""
        cpus = [int(node["Resources"].get("CPU", 0)) for node in self._ray.nodes() if node["Alive"]]
        return max(1, min((each for each in cpus if each), default=1))


def _connected(address: str) -> Any:
    """Ray, connected to a cluster."""
    try:
        import ray
    except ImportError as error:
        raise EngineError(
            "Ray is not installed; it comes with the extra 'cluster': "
            "pip install 'realtime-style[cluster]'",
            setting="cluster",
        ) from error
    if ray.is_initialized():
        return ray
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        if address != "auto":
            _knock(address)
            ray.init(address, **settings)
            return ray
        try:
            ray.init("auto", **settings)
        except ConnectionError:
            ray.init("local", num_cpus=usable_cores(), include_dashboard=False, **settings)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise EngineError(
            f"the cluster {address} cannot be reached: {reason}", setting="cluster"
        ) from error
    return ray


def _knock(address: str) -> None:
    """Raises OSError or ValueError if nobody listens there: Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("an address is HOST:PORT")
    socket.create_connection((host.strip("[]"), int(port)), _KNOCK_S).close()


def _painted(
    task: Task, settings: dict[str, str], encoder: str, folder: str
) -> Part | Refusal | StyleError:
    """Paints a segment on a machine of the cluster.

    Errors are returned, or Ray would wrap them.

    Args:
        folder: what relative paths are relative to.
    """
    import ray

    node = ray.get_runtime_context().get_node_id()
    try:
        os.chdir(folder)
        painter = _painter(task.request)
        own = settings_of(task.request, painter, encoder)
        if differs := difference(settings, own):
            return Refusal(node, f"{differs[0]} is {differs[2]} there, and {differs[1]} here")
        task.folder.stat()
    except (MediaError, OSError) as error:
        return Refusal(node, f"it does not see the film or its folder: {error}")
    except StyleError as error:
        return Refusal(node, str(error))
    try:
        return paint_segment(
            task.request, task.segment, task.folder, threads=task.threads, painter=painter
        )
    except StyleError as error:
        return error


@cache
def _painter(request: FilmRequest) -> PainterChain:
    """The painter of a request, which a process of the cluster keeps for its next task."""
    with open_source(request) as source:
        return build_painter(request.plan, source.info.color, in_flight=None)
