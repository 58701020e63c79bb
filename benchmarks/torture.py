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
from pathlib import Path

import optuna
from kills import ZEROS, Blow, Hurt, counted, hurt

WAYS = ("kill", "kill", "signal", "terminal")
"""What happens to the driver, in some order, beside what happens to its trials."""
LAST = "writing the report"
WORDS = {
    "trial killed": "killed a process that was training; another one takes its trial over",
    "driver killed": "killed the driver",
    "terminal closed": "closed the driver's terminal",
    "SIGINT": "pressed Ctrl-C",
    "SIGTERM": "sent the driver SIGTERM, as a batch system does",
    "SIGHUP": "sent the driver SIGHUP",
}


def told(blow: Blow) -> str:
    """A blow in a line of plain words."""
    text = WORDS[blow.what] + (f" while it was {blow.where}" if blow.where else "")
    if blow.took_s is not None:
        text += f"; it stopped in good order after {blow.took_s:.1f} s"
    return text + ("" if blow.what == "trial killed" else ". It goes on")


def main() -> int:
    """Hurt a sweep, tell each blow, count; 1 if anything was lost, doubled or different."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="of the moments and the victims; another one each time by default")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the sweep in this folder")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    results = (arguments.keep or Path(tempfile.mkdtemp())).resolve()
    results.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - began), 60)
        print(f"{minutes:3}:{seconds:02}  {text}.", flush=True)

    sweep = Hurt(results / "torture", seed, samples=8, blocks=2, epochs=16)
    trials = sum(sweep.planned.values())
    say(f"A sweep of {trials} trials on `digits`: does KoLeo help? It is hurt at random (`--seed {seed}`)")
    blows = 0
    draw = random.Random(seed)
    for blow in hurt(sweep, draw, [*draw.sample(WAYS, len(WAYS)), LAST]):
        blows += 1
        say(told(blow))
    say(
        f"The sweep is complete, after {blows} blows. Now each trial is trained once more, in this process, undisturbed"
    )
    found = counted(sweep)
    say("Counted")
    rows = found["rows expected"]
    table = [
        ("trials", found["trials planned"], found["trials ended"], found["trials lost"], found["trials doubled"]),
        ("rows", rows, rows - found["rows lost"], found["rows lost"], found["rows sent otherwise"]),
    ]
    print(f"\n{'':8}{'expected':>10}{'stored':>10}{'lost':>10}{'doubled':>10}")
    for name, *numbers in table:
        print(f"{name:8}" + "".join(f"{number:10}" for number in numbers))
    print(f"Trained once more: {found['rows different']} of {rows} rows differ in any bit.\n")
    if arguments.keep is None:
        shutil.rmtree(results)
    else:
        print(f"The sweep and its report: {sweep.folder}; what its drivers printed: {sweep.folder.with_suffix('.log')}")
    wrong = {name: found[name] for name in ZEROS if found[name]}
    print("Nothing was lost, doubled or changed." if not wrong else f"Not as it should be: {wrong}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
