"""Throws made-up inputs at what reads strangers' text.

    python -m fuzz [detector|host|http_head|cookies|range] ... [--inputs 1000000] [--seed 1]

Without names all targets run, and the inputs are shared out: slow ones get fewer. Prints one line of JSON for each;
ends with 1 and the input, made small, at the first that fails.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

from fuzz.runner import Found, run
from fuzz.targets import TARGETS


def main() -> int:
    """Run what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *TARGETS], metavar="|".join(TARGETS))
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of all targets together")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same inputs")
    options = parser.parse_args()
    targets = [TARGETS[name] for name in options.names or TARGETS]
    shares = sum(target.share for target in targets)
    for target in targets:
        try:
            report = run(target, options.inputs * target.share // shares, options.seed)
        except Found as found:
            sys.stderr.write(f"{found}\n")
            return 1
        sys.stdout.write(json.dumps(dataclasses.asdict(report)) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
