"""`python -m tests.fuzzing -o ledger.jsonl --count 10000`: run again to go on; then print the tables."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from tests.fuzzing.campaign import FAULTS, run, table


def main() -> None:
    """Go on where the ledger ends."""
    parser = argparse.ArgumentParser(
        description="Mutate slides, read them, and keep a ledger of what happened."
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="ledger, a JSON object a line")
    parser.add_argument("--count", type=int, default=10_000, help="mutations in all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.output.touch()
    done = len(options.output.read_text().splitlines())
    with tempfile.TemporaryDirectory() as folder, options.output.open("a") as ledger:
        for row in run(Path(folder), options.seed, range(done, options.count)):
            ledger.write(json.dumps(row) + "\n")
            ledger.flush()
    rows = [json.loads(line) for line in options.output.read_text().splitlines()]
    print(table(rows, "kind"), table(rows, "base"), sep="\n\n")
    for row in rows:
        if row["outcome"] in FAULTS:
            print(row)


if __name__ == "__main__":
    main()
