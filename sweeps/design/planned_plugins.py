"""The plug-ins of a sweep: what its plan says of them, copies in its folder, and that a resume has the same."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedding_core.errors import Faults
from embedding_core.plugins.sources import in_use
from sweeps.results import frozen


def content() -> dict[str, Any]:
    """Keys of `plan.json` for the plug-ins in use; none without any."""
    sources = in_use()
    if not sources:
        return {}
    plugins = [{"name": each.last_name, "sha256": each.sha256, "path": each.name} for each in sources]
    return {frozen.PLUGINS: plugins}


def keep(folder: Path) -> None:
    """Put a copy of each plug-in in use into the folder of a sweep."""
    for source in in_use():
        file = folder / frozen.PLUGINS / source.last_name
        file.parent.mkdir(exist_ok=True)
        file.write_text(source.text)


def check(planned: Mapping[str, Any], file: Path) -> None:
    """Refuse to go on with other plug-ins than those of an earlier start.

    They must be given again: what a folder of results names is never run of its own accord.

    Args:
        planned: content of its plan.
        file: that the plan is from.

    Raises:
        Faults: one is not given, was not there before, or has been edited.
    """
    # A job's working directory is another one each time: files are the same by their last name.
    then = {each["name"]: each for each in planned.get(frozen.PLUGINS, [])}
    now = {source.last_name: source.sha256 for source in in_use()}
    faults = [f"the sweep has no plug-in {name}" for name in now if name not in then]
    faults += [
        f"its plug-in {name} is not given (`--plugin {each['path']}`)" for name, each in then.items() if name not in now
    ]
    faults += [
        f"{name} has changed since (SHA-256 {each['sha256'][:8]}… then, {now[name][:8]}… now)"
        for name, each in then.items()
        if name in now and now[name] != each["sha256"]
    ]
    if faults:
        raise Faults(
            [
                f"A resumed sweep keeps its plug-ins, but {'; '.join(faults)}. What is left to run would be of other "
                f"code than what has run: give the plug-in as it was ({file.parent / frozen.PLUGINS} has a copy), or "
                "begin anew under another `--name`."
            ]
        )
