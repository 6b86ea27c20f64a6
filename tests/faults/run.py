#!/usr/bin/python3
"""`./dev faults`: every fault against the real binary, and the same load against nginx and HAProxy.

    ./dev faults                               ours, all faults
    ./dev faults --short                       the few that `./dev test` runs
    ./dev faults --only kill,stop              by name; --list prints them
    ./dev faults --against haproxy,nginx       beside ours
    ./dev faults --table docs/fault-suite.md   writes the tables into that page, between its marks

Exit code 1 when ours misses a bar."""

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from faults import judge, report  # noqa: E402
from faults.catalogue import FAULTS  # noqa: E402
from faults.contenders import CONTENDERS, Nearhop  # noqa: E402
from faults.suite import Skipped, perform  # noqa: E402
from support.ca import Authority  # noqa: E402


def chosen(options):
    faults = [f for f in FAULTS if f.short] if options.short else FAULTS
    if options.only:
        names = options.only.split(",")
        unknown = set(names) - {f.name for f in FAULTS}
        assert not unknown, f"no fault {unknown}; --list names them"
        faults = [f for f in FAULTS if f.name in names]
    return faults


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--short", action="store_true")
    options.add_argument("--only", metavar="NAMES")
    options.add_argument("--list", action="store_true")
    options.add_argument("--against", metavar="NAMES", default="")
    options.add_argument("--without-ours", action="store_true")
    options.add_argument("--table", metavar="FILE", type=Path)
    options.add_argument("--results", metavar="FILE", type=Path, help="JSON lines, appended: one for each row")
    options.add_argument("--from-results", action="store_true", help="no run: the table from the lines in --results")
    options.add_argument("--folder", type=Path, help="keeps logs and outcomes there")
    given = options.parse_args()
    # Ended from outside, the stage is still cleared: nginx and HAProxy do not die with us by themselves.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    if given.list:
        print("\n".join(f"{f.name:18} {f.title}" for f in FAULTS))
        return 0
    if given.from_results:
        failed, rows = [], [json.loads(line) for line in given.results.read_text().splitlines()]
    else:
        rows, failed = run(given)
    if given.table:
        report.write(given.table, rows)
    return 1 if failed or any(row["misses"] for row in rows if row["contender"] == "nearhop") else 0


def run(given):
    contenders = [] if given.without_ours else [Nearhop]
    contenders += [CONTENDERS[name] for name in given.against.split(",") if name]
    rows, failed = [], []
    with tempfile.TemporaryDirectory(prefix="nearhop-faults-") as temporary:
        folder = (given.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        authority = Authority(folder)
        for fault in chosen(given):
            for contender in contenders:
                try:
                    row = perform(fault, contender, authority, folder / f"{fault.name}-{contender.name}",
                                  seconds=3.0 if given.short else None)  # fmt: skip
                except Skipped as why:
                    print(f"{fault.name:18} {contender.name:8} skipped: {why}", flush=True)
                    continue
                except AssertionError as why:  # one row that failed must not cost the other hundred
                    print(f"{fault.name:18} {contender.name:8} FAILED: {why}", flush=True)
                    failed.append(fault.name)
                    continue
                row.update(name=fault.name, contender=contender.name, misses=judge.misses(fault, row))
                rows.append(row)
                print(report.line(row), flush=True)
                if given.results:
                    with given.results.open("a") as file:
                        file.write(json.dumps(row) + "\n")
    return rows, failed


if __name__ == "__main__":
    sys.exit(main())
