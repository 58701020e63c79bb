"""`koleo-sweeps verdict A B`: do the scores of two experiments differ by more than chance, and enough to matter?"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from embedding_core.errors import Faults
from embedding_core.streams import answer
from sweeps.commands.parser import CommandParser

if TYPE_CHECKING:
    from sweeps.analysis.stats.answers.score_verdict import Comparison

MATTERS: Final = 0
NONE_MATTERS: Final = 3
OPEN: Final = 4


def main(argv: Sequence[str] | None = None) -> int:
    """Print a sentence per comparison with the first group."""
    parser = CommandParser(
        "verdict",
        "Compares groups of scores with the first one, which is the control, and says in a sentence each whether they\n"
        "differ by more than chance, and by enough to matter. A group is a CSV, Parquet or JSON-lines file with a row\n"
        "per run, or the confirmed runs of a sweep. Runs with the same seed are pairs; several comparisons are held\n"
        "together (Bonferroni). Whoever tunes either side anew may find otherwise. Nothing is written.",
        examples={
            "old.csv new.csv --sesoi .005": "columns: `seed`, and one of scores",
            "a.csv b.csv c.csv --sesoi .01 --lower-is-better": "b and c, each against a",
            "a.jsonl b.jsonl --pair-by fold --sesoi .01 --json": "for another program",
            "results/A#CELL results/B#CELL --metric test_auc": "one cell of two sweeps",
        },
        exit_codes={
            MATTERS: "there is a difference that matters",
            NONE_MATTERS: "there is none that matters",
            OPEN: "open, or too few runs for a verdict; of several comparisons: none matters, and at least one is open",
        },
    )
    parser.add_argument(
        "groups", metavar="GROUP", nargs="+", help="file of scores, or RESULTS/NAME[#CELL]; the first is the control"
    )
    parser.add_argument("--metric", metavar="NAME", help="column of scores; the only one of numbers where there is one")
    parser.add_argument("--pair-by", metavar="NAME", help="column that pairs runs; `seed` where all groups have it")
    parser.add_argument("--independent", action="store_true", help="nothing pairs the runs, whatever their seeds")
    parser.add_argument(
        "--sesoi", metavar="X", help="smallest difference that matters, > 0; known of test_auc and test_recall_at_1"
    )
    parser.add_argument("--lower-is-better", action="store_true", help="of a loss or an error rate")
    parser.add_argument("--json", action="store_true", help="as one JSON object; several comparisons in `comparisons`")
    return parser.run(_verdict, argv)


def _verdict(arguments: argparse.Namespace) -> int:
    found = compared(arguments)
    if arguments.json:
        each = [as_json(comparison) for comparison in found]
        answer(json.dumps(each[0] if len(each) == 1 else {"comparisons": each}))
    else:
        answer("\n".join(" ".join([comparison.sentence, *comparison.notes]) for comparison in found))
    return exit_code(found)


def compared(arguments: argparse.Namespace) -> "list[Comparison]":
    """Each group but the first, against the first.

    Raises:
        Faults: everything that is wrong with the options, the groups and their columns; if nothing is, everything for
            which two of the groups are not compared.
    """
    # What help does not need takes seconds to load.
    from sweeps.analysis.stats.answers.score_groups import Terms
    from sweeps.analysis.stats.answers.score_verdict import compare_groups
    from sweeps.commands import score_sources as given
    from sweeps.commands.score_sources import each_tried, tried

    faults: list[str] = []
    if len(arguments.groups) < 2:
        faults.append(f"A verdict is on two groups or more, but got {arguments.groups[0]} alone.")
    size = tried(faults, given.sesoi_of, arguments.sesoi)
    sources = each_tried(faults, given.open_source, arguments.groups)
    pair_by = tried(faults, given.pairing_of, sources, arguments.pair_by, independent=arguments.independent)
    metric = tried(faults, given.metric_of, sources, arguments.metric, pair_by) if sources else None
    if metric is None:
        raise Faults(faults)
    impossible = size is None and arguments.sesoi is not None
    outcome = None if impossible else tried(faults, given.outcome_of, sources, metric, size)
    groups = each_tried(faults, lambda source: given.group_of(source, metric, pair_by), sources)
    if faults or outcome is None:
        raise Faults(faults)
    control, *others = groups
    lower = given.is_lower_better(metric, asked=arguments.lower_is_better)
    terms = Terms(outcome[0], pair_by, outcome[1], family=len(others), lower_is_better=lower)
    found = each_tried(faults, lambda other: compare_groups(control, other, terms), others)
    if faults:
        raise Faults(faults)
    return found


def as_json(comparison: "Comparison") -> dict[str, Any]:
    """A comparison for another program; numbers are in units of the score."""
    effect, terms = comparison.effect, comparison.terms
    return {
        "control": comparison.found.control.name,
        "treatment": comparison.found.treatment.name,
        "outcome": terms.outcome,
        "direction": comparison.direction,
        "better": comparison.better,
        "estimate": effect.estimate,
        "interval": [effect.ci_low, effect.ci_high],
        "interval_90": [effect.inner_low, effect.inner_high],
        "p_value": effect.p_value,
        "n": effect.n,
        "n_control": comparison.found.scores[0].size,
        "n_treatment": comparison.found.scores[1].size,
        "left_out": sum(map(len, comparison.found.alone)),
        "method": comparison.method,
        "verdict": effect.verdict,
        "matters": comparison.matters,
        "sesoi": effect.sesoi,
        "comparisons_held_together": effect.family,
        "conditional_on": comparison.conditional_on,
        "sentence": comparison.sentence,
        "notes": list(comparison.notes),
    }


def exit_code(found: "Sequence[Comparison]") -> int:
    """`MATTERS` if any difference does, else `OPEN` if any is, else `NONE_MATTERS`."""
    matters = [comparison.matters for comparison in found]
    return MATTERS if True in matters else OPEN if None in matters else NONE_MATTERS


if __name__ == "__main__":
    sys.exit(main())
