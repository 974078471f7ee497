"""The environment that a model was trained in: what a bit-for-bit retraining needs to share."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("keras", "numpy", "tensorflow")
UNKNOWN = "unknown"


def environment(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """Describe the software and the processor that training runs on, without loading TensorFlow.

    Args:
        cpuinfo: Where Linux describes the processor.

    Returns:
        "python", each of `PACKAGES`, "machine" and "cpu", by name; `UNKNOWN` where it cannot be told.
    """
    return {
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "machine": platform.machine() or UNKNOWN,
        "cpu": _cpu_model(cpuinfo),
    }


def _version(package: str) -> str:
    """Give an installed package's version."""
    try:
        return version(package)
    except PackageNotFoundError:
        return UNKNOWN


def _cpu_model(cpuinfo: Path) -> str:
    """Give the processor's model: kernels choose their order of summation by it."""
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or UNKNOWN
