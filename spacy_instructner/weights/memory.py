"""Settings of torch's memory that suit this package's many tensor sizes. Source: ours."""

import os

# Matrix products here come in ever new sizes. For each of them oneDNN keeps what it
# compiled and torch the product's own memory, by default for 1024 sizes each: hundreds of
# megabytes. With fewer it is not slower. Tensors of two megabytes and more in huge pages,
# as Linux offers them, take less time to be had and leave smaller holes when they are gone.
SETTINGS = {
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128",
    "LRU_CACHE_CAPACITY": "32",
    "THP_MEM_ALLOC_ENABLE": "1",
}


def bound_memory() -> None:
    """Bound what torch keeps of past products, for the whole process. What the
    environment sets already stays.

    To be called before weights are loaded: torch reads each setting once, at the first
    product or the first tensor."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
