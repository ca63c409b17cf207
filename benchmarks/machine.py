"""Where it was measured: what a figure means nothing without."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from . import node


def describe() -> dict[str, Any]:
    """The machine and all software that takes part, as JSON can hold it."""
    return {
        "cpu": _cpu(),
        "cores": _cores(),
        "os": _os(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "openssl": _openssl(),
        "node": _answer("node", "--version"),
        "commit": _answer("git", "describe", "--always", "--dirty"),
        "packages": dict(sorted((found.name.lower(), found.version) for found in distributions())),
        "node_packages": _node_packages(),
    }


def summary(machine: dict[str, Any]) -> str:
    """The same in a line, for people."""
    nodes = f", Node {machine['node'].removeprefix('v')}" if machine["node"] else ""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['os']}, {machine['python']}, "
        f"cryptography {machine['packages'].get('cryptography')} with {machine['openssl']}{nodes}"
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return _answer("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def _cores() -> int:
    """Those that we may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _os() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:  # not Linux
        name = f"{platform.system()} {platform.release()}"
    return f"{name} ({platform.machine()})"


def _openssl() -> str:
    from cryptography.hazmat.backends.openssl import backend

    return backend.openssl_version_text()


def _node_packages() -> dict[str, str]:
    return {
        name: version for name, version in node.dependencies().items() if (node.HERE / "node_modules" / name).is_dir()
    }


def _answer(program: str, *arguments: str) -> str:
    """A program's first line; nothing, where there is no such program or it fails."""
    if shutil.which(program) is None:
        return ""
    done = subprocess.run([program, *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
