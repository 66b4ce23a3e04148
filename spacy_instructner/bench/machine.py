"""What seconds depend on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("spacy", "torch", "transformers", "peft", "thinc", "spacy-transformers")


def machine() -> dict[str, Any]:
    """The processor, its threads, the system, and the versions of packages."""
    import torch

    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        names = [line.split(":")[1].strip() for line in lines if "model name" in line]
        flags = " ".join(line for line in lines if line.startswith("flags"))
        cpu = names[0] if names else cpu
        for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2"):
            if flag in flags:
                cpu += f", {flag}"
                break
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        **{name: said for name in PACKAGES if (said := installed(name))},
    }


def installed(name: str) -> str | None:
    """A package's version, None where it is not there, as extras may not be."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
