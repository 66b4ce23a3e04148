"""What seconds depend on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("spacy", "torch", "transformers", "peft", "thinc", "spacy-transformers")
FLAGS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")


def machine() -> dict[str, Any]:
    """The processor, its threads, the system, and the versions of packages."""
    import torch

    cpu, flags = platform.processor() or platform.machine(), ""
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        name, _, said = line.partition(":")
        cpu = said.strip() if name.strip() == "model name" else cpu
        flags = said if name.strip() == "flags" else flags
    best = [flag for flag in FLAGS if flag in flags.split()][:1]
    found: dict[str, Any] = {
        "cpu": ", ".join([cpu, *best]),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
    }
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            pass  # An extra.
    return found
