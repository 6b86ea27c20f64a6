"""What one fault did to the clients: figures from the outcomes and from what the origins recorded, and the bars."""

import statistics
from bisect import bisect_left
from collections import Counter, defaultdict

from .stage import FAULTY

SLOWED = 0.25  # seconds above the normal latency of requests of that kind


def figures(fault, moments, outcomes, records, attempts=None, changes=None):
    """`moments`: when the load was warm, the fault began, its effect should be known, it ended; and the load's end.
    `records`: for each origin. `attempts`: at the faulty one once its fault should be known, as our proxy counts."""
    outcomes = sorted(outcomes)
    kinds = defaultdict(list)
    for o in outcomes:
        if moments["warm"] <= o.began < moments["fault"] and o.outcome == "ok":
            kinds[o.method, o.kind, o.protocol].append(o.seconds)
    assert kinds, f"nothing went well before the fault: {Counter(o.outcome for o in outcomes)}"
    normal = {kind: statistics.median(times) for kind, times in kinds.items()}
    usual = statistics.median(o for times in kinds.values() for o in times)

    share = sum(o.region == FAULTY for o in outcomes if moments["warm"] <= o.began < moments["fault"])
    assert share > 0.2 * sum(moments["warm"] <= o.began < moments["fault"] for o in outcomes), "the region had no traffic"

    def slowed(o):
        return o.seconds > normal.get((o.method, o.kind, o.protocol), usual) + SLOWED

    after = [o for o in outcomes if o.began >= moments["warm"]]
    hit = [o for o in after if moments["fault"] <= o.began < moments["end"]]
    bad = [o for o in after if o.outcome not in ("ok", "truncated")]
    if fault.total:  # nobody can hide that every origin is gone: what counts is before and after
        bad = [o for o in bad if o.began + o.seconds < moments["fault"] or o.began > moments["end"] + fault.total]
        hit = [o for o in after if o.began > moments["end"] + fault.total]
    counted = hit if fault.total else after
    slow = [o for o in counted if slowed(o)]
    late = [o.began for o in slow if o.began >= moments["fault"]]
    return {
        "fault": fault.title,
        "requests": len(after),
        "errors": sum(o.method != "POST" for o in bad),
        "error_kinds": dict(Counter(f"{o.method} {o.outcome} {o.status}" for o in bad)),
        "post_errors": sum(o.method == "POST" for o in bad),
        "truncated": sum(o.outcome == "truncated" for o in after),
        "doubles": doubles(records),
        "slowest": max((o.seconds for o in counted if o.method != "POST"), default=0.0),
        "slowest_post": max((o.seconds for o in counted if o.method == "POST"), default=0.0),
        "slow": len(slow),
        "within": 1.0 - sum(slowed(o) for o in hit) / max(1, len(hit)),
        "last_slow": max(late) - moments["fault"] if late else None,
        "back": back(outcomes, moments, fault) if fault.back else None,
        "leaked": None if not fault.leaves else leaked(records[FAULTY], moments) if fault.recordable else attempts,
        "changes": changes,
    }


def doubles(records):
    """Ids of requests that may not be repeated and were carried out, whole, more than once."""
    done = Counter(r.id for origin in records.values() for r in origin if r.what == "X" and r.method == "POST")
    return sum(count > 1 for count in done.values())


def leaked(records, moments):
    """Requests, probes apart, that reached the faulty origin after its fault should be known."""
    return sum(r.what == "H" and moments["known"] <= r.at < moments["end"] for r in records)


def back(outcomes, moments, fault):
    """Seconds from the fault's end until the region has its share again: four fifths of it over half a second."""
    window, step = 0.5, 0.05
    good = [o for o in outcomes if o.outcome == "ok"]
    times = [o.began for o in good]
    base = slice(bisect_left(times, moments["warm"]), bisect_left(times, moments["fault"]))
    share = sum(o.region == FAULTY for o in good[base]) / max(1, len(good[base]))
    at = moments["end"]
    while at + window <= moments["stop"]:
        part = good[bisect_left(times, at) : bisect_left(times, at + window)]
        if part and sum(o.region == FAULTY for o in part) >= 0.8 * share * len(part):
            return at - moments["end"]
        at += step
    return float("inf")


def misses(fault, row, *, exact_only=False):
    """The bars of issue 4, section 5, that this row does not meet. `exact_only`: counts, not times."""
    found = []
    if row["errors"] > 0 and fault.hides:
        found.append(f"{row['errors']} errors on idempotent requests: {row['error_kinds']}")
    if row["doubles"]:
        found.append(f"{row['doubles']} requests were carried out twice")
    if row["truncated"] and not fault.truncates:
        found.append(f"{row['truncated']} truncated answers")
    if exact_only:
        return found
    if fault.within and row["within"] < fault.within:
        found.append(f"only {row['within']:.2%} within 250 ms of normal")
    if fault.slowest and (worst := max(row["slowest"], row["slowest_post"])) > fault.slowest:
        found.append(f"slowest {worst:.2f} s, above {fault.slowest} s")
    if fault.most_slow is not None and row["slow"] > fault.most_slow:
        found.append(f"{row['slow']} slowed requests, above {fault.most_slow}")
    if fault.probes_only and row["leaked"]:
        found.append(f"{row['leaked']} requests reached the region after detection")
    if fault.back and row["back"] > fault.back:
        found.append(f"back after {row['back']:.2f} s, above {fault.back:.0f} s")
    if fault.calm and row["changes"]:
        found.append(f"{row['changes']} verdict changes")
    return found
