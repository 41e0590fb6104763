#!/usr/bin/env python3
"""
page.py - the report: one HTML page of what was measured, complete in itself. No scripts, nothing from elsewhere.

usage: report/page.py DIRECTORY [BENCH.csv…]   writes DIRECTORY/index.html
DIRECTORY has the records (record.py): events-PROTOCOL.txt, compare.txt, run.txt, mutants.txt, matrix.txt. What is not
there is said to be missing, with the command that makes it. Every figure is followed by the same in text.
"""
import csv
import glob
import html
import os
import re
import statistics
import subprocess
import sys
from collections import Counter, defaultdict

from events import parse, picture
from record import Record, commit

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench", "model"))
import model  # noqa: E402

# Seen against white and against near-black alike.
COLOURS = ["#1f77d0", "#c4561c", "#2c8f4f", "#a04fc0", "#b0304f", "#8a7a10"]
GREY = "#777777"
STYLE = """
:root { color-scheme: light dark; --back: #fff; --fore: #1a1d21; --line: #c8ccd2; --soft: #f2f4f6; }
@media (prefers-color-scheme: dark) { :root { --back: #15181c; --fore: #e4e7eb; --line: #454b54; --soft: #20252b; } }
body { margin: 0 auto; padding: 0 1rem 4rem; max-width: 60rem; background: var(--back); color: var(--fore);
       font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); }
figure { margin: 1.5rem 0; }
figure svg { display: block; width: 100%; height: auto; max-width: 42rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 0 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: .2rem .6rem .2rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; }
pre, .source, .missing { background: var(--soft); padding: .6rem .8rem; font-size: .8125rem; }
pre { white-space: pre-wrap; }
code { font-size: .9em; }
summary { cursor: pointer; }
.bad { font-weight: bold; }
"""
E = html.escape


# ---- pieces


def rows(head, body, numbers=()):
    """A table; the columns in numbers are set right."""

    def cells(tag, row):
        return "".join(
            f"<{tag}{' class=n' if i in numbers else ''}>{E(str(cell))}</{tag}>" for i, cell in enumerate(row)
        )

    return (
        f"<div class=wide><table><thead><tr>{cells('th', head)}</tr></thead><tbody>"
        + "".join(f"<tr>{cells('td', row)}</tr>" for row in body)
        + "</tbody></table></div>"
    )


def details(summary, inside):
    return f"<details><summary>{E(summary)}</summary>{inside}</details>"


def figure(svg, caption, text):
    return f"<figure>{svg}<figcaption>{E(caption)}</figcaption>{details('In text', text)}</figure>"


def source(about):
    made = "".join(
        f"{E(name)}: <code>{E(str(about[name]))}</code><br>"
        for name in ("command", "machine", "emulator", "commit", "date")
        if about.get(name)
    )
    failed = (
        ""
        if about.get("status", "0") == "0"
        else f"<span class=bad>The run failed: status {E(about['status'])}.</span>"
    )
    return f"<p class=source>{made}{failed}</p>"


def missing(what, command):
    how = f"<code>{E(command)}</code> makes it, then <code>make report</code>."
    return f"<p class=missing>{E(what)} Not measured yet: {how}</p>"


def number(value):
    if value is None:
        return ""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


# ---- one shootdown of each protocol


def meanings():
    with open("include/ktlb/event.h") as file:
        return dict(re.findall(r'X\([A-Z]+, "(\w+)", "([^"]*)"\)', file.read()))


