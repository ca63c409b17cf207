"""`python -m benchmarks`: measure, print tables, write them with plots and all samples to a folder."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from . import machine, regression, report


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast tokenguard is, beside others.")
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"{', '.join(report.PARTS)} (by default all), or `regression` alone: is the hot path still fast?",
    )
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it works, no figures to keep")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where results go; by default a new temporary folder"
    )
    asked = parser.parse_args(arguments)
    # As in a server, log lines are made; where they are written to is no affair of ours.
    logging.getLogger("tokenguard").addHandler(logging.NullHandler())
    if asked.parts == ["regression"]:
        return regression.main()
    parts = asked.parts or report.PARTS
    if unknown := [part for part in parts if part not in report.PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}")
    folder = asked.output or Path(tempfile.mkdtemp(prefix="tokenguard-benchmarks-"))
    command = " ".join(["python -m benchmarks", *asked.parts, *(["--quick"] if asked.quick else [])])
    for part in parts:
        run = report.Run(
            date=datetime.now(UTC).isoformat(timespec="seconds"), command=command, machine=machine.describe()
        )
        for section in import_module(f"benchmarks.{part}").sections(quick=asked.quick):
            report.save(folder, part, section, run)
            print(report.terminal(section), flush=True)
    print(f"\nTables, plots and all samples are in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
