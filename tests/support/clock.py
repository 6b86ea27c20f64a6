"""Waiting for conditions. Tests never sleep for a timer: they poll for what they want to see, with a deadline."""

import os
import time

# Sanitizer builds on two cores are several times slower. NEARHOP_SLOW=1 stretches every deadline of the tests.
SLOW = 5.0 if os.environ.get("NEARHOP_SLOW", "") not in ("", "0") else 1.0
# NEARHOP_FULL=1 runs the long forms: 1 GiB bodies, 30 s of reloads.
FULL = os.environ.get("NEARHOP_FULL", "") not in ("", "0")


def patient(seconds):
    """A deadline for something that should happen: generous, because only a failure waits for its end."""
    return seconds * SLOW


def wait_until(condition, seconds=10.0, what="the condition", every=0.02):
    """Polls until `condition()` is true and returns its value; fails with `what` after the deadline."""
    deadline = time.monotonic() + patient(seconds)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            shown = what() if callable(what) else what
            raise AssertionError(f"waited {patient(seconds):.0f} s for {shown}")
        time.sleep(every)