def diagram(taken, title):
    """Time runs down, a step for each event: the emulator's cycles are at the left, and lengths mean nothing."""
    first, step, top, left = taken[0], 25, 46, 52
    targets = sorted({cpu for event in taken if event.what == "post" for cpu in event.cpus})
    column = {cpu: left + 14 + i * 300 / (len(targets) + 1) for i, cpu in enumerate([first.cpu] + targets)}
    height = top + step * len(taken)
    out = [
        f'<svg viewBox="0 0 360 {height}" role="img" aria-label="{E(title)}" font-family="system-ui, sans-serif" '
        f'font-size="11" fill="currentColor">'
    ]
    for cpu, x in column.items():
        out.append(f'<text x="{x - 6:.0f}" y="14" font-weight="bold">CPU {cpu}</text>')
        out.append(f'<line x1="{x:.1f}" y1="22" x2="{x:.1f}" y2="{height - 8}" stroke="{GREY}" stroke-width="1"/>')
    out.append(f'<text x="0" y="14" fill="currentColor">cycles</text>')
    place = {i: (column[event.cpu], top + step * i - 8) for i, event in enumerate(taken)}
    sync = place[len(taken) - 1]
    for i, event in enumerate(taken):
        for j in range(i + 1, len(taken)) if event.what == "kick" else ():
            if taken[j].what == "ipi" and taken[j].cpu in event.cpus:
                out.append(arrow(place[i], place[j], COLOURS[1], ""))
        if event.what == "ack":
            out.append(arrow(place[i], sync, COLOURS[2], ' stroke-dasharray="3 3"'))
    for i, event in enumerate(taken):
        x, y = place[i]
        out.append(f'<circle cx="{x:.1f}" cy="{y}" r="4" fill="{COLOURS[0]}"/>')
        out.append(f'<text x="{x + 7:.1f}" y="{y + 4}" class="halo">{E(event.what)}</text>')
        out.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{event.cycles - first.cycles}</text>')
    return "".join(out) + "</svg>"


def arrow(begin, end, colour, dash):
    (x1, y1), (x2, y2) = begin, end
    length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5 or 1
    ux, uy = (x2 - x1) / length, (y2 - y1) / length
    x2, y2 = x2 - 5 * ux, y2 - 5 * uy
    back = [(x2 - 7 * ux + side * uy, y2 - 7 * uy - side * ux) for side in (3, -3)]
    head = " ".join(f"{x:.1f},{y:.1f}" for x, y in [(x2, y2)] + back)
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dash}/>'
        f'<polygon points="{head}" fill="{colour}"/>'
    )


def timelines(directory, protocols):
    out, said = [], meanings()
    for protocol in protocols:
        path = f"{directory}/events-{protocol}.txt"
        out.append(f"<div><h3>{E(protocol)}</h3>")
        if not os.path.exists(path):
            out.append(missing(f"One shootdown of {protocol}.", "make report") + "</div>")
            continue
        record = Record(path)
        taken = picture(parse(record.lines)[0])
        first, targets = taken[0], sorted({c for e in taken if e.what == "post" for c in e.cpus})
        kicked = sorted({c for e in taken if e.what == "kick" for c in e.cpus})
        caption = (
            f"CPU {first.cpu} invalidates {first.argument} page{'s' * (first.argument != 1)} of space "
            f"{first.batch[0]}, generation {first.batch[1]}: {len(targets)} targets, {len(kicked)} interrupts, "
            f"{len(taken)} events."
        )
        text = rows(
            ("cycles", "CPU", "event", "meaning"),
            [
                (
                    e.cycles - first.cycles,
                    e.cpu,
                    e.what + (f" {','.join(map(str, e.cpus))}" if e.cpus else ""),
                    said[e.what],
                )
                for e in taken
            ],
            (0, 1),
        )
        out.append(figure(diagram(taken, f"{protocol}: {caption}"), caption, text))
        out.append(
            f"<p>All events of that run, for Perfetto: <code>{E(os.path.join(directory, protocol))}.json</code></p>"
        )
        out.append(source(record.about) + "</div>")
    return "<div class=pair>" + "".join(out) + "</div>"


# ---- all protocols over one trace, the replay, the matrices

COMPARED = re.compile(r"^    (\w+) +(everyone|holders) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+) +(\d+)$")


def compared(directory):
    if not os.path.exists(path := f"{directory}/compare.txt"):
        return missing("All protocols over one trace.", "make report")
    record = Record(path)
    table = [found.groups() for line in record.lines if (found := COMPARED.match(line))]
    notes = [
        line.strip()
        for line in record.lines
        if re.match(r"^    (\d+ shootdowns of each|CPUs, are|\w+, the default|control)", line)
    ]
    return (
        rows(
            ("protocol", "told", "speed", "interrupts", "targets", "full flushes", "wait", "stale"),
            table,
            range(2, 8),
        )
        + "<p>"
        + E(re.sub(" +control +", ". The control ", " ".join(notes)))
        + "</p>"
        + details("The whole output", f"<pre>{E(chr(10).join(record.lines))}</pre>")
        + source(record.about)
    )


