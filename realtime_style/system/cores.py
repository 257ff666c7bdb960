"""What CPU there is to compute on."""

from __future__ import annotations

import os
import platform
from functools import cache

_FLAGS = (
    "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8",
)  # fmt: skip
_INTEGERS = {"avx_vnni", "avx512_vnni", "amx_int8"}


def usable_cores() -> int:
    """Logical cores that this process may run on; all of them where the system does not say."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def cpu_name_and_flags() -> tuple[str, tuple[str, ...] | None]:
    """Its name, and which instructions for networks it has, as Linux calls them.

    None where the system does not say, as all others.
    """
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            facts = dict(line.rstrip().split("\t: ", 1) for line in lines if "\t: " in line)
    except OSError:
        return name, None
    found = next((v for k, v in facts.items() if k.startswith("flags")), "").split()
    return facts.get("model name", name), tuple(flag for flag in _FLAGS if flag in found)


def multiplies_integers() -> bool:
    """Whether the CPU has instructions that multiply and add 8-bit integers at once."""
    return not _INTEGERS.isdisjoint(cpu_name_and_flags()[1] or ())
