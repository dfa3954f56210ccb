"""What the machine at hand does best: device, precision, allocator.

Here: choices that change speed and never meaning. Not here: anything a recipe decides.
"""

import ctypes
import math
import os
import shutil
import sys
from copy import deepcopy
from time import perf_counter
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor, nn

from lesionwise.arrays import Pixels
from lesionwise.errors import RecipeError, RunError

Precision = Literal["bf16-mixed", "32-true"]

_M_TRIM_THRESHOLD: Final = -1  # malloc.h
_M_MMAP_THRESHOLD: Final = -3
_KEEP_BYTES: Final = 2**31 - 1
_TRIAL_IMAGES: Final = 8
_TRIAL_STEPS: Final = 6  # at most, in each precision
_TRIAL_SECONDS: Final = 3.0  # after that, no further step is measured
_LEAST_GAIN: Final = 1.15  # of bf16: measurements differ by a few percent
_WORTHWHILE_SECONDS: Final = 0.1  # of a step of a whole batch: beside shorter ones, other work takes longer
_MEASURED: Final[dict[tuple[str, tuple[int, int, int]], Precision]] = {}
_COPY_ROWS: Final = 512  # some 100 MB at 225x300 on the way to a GPU


def choose_device(name: str) -> str:
    """Return the device for `auto`, or the name as it is.

    Args:
        name: "auto", "cpu", "cuda" or "mps".

    Raises:
        RunError: If this machine has no such device.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(device for device, found in there.items() if found)
    if not there.get(name):
        found = ", ".join(device for device, found in there.items() if found)
        raise RunError(f'Expected a device of this machine ({found}) but got "{name}".')
    return name


def choose_precision(
    device: str, network: nn.Module | None = None, batch: tuple[int, int, int] = (0, 0, 0)
) -> Precision:
    """Return bf16 where the device gains by it, else fp32.

    A GPU with bf16 gains. On a CPU it depends on the processor and the network: depthwise convolutions are
    often slower in bf16. So where the processor has bf16, a few steps are measured in both. Short steps gain
    nothing that matters, and keep fp32. Folds and seeds in one process share the choice.

    Args:
        device: "cpu", "cuda" or "mps".
        network: The network that will be trained; without one, a CPU uses fp32. It is not changed.
        batch: Number, height and width of the images of a step.
    """
    if device == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    if device == "cpu" and network is not None and _has_bf16():
        key = repr(network), batch
        if key not in _MEASURED:
            plain, bf16 = _shortest_steps(network, batch)
            gains = plain > _WORTHWHILE_SECONDS and bf16 * _LEAST_GAIN < plain
            _MEASURED[key] = "bf16-mixed" if gains else "32-true"
        return _MEASURED[key]
    return "32-true"


def _has_bf16() -> bool:
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)


def _shortest_steps(network: nn.Module, batch: tuple[int, int, int]) -> tuple[float, float]:
    """Return the seconds of a step, forward and backward, in fp32 and in bf16: the shortest of some each.

    Few images are measured, and the seconds are those of the whole batch.
    """
    count, *size = batch
    images = min(count, _TRIAL_IMAGES)
    with torch.random.fork_rng([]):
        trial = deepcopy(network).to(memory_format=torch.channels_last).train()
        pixels = torch.rand(images, 3, *size).contiguous(memory_format=torch.channels_last)
        begun = perf_counter()
        for step in range(_TRIAL_STEPS):
            if step <= 1:  # the first one also chooses kernels, and counts only if it is the last
                shortest = dict.fromkeys((False, True), math.inf)
            for bf16 in shortest:
                started = perf_counter()
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    logits = trial(pixels)
                logits.float().square().mean().backward()
                shortest[bf16] = min(shortest[bf16], perf_counter() - started)
            if perf_counter() - begun > _TRIAL_SECONDS:
                break
    return shortest[False] * count / images, shortest[True] * count / images


def verify_compiler(device: str) -> None:
    """Make sure that there is the C++ compiler that `torch.compile` starts for a CPU.

    Args:
        device: "cpu", "cuda" or "mps"; what the others need is left for PyTorch to find.
    """
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    wanted = os.environ.get("CXX") or usual
    if device == "cpu" and not shutil.which(wanted):
        raise RecipeError(
            f'compile = true needs the C++ compiler "{wanted}". Install it, or leave the key out.'
        )


def resident_pixels(pixels: Pixels, device: str) -> Pixels | Tensor:
    """Return the images on a GPU where they fit into half of its free memory, else the memory map."""
    if device != "cuda" or pixels.nbytes > torch.cuda.mem_get_info()[0] // 2:
        return pixels  # a CPU reads the memory map where it is
    resident = torch.empty(pixels.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(pixels), _COPY_ROWS):
        resident[start : start + _COPY_ROWS] = torch.from_numpy(np.array(pixels[start : start + _COPY_ROWS]))
    return resident


def keep_memory() -> None:
    """Ask glibc to keep large buffers instead of handing them back after every step.

    A training step, and a batch that is predicted, frees and takes the same hundreds of megabytes again and
    again; returned pages are faulted in one by one. Without glibc this does nothing.
    """
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None)
        if hasattr(libc, "gnu_get_libc_version"):
            libc.mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES // 2)
            libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