def replayed(directory):
    if not os.path.exists(path := f"{directory}/run.txt"):
        return missing("A program's memory traffic replayed.", "make report")
    record = Record(path)
    wanted = ("shootdowns", "targets", "interrupts", "checked", "stale", "control")
    table = [
        (found[1], found[2])
        for line in record.lines
        if (found := re.match(r"^    (\w+) {2,}(.*)$", line)) and found[1] in wanted
    ]
    return (
        rows(("", "one program, replayed"), table)
        + details("The whole output", f"<pre>{E(chr(10).join(record.lines))}</pre>")
        + source(record.about)
    )


MATRIX = re.compile(
    r"^ok - (.*): (\d+) passed, (\d+) skipped, (\d+) accesses checked, (\d+) stale; "
    r"controls: (\d+) fired, (\d+) blind here"
)


def coherence(directory):
    if not os.path.exists(path := f"{directory}/matrix.txt"):
        return missing("Every scenario on every emulated machine.", "make report-matrix")
    record = Record(path)
    table = [(found[1], *map(int, found.groups()[1:])) for line in record.lines if (found := MATRIX.match(line))]
    sums = [sum(row[i] for row in table) for i in range(1, 7)]
    broken = [line for line in record.lines if line.startswith("not ok")]
    head = ("run", "passed", "skipped", "accesses checked", "stale", "controls fired", "blind here")
    return (
        rows(("", "total"), [("runs", len(table)), *zip(head[1:], sums)], (1,))
        + "".join(f"<p class=bad>{E(line)}</p>" for line in broken)
        + details("Each run", rows(head, table, range(1, 7)))
        + f"<p>Last line: <code>{E(record.lines[-1] if record.lines else '')}</code></p>"
        + source(record.about)
    )


FOUND = (
    "<p>How many of the changes in each file (or of the museum: bugs of real systems put back) each case of the "
    "explorer was the first to find:</p>"
)
KILLED = re.compile(r"^killed +(.+?) +(\S+) +(\d+)  (.*)$")
ALIVE = re.compile(r"^(SURVIVED|NOT BUILT) +(.*)$")


def kills(directory):
    if not os.path.exists(path := f"{directory}/mutants.txt"):
        return missing("The library broken in every way we know.", "make report-mutants")
    record = Record(path)
    dead = [found.groups() for line in record.lines if (found := KILLED.match(line))]
    alive = [found.groups() for line in record.lines if (found := ALIVE.match(line))]
    kinds = [re.match(r"(\w+\.c):\d+ ", name)[1] if re.match(r"\w+\.c:\d+ ", name) else "museum" for name, *_ in dead]
    columns, cases = sorted(set(kinds)), [case for case, _ in Counter(row[1] for row in dead).most_common()]
    count = Counter(zip((row[1] for row in dead), kinds))
    matrix = [
        (case, *(count[case, kind] or "" for kind in columns), sum(count[case, kind] for kind in columns))
        for case in cases
    ]
    matrix.append(("all", *(kinds.count(kind) for kind in columns), len(dead)))
    return f"<p>{len(dead)} killed, {len(alive)} not.</p>" + "".join(
        f"<p class=bad>{E(how)}: {E(name)}</p>" for how, name in alive
    ) + FOUND + rows(
        ("case", *columns, "all"), matrix, range(1, len(columns) + 2)
    ) + details(
        "Each one", rows(("change", "found by", "executions", "how it shows"), dead, (2,))
    ) + source(
        record.about
    )


# ---- plots of the bench

plots_made = 0


