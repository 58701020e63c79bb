"""A small sweep whose processes are killed before your eyes, and what is lost by it: nothing.

    python benchmarks/torture.py [--seed N] [--keep DIR]

Processes that train are killed, their driver is killed, interrupted or has its terminal closed, at random moments,
and is started again with `--resume` each time. At the end every trial is counted and trained once more, undisturbed.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import optuna
from hurt_counts import ZEROS, counted
from kills import STOPS_S, TRIAL_KILLED, Blow, Hurt, hurt

from sweeps.results import files, store

WAYS = ("kill", "kill", "signal", "terminal")
"""What happens to the driver, in some order, beside what happens to its trials."""
LAST = "writing the report"
INTERRUPTED = 130
"""Exit status after Ctrl-C."""
WORDS = {
    "driver killed": "Killed the driver",
    "terminal closed": "Closed the driver's terminal",
    "SIGINT": "Pressed Ctrl-C",
    "SIGTERM": "Sent the driver SIGTERM, as a batch system does",
    "SIGHUP": "Sent the driver SIGHUP",
}


class Clock:
    """Says what happens, and when."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """A line, with minutes and seconds since the start."""
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        print(f"{minutes:3}:{seconds:02}  {text}.", flush=True)


def told(blow: Blow) -> str:
    """A blow in a line of plain words."""
    if blow.what == TRIAL_KILLED:
        return "Killed a process that was training; another one goes on with its trial"
    text = WORDS[blow.what] + (f" while it was {blow.where}" if blow.where else "")
    if blow.is_late:
        text += f"; it took {blow.took_s:.1f} s to end, more than the {STOPS_S:.0f} s that it has"
    elif blow.took_s is not None:
        text += f"; it ended in good order after {blow.took_s:.1f} s"
    return f"{text}. It is started again with `--resume`"


def ended(sweep: Hurt) -> int:
    """Trials whose end is stored."""
    there = files.holds_sweep(sweep.folder)
    return sum(len(store.finished(sweep.folder, stage)) for stage in sweep.planned) if there else 0


def tortured(sweep: Hurt, seed: int, clock: Clock) -> list[Blow]:
    """Hurt a sweep until it is complete, and tell each blow."""
    trials, draw, blows = sum(sweep.planned.values()), random.Random(seed), []
    clock.say(
        f"Started a sweep of {trials} trials on `digits`, to be hurt at random (`--seed {seed}` repeats the draws)"
    )
    with closing(hurt(sweep, draw, [*draw.sample(WAYS, len(WAYS)), LAST])) as falling:
        for blow in falling:
            blows.append(blow)
            clock.say(f"{told(blow)} ({ended(sweep)} of {trials} trials have ended)")
    on_trials = sum(blow.what == TRIAL_KILLED for blow in blows)
    parts = f"{on_trials} on processes that trained, {len(blows) - on_trials} on the driver"
    clock.say(f"The sweep is complete, after {len(blows)} blows: {parts}")
    return blows


def tell_counts(found: Counter[str], blows: list[Blow]) -> bool:
    """Print what was lost, doubled, different or late; whether anything was."""
    rows = found["rows expected"]
    table = [
        ("trials", found["trials planned"], found["trials ended"], found["trials lost"], found["trials doubled"]),
        ("rows", rows, rows - found["rows lost"], found["rows lost"], found["rows sent otherwise"]),
    ]
    print(f"\n{'':8}{'expected':>10}{'stored':>10}{'lost':>10}{'doubled':>10}")
    for name, *numbers in table:
        print(f"{name:8}" + "".join(f"{number:10}" for number in numbers))
    again = "which a process that goes on from a checkpoint sends again; each counts once"
    print(f"Beside these, {found['rows sent again']} equal rows, {again}.")
    print(f"Trained once more: {found['rows different']} of {rows} rows differ in any bit.\n")
    wrong = {name: found[name] for name in ZEROS if found[name]}
    if late := sum(blow.is_late for blow in blows):
        wrong["stops that took longer"] = late
    print(f"Not as it should be: {wrong}" if wrong else "Nothing was lost, doubled or changed.")
    return bool(wrong)


def main() -> int:
    """Hurt a sweep, tell each blow, count; 1 if anything was lost, doubled, different or late, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="of the moments and the victims; another one each time by default")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the sweep in this folder")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    results = (arguments.keep or Path(tempfile.mkdtemp())).resolve()
    results.mkdir(parents=True, exist_ok=True)
    sweep, clock = Hurt(results / "torture", seed, samples=8, blocks=2, epochs=16), Clock()
    try:
        blows = tortured(sweep, seed, clock)
        clock.say("Each trial is trained once more, in this process, undisturbed")
        found = counted(sweep)
    except KeyboardInterrupt:
        clock.say("Interrupted; the sweep's processes are ended, and nothing is counted")
        return INTERRUPTED
    finally:
        if arguments.keep is None and sys.exc_info()[0] is None:  # else its log is wanted
            shutil.rmtree(results)
    clock.say("Counted")
    is_wrong = tell_counts(found, blows)
    if arguments.keep is not None:
        print(f"The sweep and its report: {sweep.folder}; what its drivers printed: {sweep.folder.with_suffix('.log')}")
    return int(is_wrong)


if __name__ == "__main__":
    sys.exit(main())
