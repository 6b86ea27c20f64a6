#!/usr/bin/python3
"""Compares how we and llhttp read generated connections.

    run.py OURS [--seed N] [--count N | --seconds N]

Prints what was compared, by how each side ended; exit code 1 with the bytes where a difference has no explanation."""
import argparse
import collections
import json
import pathlib
import random
import subprocess
import sys
import time

import compare
import generate

HERE = pathlib.Path(__file__).resolve().parent
BATCH = 2000


def readings(command, batch):
    """One reading per connection. The whole batch goes in before the answers come out: no pipe can fill up."""
    text = "".join(each.hex() + "\n" for each in batch)
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=300)
    lines = done.stdout.splitlines()
    if done.returncode != 0 or len(lines) != len(batch):
        sys.exit(f"{command[0]} ended with {done.returncode} after {len(lines)} of {len(batch)}: {done.stderr[-2000:]}")
    return [json.loads(line) for line in lines]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ours")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seconds", type=float)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    began = time.monotonic()
    compared = requests = unexplained = 0
    ends = collections.Counter()
    used = set()
    while (time.monotonic() - began < arguments.seconds) if arguments.seconds else compared < arguments.count:
        batch = [generate.connection(chance) for _ in range(BATCH)]
        ours = readings([arguments.ours], batch)
        theirs = readings(["/usr/bin/node", str(HERE / "llhttp.js")], batch)
        for raw, mine, other in zip(batch, ours, theirs):
            compared += 1
            requests += min(len(mine["requests"]), len(other["requests"]))
            ends[mine["end"], other["end"]] += 1
            found = compare.difference(mine, other, raw, used)
            if found:
                unexplained += 1
                if unexplained <= 40:
                    print(f"{raw!r}\n  {found}\n  ours: {mine['end']}, llhttp: {other['end']}")
    print(f"seed {arguments.seed}: {compared} connections, {requests} requests read by both, {unexplained} unexplained")
    for (mine, other), count in ends.most_common(40):
        print(f"{count:9}  ours {mine}, llhttp {other}")
    for why in sorted(used):
        print(f"explained: {why}")
    # A generator that no longer reaches the interesting cases would let every comparison pass.
    enough = requests > compared / 5 and len(ends) > 10
    if not enough:
        print("too few requests were accepted by both: the comparison says nothing")
    return 0 if unexplained == 0 and enough else 1


if __name__ == "__main__":
    sys.exit(main())