def plot(title, x, y, series):
    """An SVG by gnuplot. series: {name: [(x, y)]}; "floor" is drawn dashed. Text and frame take the page's colour."""
    global plots_made
    plots_made += 1
    script = [
        "set term svg size 560,420 dynamic font 'sans-serif,17'",
        "set encoding utf8; set key below spacing 1.1; set grid",
        f"set xlabel '{x}' offset 0,0.7; set ylabel '{y}'",
        "set yrange [0:*]; set offsets graph 0.03, graph 0.03, graph 0.05, 0",
    ]
    ticks = sorted({px for points in series.values() for px, _ in points})
    script.append("set logscale x 2; set xtics (" + ", ".join(f"'{t}' {t}" for t in ticks) + ")")
    parts = []
    for i, (name, points) in enumerate(series.items()):
        block = f"$data{i}"
        script.append(f"{block} << EOD\n" + "\n".join(f"{px} {py}" for px, py in sorted(points)) + "\nEOD")
        look = (
            f"lc rgb '{GREY}' dt 2 lw 2 pt 0"
            if name == "floor"
            else f"lc rgb '{COLOURS[i % len(COLOURS)]}' lw 2 pt {i + 4} ps 0.7"
        )
        parts.append(f"{block} using 1:2 with linespoints {look} title '{name}'")
    script.append("plot " + ", ".join(parts))
    svg = subprocess.run(["gnuplot"], input="\n".join(script), capture_output=True, text=True, check=True).stdout
    svg = svg[svg.index("<svg") :].replace("gnuplot_", f"plot{plots_made}_").replace("gpPt", f"plot{plots_made}Pt")
    svg = svg.replace("gpDot", f"plot{plots_made}Dot").replace("<title>Gnuplot</title>", f"<title>{E(title)}</title>")
    svg = re.sub(r"\s*<filter.*?</filter>|<desc>.*?</desc>", "", svg, flags=re.S)
    svg = re.sub(r"""(fill|stroke)=(['"])(black|rgb\(\s*0,\s*0,\s*0\))\2""", r"\1='currentColor'", svg).replace(
        ' color="black"', ""
    )
    return svg.replace("<svg", f"<svg role='img' aria-label='{E(title)}'", 1)


def per_shootdown(sums):
    """What one shootdown cost. Lines: dirty, clean and upgrades, on both paths. None: the library does not count."""
    many, counted, services = sums["shootdowns"], sums["dispatches"], sums["service_times"]
    return {
        "lines": sum(
            sums[f"{side}_{kind}"] for side in ("initiator", "service") for kind in ("dirty", "clean", "upgrade")
        )
        / many,
        "targets": sums["told"] / many,
        "interrupts": sums["interrupts"] / counted if counted else None,
        "full": sums["flushes"] / counted if counted else None,
        "dirty": (sums["initiator_dirty"] + sums["service_dirty"]) / many,
        "upgrades": (sums["initiator_upgrade"] + sums["service_upgrade"]) / many,
        "instructions": sums["initiator_instructions"] / many,
        "each target": sums["service_instructions"] / services if services else 0.0,
    }


def axis(cells, name, x_of, fixed):
    """{protocol: [(x, costs)]} along one axis: the cells in which the rest is as fixed says. Of several sizes of
    machine the largest."""
    found = {}
    for cell in sorted(cells):
        at = dict(zip(model.CELL, cell))
        if all(at[key] == value for key, value in fixed(at).items()):
            for protocol, sums in cells[cell].items():
                found.setdefault(protocol, {})[x_of(at)] = per_shootdown(sums)
    return {protocol: sorted(points.items()) for protocol, points in found.items() if len(points) > 1}


def plotted(cells, what, title, x, y, x_of, fixed, floor):
    found = {
        name: points for name, points in axis(cells, what, x_of, fixed).items() if not name.endswith("-everyone")
    }
    if not found or any(costs[what] is None for points in found.values() for _, costs in points):
        return ""
    series = {name: [(at, costs[what]) for at, costs in points] for name, points in found.items()}
    if floor:
        longest = max(found.values(), key=len)
        series["floor"] = [(at, floor(costs)) for at, costs in longest]
    ticks = sorted({at for points in series.values() for at, _ in points})
    values = {name: dict(points) for name, points in series.items()}
    text = rows(
        (x, *series),
        [(at, *(number(float(values[name][at])) if at in values[name] else "" for name in series)) for at in ticks],
        range(len(series) + 1),
    )
    most = {name: points[-1] for name, points in series.items()}
    caption = (
        f"{title}. At {ticks[-1]}: "
        + ", ".join(f"{name} {number(float(value))}" for name, (_, value) in most.items())
        + "."
    )
    return figure(plot(title, x, y, series), caption, text)


