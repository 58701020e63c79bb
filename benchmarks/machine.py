"""What a figure was measured on."""

import os
import platform
from pathlib import Path

import torch


def machine_class() -> str:
    """Cores, processor, GPU and versions in one line."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{os.cpu_count()} cores ({model}){gpu}, torch {torch.__version__}, Python {platform.python_version()}"
