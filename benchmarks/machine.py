"""What a figure was measured on."""

import os
import platform
from pathlib import Path

import torch


def machine_class() -> str:
    """Cores, processor (with family and model), GPU and versions in one line."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    said = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    model = said.get("model name", platform.machine())
    if "cpu family" in said:  # clouds name whole generations of processors alike
        model += f", family {said['cpu family']}, model {said['model']}"
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{os.cpu_count()} cores ({model}){gpu}, torch {torch.__version__}, Python {platform.python_version()}"
