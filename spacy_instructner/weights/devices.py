"""Where to compute."""

import torch
from thinc.api import get_torch_default_device


def choose_device(name: str) -> torch.device:
    """A torch device; "auto" follows spaCy's choice. Raises ValueError where it
    is unknown or not there."""
    if name == "auto":
        return get_torch_default_device()
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f'`device` is {name!r}, which cannot be used: {error}. Write "auto", "cpu" '
            'or "cuda:0".'
        ) from error
    return device


def check_process(device: torch.device) -> None:
    """Raises RuntimeError where a process was forked from one that had begun to use
    CUDA: CUDA does not survive that."""
    if device.type == "cuda" and torch.cuda._is_in_bad_fork():
        raise RuntimeError(
            "A model on CUDA cannot be used in a forked process. Annotate with "
            "n_process=1, a process for each GPU, or call "
            'multiprocessing.set_start_method("spawn") before anything else.'
        )