def mean(rounds, what):
    """(mean of the rounds, its standard error by how far they differ)"""
    values = [cost[what] for cost in map(per_shootdown, rounds)]
    if len(values) < 2:
        return values[0], 0.0
    return statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5


def ratio(ours, other):
    """(how many times the other's mean ours is, twice the standard error of that)"""
    if not other[0]:
        return (float("inf") if ours[0] else 1.0), 0.0
    found = ours[0] / other[0]
    return found, 2 * found * sum((error / value) ** 2 for value, error in (ours, other) if value) ** 0.5


def verdicts(cells, default):
    """Each cell: the default, the floor and every other protocol, in lines and in interrupts. Said apart: where the
    default is above 1.25 times the floor with one initiator, or more than 5 % behind another protocol."""
    judged, table = ("lines", "interrupts"), []
    above, behind, unsure, widest = [], [], [], 0.0
    others = sorted({name for found in cells.values() for name in found if not name.endswith("-everyone")} - {default})
    for cell in sorted(cells):
        if default not in cells[cell]:
            continue
        at, row, bad = dict(zip(model.CELL, cell)), list(cell), []
        where = ", ".join(f"{name} {value}" for name, value in at.items())
        told = per_shootdown(cells[cell][default][0])["targets"]
        for what, floor in zip(judged, (model.floor_lines(told), told)):
            means = {name: mean(cells[cell][name], what) for name in (default, *others) if name in cells[cell]}
            widest = max([widest, *(error / value for value, error in means.values() if value)])
            row += [number(floor), *(number(means[name][0]) if name in means else "" for name in (default, *others))]
            ours = means[default]
            times, doubt = ratio(ours, (floor, 0.0))
            if at["initiators"] == 1 and times > 1.25:
                above.append((where, what, number(ours[0]), "floor", number(floor), f"{times:.2f} ± {doubt:.2f}"))
                bad.append(f"{what} {times:.2f} of the floor")
            for name in others:
                times, doubt = ratio(ours, means[name]) if name in means else (0.0, 0.0)
                if times > 1.05:
                    (behind if times - doubt > 1.05 else unsure).append(
                        (where, what, number(ours[0]), name, number(means[name][0]), f"{times:.2f} ± {doubt:.2f}")
                    )
                    bad.append(f"{what} {times:.2f}{'' if times - doubt > 1.05 else '?'} of {name}")
        table.append((*row, "; ".join(bad)))
    cells_of = [len({where for where, *_ in found}) for found in (above, behind, unsure)]
    said = (
        f"<p>Of {len(table)} cells {default}, the default, is above 1.25 times the floor in {cells_of[0]}, of those "
        f"with one initiator; behind another protocol by more than 5 %, in lines or in interrupts, in {cells_of[1]}; "
        f"and perhaps so, by less than twice the standard error of the ratio, in {cells_of[2]}. A figure is the mean "
        f"of a cell's rounds, and its own standard error at most {100 * widest:.1f} %.</p>"
    )
    columns = [f"{name}: {what}" for what in judged for name in ("floor", default, *others)]
    head = ("cell", "of", default, "other", "its", "times, and twice its error")
    return (
        said
        + "".join(
            details(title, rows(head, found, (2, 4, 5)))
            for title, found in (("Above the floor", above), ("Behind another", behind), ("Perhaps behind", unsure))
            if found
        )
        + details(
            f"Every cell: {default}, the floor, and every other protocol",
            rows((*model.CELL, *columns, "beyond"), table, (0, 1, 2, 3, 4, 6, *range(7, 7 + len(columns)))),
        )
    )


