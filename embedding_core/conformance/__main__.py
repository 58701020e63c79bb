"""`python -m embedding_core.conformance FILE|MODULE ...`: whether plug-ins are what runs of them rely on."""

import argparse
import sys

from embedding_core.conformance.plugins import verdicts
from embedding_core.errors import Faults


def main(argv: list[str]) -> int:
    """Try every property of everything that plug-ins declare; exit status 1 if one does not hold, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m embedding_core.conformance", description=main.__doc__)
    parser.add_argument("plugins", nargs="+", metavar="FILE|MODULE", help="plug-ins, see docs/plugins.md")
    all_hold = True
    try:
        for what, found in verdicts(*parser.parse_args(argv).plugins):
            for name, how in found.items():
                print(f"{'FAILS' if how else 'holds'}  {what}: {name}{how and f': {how}'}", flush=True)
                all_hold &= not how
    except Faults as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if all_hold else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
