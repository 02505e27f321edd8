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
        capabilities = torch.backends.cpu.get_cpu_capability()
        cpu = torch.cpu
        return capabilities.startswith("AVX512") and bool(
            cpu._is_amx_tile_supported() or cpu._is_avx512_bf16_supported()
        )
    return False


def training_autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context to train in: `auto` is bfloat16 autocast where the hardware has it, else
    float32.
    """
    wanted = precision == "bf16" or (precision == "auto" and has_bf16(device))
    return torch.autocast(device.type, torch.bfloat16) if wanted else nullcontext()


def scoring_autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context to score and measure in: `auto` is float32, since a rounded logit can flip a
    prediction.
    """
    wanted = precision == "bf16"
    return torch.autocast(device.type, torch.bfloat16) if wanted else nullcontext()