def linux_table(cells, default):
    body = []
    for targets in (1, 3, 7):
        for cell in cells:
            at = dict(zip(model.CELL, cell))
            if (
                default in cells[cell]
                and at["members"] == targets + 1
                and (at["initiators"], at["pages"], at["ranges"], at["space"], at["lazy"]) == (1, 1, 1, "shared", 0)
            ):
                ours, peer = per_shootdown(cells[cell][default]), model.LINUX[targets]
                body += [
                    (targets, what, number(peer[theirs]), number(ours[mine]), f"{ours[mine] / peer[theirs]:.2f}")
                    for what, theirs, mine in (
                        ("initiator's instructions", "initiator_instructions", "instructions"),
                        ("each target's instructions", "target_instructions", "each target"),
                        ("dirty lines", "lines", "dirty"),
                        ("upgrades", "upgrades", "upgrades"),
                    )
                ]
                break
    if not body:
        return missing("One page, 1, 3 and 7 targets, beside Linux.", "make bench")
    return (
        rows(("targets", "per shootdown", "Linux 6.1", default, "ratio"), body, (0, 2, 3, 4))
        + "<p>Linux: Debian's 6.1.192 in the same emulator by the same counting, the middle of what was seen; its "
        "lines are of the whole kernel. Ours are of the path from the call to the return, and of the interrupt.</p>"
    )


def every_cell(cells):
    body = [
        (
            *cell,
            protocol,
            *(number(cost[what]) for what in ("targets", "interrupts", "full", "lines")),
            number(model.floor_lines(cost["targets"])),
            number(cost["instructions"]),
            number(cost["each target"]),
        )
        for cell in sorted(cells)
        for protocol, sums in cells[cell].items()
        for cost in [per_shootdown(sums)]
    ]
    return rows(
        (
            *model.CELL,
            "protocol",
            "targets",
            "interrupts",
            "full flushes",
            "lines",
            "floor",
            "initiator",
            "each target",
        ),
        body,
        (0, 1, 2, 3, 4, 6, *range(8, 15)),
    )


LINES_OF_A_SOCKET = ("line client", "line near low", "line near high")


def throughput(paths, cells, default):
    """Shootdowns in a time, each round by the default's median in the same run; and what one executes, which repeats."""
    rounds = defaultdict(lambda: defaultdict(list))
    for path in paths:
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                rounds[model.cell_of(row)][row["protocol"]].append(int(row["shootdowns"]) / int(row["cycles"]))
    names = sorted({name for found in rounds.values() for name in found}, key=lambda name: (name != default, name))

    def shown(cell, name):
        if len(rounds[cell][name]) < 2:
            return ""
        low, middle, high = (
            part / statistics.median(rounds[cell][default])
            for part in statistics.quantiles(rounds[cell][name], n=4, method="inclusive")
        )
        return f"{middle:.2f} ({low:.2f}–{high:.2f})"

    executed = {
        cell: {name: sums["cycles"] / sums["shootdowns"] for name, sums in found.items()}
        for cell, found in cells.items()
        if default in found
    }
    text = "<p>Shootdowns in a time: the median of the rounds, and the middle half of them, by the default's median in the "
    text += "same run. Emulated CPUs are threads here: on a host with fewer processors than the machine has CPUs a target "
    text += "answers when the host next lets it run, and that is what these times measure. Where the halves overlap they "
    text += "decide nothing; nor do they beyond what they differ by in private spaces, where nobody is told, and what "
    text += "differs is the host. What all CPUs execute for one shootdown does repeat:</p>"
    many = [cell for cell in sorted(executed) if cell[2] > 1 and cell in rounds]
    loud = [cell for cell in many if dict(zip(model.CELL, cell))["space"] == "shared"]  # in private spaces nobody is told
    deliver = model.calibrated()

    def at_cost(cell, name):
        if name not in executed[cell]:
            return ""
        ours, theirs = (
            [model.busy(cells[cell][of], model.COST[at], deliver) for at in LINES_OF_A_SOCKET] for of in (default, name)
        )
        times = sorted(mine / its for mine, its in zip(ours, theirs))
        return f"{times[0]:.2f}–{times[-1]:.2f}"

    return (
        text
        + rows(
            (*model.CELL, *names),
            [
                (*cell, *(f"{executed[cell][name]:.0f}" if name in executed[cell] else "" for name in names))
                for cell in many
            ],
            range(20),
        )
        + "<p>What that takes, with the lines and the interrupts: shootdowns in a time that the published costs allow, by the "
        "default's, with lines of a client's socket and of a server's:</p>"
        + rows((*model.CELL, *names), [(*cell, *(at_cost(cell, name) for name in names)) for cell in loud], range(20))
        + "<p>And the times:</p>"
        + rows(
            (*model.CELL, *names), [(*cell, *(shown(cell, name) for name in names)) for cell in sorted(rounds)], range(20)
        )
    )


