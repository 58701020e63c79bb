"""`koleo-sweeps doctor`: whether this machine, or what a cluster file names, is ready for a sweep."""

import argparse
import io
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from embedding_core.streams import answer
from sweeps.commands.parser import CommandParser
from sweeps.doctor import cluster_file, folders, local_ray, ports, software
from sweeps.doctor.finding import Finding

RED = 1
"""Exit code where something is in the way of a sweep."""

STYLES = {"ok": "green", "note": "yellow", "red": "bold red"}

PIPED_WIDTH = 160
"""Characters of a line that no terminal shows."""


def of_this_machine(results: Path, data_root: str | None) -> Iterator[Finding]:
    """What a sweep on this machine needs."""
    yield software.python()
    yield software.packages()
    yield from software.torch_and_gpus()
    yield from local_ray.before_start()
    yield ports.loopback()
    yield folders.shared_memory()
    yield folders.results(results)
    yield folders.caches()
    yield folders.compiled()
    yield folders.home()
    yield from folders.disks(results)
    yield folders.data_root(data_root)


def of_cluster(file: Path) -> Iterator[Finding]:
    """What raising a cluster needs of the machine that one sits at; no trial runs here."""
    cluster = cluster_file.read(file)
    yield software.python()
    yield software.packages()
    yield ports.forwarded()
    yield from cluster_file.findings(cluster, Path.cwd())


def text(findings: Sequence[Finding]) -> str:
    """The table, as wide as the terminal, and a line of what it comes to."""
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else PIPED_WIDTH
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("", "check", "found", "what to do"):
        table.add_column(name, overflow="fold", no_wrap=name in ("", "check"))
    for one in findings:
        word = "RED" if one.state == "red" else one.state
        table.add_row(f"[{STYLES[one.state]}]{word}[/]", one.check, _plain(one.found), _plain(one.remedy))
    console.print(table)
    reds = sum(one.state == "red" for one in findings)
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    return "\n".join([*lines, "", f"{reds} of {len(findings)} are in the way." if reds else "Nothing is in the way."])


def _plain(words: str) -> str:
    """Brackets in paths are no markup."""
    return words.replace("[", r"\[")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = CommandParser(
        "doctor",
        "Whether this machine is ready for a sweep, or with --cluster, whether a cluster can be raised from it: one\n"
        "line per check, with what to do beside what is wrong. It starts no Ray.",
        examples={
            "": "before a sweep on this machine",
            "--results /scratch/results --data-root /data": "for these folders",
            "--cluster cluster.yaml": "before `ray up`; `make cluster-up` runs it",
        },
        exit_codes={0: "nothing is in the way", RED: "something is"},
    )
    parser.add_argument("--cluster", type=Path, metavar="FILE", help="a cluster file: asks what raising it needs")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default %(default)s")
    parser.add_argument("--data-root", metavar="DIR", help="folder of the data sets; $EMBED_DATA_ROOT, else data")
    return parser.run(_doctor, argv)


def _doctor(arguments: argparse.Namespace) -> int:
    asked = (
        of_cluster(arguments.cluster)
        if arguments.cluster is not None
        else of_this_machine(arguments.results.expanduser(), arguments.data_root)
    )
    findings = list(asked)
    answer(text(findings))
    return RED if any(one.state == "red" for one in findings) else 0


if __name__ == "__main__":
    sys.exit(main())
