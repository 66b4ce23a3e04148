"""Which number format to compute in."""

import warnings
from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16", "float16"]


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The dtype of the base weights.

    "auto" is bfloat16 where the device computes in it (a CPU with AVX512_BF16
    or AMX, a CUDA device that supports it) and float32 elsewhere: bfloat16
    emulated on a CPU is slower than float32.
    """
    if precision != "auto":
        dtype: torch.dtype = getattr(torch, precision)
        if dtype is torch.float16 and device.type == "cpu":
            warnings.warn(
                'float16 is slow and imprecise on a CPU; `precision = "auto"` '
                "takes the best format the processor has.",
                stacklevel=2,
            )
        return dtype
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        # Private in torch 2.x, hence the default.
        checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        native = any(getattr(torch.cpu, check, lambda: False)() for check in checks)
    else:
        native = False
    return torch.bfloat16 if native else torch.float32