def plots(cells):
    one = {"initiators": 1, "ranges": 1, "space": "shared", "lazy": 0}
    largest = max(cell[0] for cell in cells)
    busy = {"ranges": 1, "space": "shared", "lazy": 0, "cpus": largest, "members": largest}
    by_targets = (
        "targets",
        (lambda at: at["members"] - 1),
        (lambda at: {**one, "pages": 1, "members": max(at["members"], 2)}),
    )
    by_initiators = "initiators at once", (lambda at: at["initiators"]), (lambda at: {**busy, "pages": 1})
    by_pages = "pages", (lambda at: at["pages"]), (lambda at: {**busy, "initiators": 1})
    three, each = (lambda costs: 3 * costs["targets"]), (lambda costs: costs["targets"])
    wanted = [
        ("lines", "Cache lines passed between CPUs, per shootdown of one page", "lines", by_targets, three),
        ("interrupts", "Interrupts per shootdown of one page", "interrupts", by_targets, each),
        (
            "instructions",
            "Instructions of the initiator, per shootdown of one page",
            "instructions",
            by_targets,
            None,
        ),
        (
            "lines",
            f"Cache lines per shootdown, several initiators at once, {largest} CPUs",
            "lines",
            by_initiators,
            three,
        ),
        (
            "interrupts",
            f"Interrupts per shootdown, several initiators at once, {largest} CPUs",
            "interrupts",
            by_initiators,
            each,
        ),
        ("each target", f"Instructions of each target by pages, {largest} CPUs", "instructions", by_pages, None),
    ]
    return "".join(
        plotted(cells, what, title, x, y, x_of, fixed, floor) for what, title, y, (x, x_of, fixed), floor in wanted
    )


def bench(files, default):
    """What make bench left: files of a name are of a build, a trace, or times."""
    out = []
    for title, names in (
        ("The library as it is", CHECKED),
        ("Without what can be left out", ("targets-bare",)),
        ("That, with the default protocol bound at build time", ("targets-bound",)),
        ("Over a program's trace", ("trace-",)),
        ("Throughput", ("speed",)),
    ):
        chosen = [path for path in files if os.path.basename(path).startswith(names)]
        out.append(f"<h3>{E(title)}</h3>")
        cells = model.read_counts(chosen)
        if not cells:
            out.append(missing("", "make bench"))
            continue
        if names == CHECKED:
            out.append(f"<div class=pair>{plots(cells)}</div>" + verdicts(model.read_rounds(chosen), default))
        if names[0].startswith(("targets", "axes")):
            out.append(linux_table(cells, default) + details("All costs of every cell", every_cell(cells)))
        elif names == ("trace-",):
            out.append(every_cell(cells))
        else:
            counted = model.read_counts([path for path in files if os.path.basename(path).startswith(CHECKED)])
            out.append(throughput(chosen, counted, default))
        rows_of = {
            (row["machine"], row["emulator"], row["commit"])
            for path in chosen
            for row in csv.DictReader(open(path, newline=""))
        }
        if len({commit for _, _, commit in rows_of}) > 1:
            out.append("<p class=bad>These are of several commits, and do not compare.</p>")
        out += [
            source({"command": "make bench", "machine": machine, "emulator": emulator, "commit": at})
            for machine, emulator, at in sorted(rows_of)
        ]
    return "".join(out)


