"""`koleo-sweeps status RESULTS/NAME`: what runs, what ended how, the time left and the cost, from the folder alone."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from embedding_core.errors import Faults
from embedding_core.streams import answer
from embedding_core.wording import plural
from sweeps.analysis.stats.description import costs
from sweeps.commands.parser import CommandParser, sweep_folder
from sweeps.commands.sweep_status import StageStatus, Status, status_of
from sweeps.results.durations import time_text


def text(status: Status) -> str:
    """For a terminal."""
    state = "a driver runs it" if status.driver else "no driver runs it"
    lines = [f"{status.folder}: {state}"]
    for stage in status.stages:
        lines += _stage_lines(stage, driver=status.driver)
    if status.cells:
        lines += ["", f"{status.unit} per trial (median) and in all:"]
        lines += [f"  {c.stage:<8} {c.cell_id}: {c.median_s:,.1f} x {c.trials}, {c.total_s:,.0f}" for c in status.cells]
    if status.saving.stopped:
        s = status.saving
        lines.append(f"Saved by stopping {plural(s.stopped, 'trial')}: {s.saved_s:,.0f} {status.unit} ({s.share:.0%}).")
    for node in status.nodes:
        usd = "" if node.usd is None else f", USD {node.usd:,.2f}"
        lines.append(f"Nodes of type {node.node_type}: {node.nodes}, {node.hours:,.2f} h with a trial on them{usd}")
    return "\n".join(lines)


def _stage_lines(stage: StageStatus, *, driver: bool) -> list[str]:
    total = sum(stage.ended.values())
    endings = ", ".join(f"{count} {reason}" for reason, count in stage.ended.items()) or "none yet"
    line = f"{stage.stage}: {total}/{stage.planned} ended ({endings})"
    if stage.best is not None:
        trial_id, cell_id, auc = stage.best
        line += f"; best val AUC {auc:.4f} ({trial_id}, {cell_id})"
    if total < stage.planned:
        left = "unknown" if stage.seconds_left is None else f"at most {time_text(stage.seconds_left)}"
        line += f"; time left {left}"
    word = "running" if driver else "interrupted"
    return [line] + [
        f"  {word} {trial.trial_id}: epoch {trial.epoch}, attempt {trial.attempt}, last row {trial.silent_s:,.0f} s ago"
        for trial in stage.running
    ]


def parse_prices(texts: Sequence[str]) -> dict[str, float]:
    """USD per hour by node type from `NODE_TYPE=USD` each.

    Raises:
        Faults: every text that is not of that form, or below 0.
    """
    prices, faults = {}, []
    for given in texts:
        name, _, amount = given.rpartition("=")
        try:
            price = float(amount)
        except ValueError:
            price = -1.0
        if name and 0 <= price < float("inf"):
            prices[name] = price
        else:
            faults.append(f"`--price` must be NODE_TYPE=USD_PER_HOUR, at least 0, but got `{given}`.")
    if faults:
        raise Faults(faults)
    return prices


def main(argv: Sequence[str] | None = None) -> int:
    """Print the status of a sweep."""
    parser = CommandParser(
        "status",
        "What runs, what ended how, the time left and the cost of a sweep, whether it runs, has ended or was killed.\n"
        "It reads the folder alone and writes nothing.",
        examples={
            "results/NAME": "cost in GPU-seconds, or CPU-seconds without a GPU",
            "results/NAME --price gpu_spot=1.2": "with what the nodes of that type cost",
            "results/NAME --json": "for another program",
        },
        exit_codes={0: "the status is printed"},
    )
    parser.add_argument("folder", type=sweep_folder, metavar="RESULTS/NAME", help="folder of the sweep")
    parser.add_argument(
        "--price",
        action="append",
        default=[],
        metavar="NODE_TYPE=USD",
        help=f"of a node per hour, by the autoscaler's node type; `{costs.OWN}` for machines of one's own",
    )
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    return parser.run(_status, argv)


def _status(arguments: argparse.Namespace) -> int:
    status = status_of(arguments.folder, parse_prices(arguments.price))
    answer(json.dumps(asdict(status)) if arguments.json else text(status))
    return 0


if __name__ == "__main__":
    sys.exit(main())
