"""From samples to figures: medians, ratios round by round, bars, tables."""

from statistics import median

# What nearhop has to reach: at most this multiple of the other's cost, as the median of the per-round ratios.
BARS = {
    "small_plain": {"nginx": 0.90, "haproxy": 1.05},
    "small_tls": {"nginx": 0.85, "haproxy": 1.05},
    "small_logged": {"haproxy": 1.05},
    "handshake_full": {"nginx": 1.05, "haproxy": 1.05},
    "handshake_resumed": {"nginx": 1.05, "haproxy": 1.05},
    "download_1m": {"nginx": 0.70, "haproxy": 1.05},
    "upload_1m": {"nginx": 0.80, "haproxy": 1.05},
    "idle_memory": {"nginx": 1.05, "haproxy": 1.05},
    "http2": {"nginx": 0.85, "haproxy": 1.05},
    "http2_idle": {"nginx": 1.00},
}


def summarise(scenario, names, samples):
    """One scenario's figures. `samples` maps a proxy's name to its samples, one per round, in round order."""
    subject, others = names[0], names[1:]
    row = {"scenario": scenario.name, "unit": scenario.unit, "proxies": {}, "ratios": {}}
    for name in names:
        rounds = samples[name]
        row["proxies"][name] = {
            "cost": median(s["cost"] for s in rounds),
            "rps": median(s["rps"] for s in rounds),
            "p50_us": median(s["p50_us"] for s in rounds),
            "p99_us": median(s["p99_us"] for s in rounds),
            "errors": sum(s["error_count"] for s in rounds),
            "rounds": rounds,
        }
    for other in others:
        ratios = [ours["cost"] / theirs["cost"] for ours, theirs in zip(samples[subject], samples[other])]
        bar = BARS.get(scenario.name, {}).get(other) if subject == "nearhop" else None
        row["ratios"][other] = {
            "median": median(ratios), "low": min(ratios), "high": max(ratios), "bar": bar,
            "met": bar is None or median(ratios) <= bar,
        }
    return row


def shortfalls(rows):
    """Everything that `--check` fails for."""
    found = []
    for row in rows:
        for other, ratio in row["ratios"].items():
            if not ratio["met"]:
                found.append(f"{row['scenario']}: {ratio['median']:.2f} of {other}, the bar is {ratio['bar']:.2f}")
        for name, figures in row["proxies"].items():
            if figures["errors"]:
                found.append(f"{row['scenario']}: {figures['errors']} errors through {name}")
    return found


def table(header, lines):
    """Markdown, aligned so that it also reads well in a terminal."""
    widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]
    form = lambda line: "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths)) + " |"
    return "\n".join([form(header), "| " + " | ".join("-" * width for width in widths) + " |", *map(form, lines)])


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def ratio_text(ratio):
    text = f"{ratio['median']:.2f} ({ratio['low']:.2f}-{ratio['high']:.2f})"
    if ratio["bar"] is None:
        return text
    return f"{text}, bar {ratio['bar']:.2f}{'' if ratio['met'] else ' MISSED'}"


def cost_table(rows, names):
    header = ["scenario", *names, *(f"to {other}" for other in names[1:])]
    lines = []
    for row in rows:
        costs = [number(row["proxies"][n]["cost"]) + (" ERRORS" if row["proxies"][n]["errors"] else "") for n in names]
        lines.append([f"{row['scenario']} ({row['unit']})", *costs, *(ratio_text(row["ratios"][o]) for o in names[1:])])
    return table(header, lines)


def speed_table(rows, names):
    header = ["scenario", "", *names]
    lines = []
    for row in rows:
        if row["scenario"] == "idle_memory":
            continue
        proxies = [row["proxies"][n] for n in names]
        lines.append([row["scenario"], "requests/s", *(number(p["rps"]) for p in proxies)])
        lines.append(["", "p50 / p99 ms", *(f"{p['p50_us'] / 1000:.2f} / {p['p99_us'] / 1000:.2f}" for p in proxies)])
        lines.append(["", "errors", *(str(p["errors"]) for p in proxies)])
    return table(header, lines)


def syscall_table(counts, names):
    """`counts` maps scenario name -> proxy name -> {call: calls per request}."""
    header = ["system calls per request", *names]
    lines = []
    for scenario, by_proxy in counts.items():
        lines.append([scenario, *(f"{sum(by_proxy[n].values()):.2f}" for n in names)])
        calls = sorted({call for n in names for call, per in by_proxy[n].items() if per >= 0.01})
        lines += [["  " + call, *(f"{by_proxy[n].get(call, 0):.2f}" for n in names)] for call in calls]
    return table(header, lines)
