"""The plug-ins of a sweep: what its plan says of them, copies in its folder, and that a resume has the same."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedding_core.errors import Faults
from embedding_core.plugins.sources import Source, in_use, use, use_named
from sweeps.results import frozen


def content() -> dict[str, Any]:
    """Keys of `plan.json` for the plug-ins in use; none without any."""
    sources = in_use()
    if not sources:
        return {}
    plugins = [
        {"name": _last_name(each.name), "package": each.package, "sha256": each.sha256, "copy": _copy_of(number, each)}
        for number, each in enumerate(sources, 1)
    ]
    return {frozen.PLUGINS: plugins, frozen.PLUGIN_PATHS: [each.name for each in sources]}


def keep(folder: Path) -> None:
    """Put a copy of each plug-in in use into the folder of a sweep."""
    for number, source in enumerate(in_use(), 1):
        file = folder / _copy_of(number, source)
        file.parent.mkdir(exist_ok=True)
        file.write_text(source.text)


def use_kept(folder: Path) -> None:
    """Use the plug-ins of a sweep, from the copies in its folder.

    Raises:
        Faults: a copy is not there; see `embedding_core.plugins.sources.use`.
    """
    file = folder / frozen.FILE
    planned = frozen.read(file, needed_by="its plug-ins").get(frozen.PLUGINS, []) if file.exists() else []
    try:
        use([Source(each["name"], (folder / each["copy"]).read_text(), each["package"]) for each in planned])
    except OSError as error:
        raise Faults([f"A plug-in of {folder} cannot be read: {error}."]) from error


def take_up(planned: Mapping[str, Any], file: Path) -> None:
    """Use the plug-ins of an earlier start where none were given.

    Args:
        planned: content of its plan.
        file: that the plan is from.

    Raises:
        Faults: they are not there any more, or others than they were.
    """
    if not in_use():
        use_named(planned.get(frozen.PLUGIN_PATHS, []))
    # A job's working directory is another one each time: files are the same by their last name.
    then = {each["name"]: each["sha256"] for each in planned.get(frozen.PLUGINS, [])}
    now = {_last_name(source.name): source.sha256 for source in in_use()}
    faults = [f"the sweep has no plug-in {name}" for name in now if name not in then]
    faults += [f"its plug-in {name} is not given" for name in then if name not in now]
    faults += [
        f"{name} has changed since (SHA-256 {then[name][:8]}… then, {now[name][:8]}… now)"
        for name in now
        if name in then and then[name] != now[name]
    ]
    if faults:
        raise Faults(
            [
                f"A resumed sweep keeps its plug-ins, but {'; '.join(faults)}. What is left to run would be of other "
                f"code than what has run: put the plug-in back as it was ({file.parent / frozen.PLUGINS} has a copy), "
                "or begin anew under another `--name`."
            ]
        )


def _last_name(name: str) -> str:
    return Path(name).name


def _copy_of(number: int, source: Source) -> str:
    return f"{frozen.PLUGINS}/{number}-{_last_name(source.name).removesuffix('.py')}.py"