CHECKED = ("targets-checked", "axes-", "deep-")


def modelled(files):
    checks = [
        (
            curve,
            x,
            f"{value:.2f} {unit}",
            "fitted to it" if guess is None else f"{guess:.2f}",
            "" if guess is None else f"{100 * (guess / value - 1):+.0f} %",
            said,
        )
        for curve, x, unit, value, guess, said in model.checks()
    ]
    out = [
        "<p>What counts like these would take on machines with published costs. Of the delivery of an interrupt on a "
        f"bare machine none is known here: it is fitted to one published point ({model.calibrated():.0f} ns), and "
        "guessed to be the same on servers. The other points check the model.</p>",
        details(
            "Costs",
            rows(
                ("cost", "ns", "is", "source"),
                [(c["name"], c["ns"], c["kind"], c["source"]) for c in model.table("costs.csv")],
                (1,),
            ),
        ),
        rows(("published", "at", "value", "model", "error", "source"), checks, (1, 3, 4)),
    ]
    files = [path for path in files if os.path.basename(path).startswith(CHECKED)]
    if files:
        found = model.projection(model.read_counts(files))
        heads = [f"{cpus} CPUs, {sockets} socket{'s' * (sockets > 1)}" for cpus, sockets in found[0][3]]
        out.append(
            "<p>One page, one initiator, all other CPUs targets, in microseconds on server parts as published, low to "
            "high; by the straight line through what was measured, the fit's error the largest at those points.</p>"
            + rows(
                ("counts of", *heads, "fit's error"),
                [
                    (
                        name,
                        *(f"{low / 1000:.1f} to {high / 1000:.1f}" for low, high in times.values()),
                        f"{100 * error:.0f} %" + ("" if whole else ", one number of CPUs"),
                    )
                    for name, error, whole, times in found
                ],
            )
        )
    else:
        out.append(missing("The projection to 512 CPUs.", "make bench"))
    return "".join(out) + source({"command": "make model", "commit": commit()})


def main(directory, files):
    with open("source/protocol/protocol.h") as file:
        text = file.read()
    protocols = re.findall(r"^ +X\((\w+)\)", text, re.M) + ["hardware"]
    parts = [
        (
            "One shootdown of each protocol",
            "Time runs down, one step for each event. Cycles are the emulator's, so the order counts, "
            "not the distances. Solid: an interrupt; dashed: an answer, read before the sync returns.",
            timelines(directory, protocols),
        ),
        ("Every protocol over the same trace", "", compared(directory)),
        (
            "What a shootdown costs, beside the floor",
            "Counts of an emulator, not times. The floor: an interrupt for each target, and "
            "three lines: the request read, the answer written, the answer read. Initiators that ask at once may share "
            "interrupts, and be below it.",
            bench(files, protocols[0]),
        ),
        ("On machines we do not have", "", modelled(files)),
        (
            "What was checked",
            "A stale access is one through a translation that a returned sync had removed. A control is the same "
            "with a step left out, and has to be caught.",
            replayed(directory) + coherence(directory),
        ),
        ("What the explorer finds", "", kills(directory)),
    ]
    body = "".join(
        f"<section><h2>{E(title)}</h2>{f'<p>{E(intro)}</p>' if intro else ''}{inside}</section>"
        for title, intro, inside in parts
    )
    page = (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f'<link rel=icon href="data:,"><title>ktlb: the report</title><style>{STYLE}</style>'
        "<body><h1>ktlb: the report</h1>"
        "<p>What was measured, each part with the command that measures it again. Written by <code>make report</code> "
        f"at commit <code>{E(commit())}</code>.</p>{body}</body></html>\n"
    )
    with open(f"{directory}/index.html", "w") as file:
        file.write(page)
    failed = [os.path.basename(path) for path in sorted(glob.glob(f"{directory}/*.txt")) if not Record(path).good]
    print(
        f"{directory}/index.html: {len(page) // 1024} KiB"
        + (f"; runs that failed: {', '.join(failed)}" if failed else "")
    )
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
