"""Python, the packages, and what torch makes of the graphics cards."""

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any, Final

from embedding_core.wording import plural
from sweeps.doctor.finding import Finding, note, ok, red

PACKAGE: Final = "koleo-sweeps"

PINNED: Final = ("ray", "torch", "torchvision", "optuna")
"""Packages whose versions the project depends on in what they do."""

INSTALL: Final = "install the pinned versions, `pip install --constraint constraints.txt --editable .`"

SURVEY_TIMEOUT_S: Final = 120.0
"""The import of torch from a cold network disk takes a minute."""


def python() -> Finding:
    """The interpreter."""
    return ok("Python", f"{platform.python_version()}, {sys.executable}")


def packages() -> Finding:
    """Whether the packages are of the versions that the project asks for."""
    try:
        asked = metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:
        return red("packages", f"{PACKAGE} is not installed for this Python", INSTALL)
    wrong: list[str] = []
    right: list[str] = []
    for name in PINNED:
        wanted = next((line for line in asked if re.match(rf"{name}\b", line)), name)
        versions = re.sub(r"^[\w-]+(\[.*?\])?", "", wanted)
        try:
            there = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"no {name}")
            continue
        (right if _fits(there, versions) else wrong).append(f"{name} {there}")
    if wrong:
        return red("packages", f"{', '.join(wrong)}, not as asked for", INSTALL)
    return ok("packages", ", ".join(right))


def _fits(there: str, versions: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(versions.strip()).contains(there, prereleases=True)


def torch_and_gpus() -> Iterator[Finding]:
    """Torch, and each GPU with its memory; asked in another process, which may die of a broken library or driver."""
    command = [sys.executable, "-m", "trainables.gpu"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SURVEY_TIMEOUT_S, check=True)
        survey: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or [f"exit status {error.returncode}"])[-1]
        yield red("torch", f"cannot be used: {last}", INSTALL)
        return
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        yield red("torch", f"does not answer: {error}", INSTALL)
        return
    yield ok("torch", survey["torch"])
    yield from gpus_of(survey)


def gpus_of(survey: dict[str, Any]) -> Iterator[Finding]:
    """The lines on GPUs of what `trainables.gpu.survey` found."""
    fit = "install a driver that fits this torch, or a torch that fits the driver; `--gpus-per-trial 0` trains on CPUs"
    for index, gpu in enumerate(survey["gpus"]):
        text = f"{gpu['name']}, {gpu['gib']:.1f} GiB"
        if gpu["why"]:
            yield red(f"GPU {index}", f"{text}: torch cannot use it: {gpu['why']}. {survey['here']}", fit)
        else:
            yield ok(f"GPU {index}", text)
    if not survey["gpus"] and survey["cards"]:
        if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
            yield note("GPUs", "hidden by CUDA_VISIBLE_DEVICES: trials train on CPUs", "unset it to use them")
        else:
            yield red("GPUs", f"the driver sees a card and torch sees none. {survey['here']}", fit)
    elif not survey["gpus"]:
        yield ok("GPUs", f"none: trials train on {plural(os.cpu_count() or 1, 'CPU')}")
