"""One fault against one contender: a normal time, the fault, its end, and the row of figures."""

import time

from support.clock import patient

from . import judge
from .contenders import LIBFAKETIME, Nearhop, knows
from .stage import FAULTY, Stage


class Skipped(Exception):
    """This fault cannot be done here."""


def perform(fault, contender, authority, folder, *, seconds=None, rate=None, returns=True, log=print):
    """Returns the row. `seconds` and `rate`: instead of the fault's own, for the short form, as `returns`: whether to
    wait for the traffic's return."""
    ours = issubclass(contender, Nearhop)
    if not ours and (fault.ours_only or contender.name in fault.not_for):
        raise Skipped("not for " + contender.name)
    if fault.site and not knows(fault.site):
        raise Skipped(f"this binary does not know {fault.site}")
    if fault.clock:
        try:
            open(LIBFAKETIME).close()
        except OSError:
            raise Skipped("the package libfaketime is not installed") from None
    lasts = seconds or fault.seconds
    with Stage(contender, fault, authority, folder, rate) as stage:
        moments = {}
        stage.pause(1.2)
        moments["warm"] = time.monotonic()
        stage.pause(1.3)
        before = stage.proxy.verdicts() if ours else None
        moments["fault"] = time.monotonic()
        fault.begin(stage)
        attempts = None
        known = max(lasts - 1.5, lasts * 0.6)  # an attempt that is counted at its end may have begun 2 s before
        moments["known"] = moments["fault"] + known
        number = 0
        while (left := moments["fault"] + lasts - time.monotonic()) > 0:
            if fault.turn:
                number += 1
                fault.turn(stage, number)
                left = min(left, fault.every)
            elif ours and attempts is None and fault.leaves:
                stage.pause(known)
                attempts = -stage.proxy.attempts(FAULTY)
                continue
            stage.pause(left)
        if attempts is not None:
            attempts = int(attempts + stage.proxy.attempts(FAULTY))
        fault.end(stage)
        moments["end"] = time.monotonic()

        def returned():
            moments["stop"] = time.monotonic()
            return fault.back and judge.back(sorted(stage.load.read()), moments, fault) != float("inf")

        stage.pause(patient(fault.back + 5 if fault.back and returns else 1.5), returned)
        stage.pause(1.0 + fault.total)
        moments["stop"] = time.monotonic()
        outcomes = stage.load.finish()
        changes = stage.proxy.verdicts() - before if ours else None
        if ours:
            (stage.folder / "events.log").write_text(stage.proxy.edge.log.text())
        records = {region: origin.records() for region, origin in stage.origins.items()}
    return judge.figures(fault, moments, outcomes, records, attempts, changes)
