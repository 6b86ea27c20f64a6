"""Rows of figures as lines for a terminal and as tables for docs/fault-suite.md."""

BEGIN, END = "<!-- tables: written by ./dev faults --table -->", "<!-- end of tables -->"


def seconds(value):
    if value is None:
        return "-"
    return "never" if value == float("inf") else f"{value:.2f}"


def slowest(row):
    return f"{row['slowest']:.2f} ({row['slowest_post']:.2f})"


def line(row):
    leaked = "-" if row["leaked"] is None else row["leaked"]
    text = (
        f"{row['name']:18} {row['contender']:8} {row['requests']:6} requests, errors {row['errors']} (POST {row['post_errors']}), "
        f"twice {row['doubles']}, truncated {row['truncated']}, slowest {row['slowest']:.2f} s (POST {row['slowest_post']:.2f}), slowed {row['slow']} "
        f"(within {row['within']:.2%}), last {seconds(row['last_slow'])}, back {seconds(row['back'])}, leaked {leaked}, "
        f"changes {row['changes']}"
    )
    if row["error_kinds"]:
        text += f"\n{'':28}{row['error_kinds']}"
    return text + "".join(f"\n{'':28}MISS: {miss}" for miss in row["misses"] if row["contender"] in ("nearhop", "tuned"))


def tables(rows):
    """One table of ours in full, one of all contenders side by side."""
    out = ["### Ours", "",
           "| fault | errors | POST failed | twice | truncated | slowest, s (POST) | slowed | within 250 ms | last slowed after, s | back after, s | leaked | bar |",
           "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    ours = [row for row in rows if row["contender"] == "nearhop"]
    for row in ours:
        cells = [row["fault"], row["errors"], row["post_errors"], row["doubles"], row["truncated"], slowest(row),
                 row["slow"], f"{row['within']:.2%}", seconds(row["last_slow"]), seconds(row["back"]),
                 "-" if row["leaked"] is None else row["leaked"], "; ".join(row["misses"]) or "met"]  # fmt: skip
        out.append("| " + " | ".join(map(str, cells)) + " |")
    others = [name for name in ("tuned", "haproxy", "nginx") if any(row["contender"] == name for row in rows)]
    if others:
        names = ["nearhop", *others]
        out += ["", "### Side by side", "",
                "Errors on idempotent requests + POSTs failed + truncated / slowest, s / slowed requests / back after, s.", "",
                "| fault | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]  # fmt: skip
        for row in ours:
            found = {r["contender"]: r for r in rows if r["name"] == row["name"]}
            if len(found) > 1:
                cells = [beside(found.get(name)) for name in names]
                out.append(f"| {row['fault']} | " + " | ".join(cells) + " |")
    return "\n".join(out) + "\n"


def beside(row):
    if not row:
        return "-"
    twice = f" (**{row['doubles']} twice**)" if row["doubles"] else ""
    return (
        f"{row['errors']} + {row['post_errors']} + {row['truncated']}{twice} / {slowest(row)} / {row['slow']}"
        f" / {seconds(row['back'])}"
    )


def write(file, rows):
    before, _, rest = file.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    file.write_text(f"{before}{BEGIN}\n\n{tables(rows)}\n{END}{after}")
