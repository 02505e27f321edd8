"""Which number format to compute in: `auto`, `fp32` or `bf16`."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

Precision = Literal["auto", "fp32", "bf16"]


def has_bf16(device: torch.device) -> bool:
    """Whether the device computes bfloat16 products in hardware (AMX or AVX512-BF16 on a
    processor).
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        wide = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        return wide and (
            torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
        )
    return False


def training_autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context to train in: `auto` is bfloat16 autocast where the hardware has it, else
    float32.
    """
    return _autocast(device, precision == "bf16" or (precision == "auto" and has_bf16(device)))


def scoring_autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context to score and measure in: `auto` is float32, since a rounded logit can flip a
    prediction.
    """
    return _autocast(device, precision == "bf16")


def _autocast(device: torch.device, in_bf16: bool) -> AbstractContextManager[object]:
    return torch.autocast(device.type, torch.bfloat16) if in_bf16 else nullcontext()
