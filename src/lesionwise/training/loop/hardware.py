"""What the machine at hand does best: device, precision, allocator.

Here: choices that change speed and never meaning. Not here: anything a recipe decides.
"""

import ctypes
import os
import shutil
import sys
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lesionwise.errors import RecipeError, RunError
from lesionwise.execution import PROCESSORS, describe_processor

Precision = Literal["bf16-mixed", "32-true"]

_M_TRIM_THRESHOLD: Final = -1  # malloc.h
_M_MMAP_THRESHOLD: Final = -3
_KEEP_BYTES: Final = 2**31 - 1
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


def choose_precision(device: str, network: nn.Module | None = None) -> Precision:
    """Return bf16 where the device gains by it, else fp32: emulated bf16 is slower than either.

    On CPUs that is where AMX is. With AVX-512 alone AMD's cores gain too, but for depthwise convolutions
    (MobileNetV2 trains a fifth faster in fp32); Intel's lose. If Linux does not name the maker, fp32 is used.
    """
    if device == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    if device == "cpu":
        amx = getattr(torch.cpu, "_is_amx_tile_supported", bool)
        avx = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)
        gains = avx() and _is_amd() and not _is_depthwise(network)
        return "bf16-mixed" if amx() or gains else "32-true"
    return "32-true"


def _is_amd(source: Path = PROCESSORS) -> bool:
    return "AuthenticAMD" in describe_processor(source)


def _is_depthwise(network: nn.Module | None) -> bool:
    layers = network.modules() if network else ()
    return any(isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1 for layer in layers)


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


def resident_pixels(pixels: NDArray[np.uint8], device: str) -> NDArray[np.uint8] | Tensor:
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
