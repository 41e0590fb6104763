#!/usr/bin/env python3
"""
model.py - what a shootdown would take on machines we do not have: measured counts times published costs.

The counts are the bench's (instructions and cache lines on the initiator's path and on a target's), the costs are in
costs.csv with their sources. One is known here of no bare machine: from the write that sends an interrupt to the first
instruction of its handler. It is what is left of one published point (Linux, one target, concurrent) after the rest;
every other published point checks the model, and its error is printed.

    time = initiator's instructions and lines + delivery + one target's instructions, lines and invalidations

The initiator's lines are in a row, as if none of its reads overlapped its wait; targets work side by side, so one of
them counts, the last. Upgrades (writes to lines others have copies of) leave by the store buffer and are not waited
for. Left out: the write that sends (one or several), and interconnects that are busy. Guessed: that delivery takes
servers as long as the machine it is fitted to.

usage: bench/model/model.py [BENCH.csv…]   (of one build of the library; without: only the checks)
"""
import csv
import os
import sys
from collections import defaultdict, namedtuple

HERE = os.path.dirname(os.path.abspath(__file__))
Counts = namedtuple("Counts", "initiator_instructions initiator_lines target_instructions target_lines pages")


def table(name):
    with open(os.path.join(HERE, name), newline="") as file:
        return list(csv.DictReader(file))


COST = {row["name"]: float(row["ns"]) for row in table("costs.csv")}


def time_of(counts, line, deliver):
    """Nanoseconds. Of the initiator's own invalidation nothing is seen: it goes on beside the targets'."""
    return (
        counts.initiator_instructions * COST["instruction"]
        + counts.initiator_lines * line
        + deliver
        + counts.target_instructions * COST["instruction"]
        + counts.target_lines * line
        + counts.pages * COST["invlpg"]
    )


# ---- against what is published

# Debian's 6.1.192 on QEMU 7.2's q35, no PCID, mitigations off, instruction-counting clock: one page, one initiator, the
# targets spinning in user mode. Lines dirty elsewhere, and upgrades: the middle of what was seen in the whole kernel.
LINUX = {int(row["targets"]): {name: float(value) for name, value in row.items()} for row in table("linux-6.1.csv")}


def linux(targets):
    """Linux' counts; which side moves a line is not known of it: half and half."""
    row = LINUX[targets]
    return Counts(
        row["initiator_instructions"], row["lines"] / 2, row["target_instructions"], row["lines"] / 2 / targets, 1
    )


def linux_excess(targets, deliver, local_first):
    """What targets add to a shootdown without any, as published."""
    alone = LINUX[0]["initiator_instructions"] * COST["instruction"] + COST["invlpg"]
    return time_of(linux(targets), COST["line client"], deliver) + local_first * COST["invlpg"] - alone


def freebsd():
    """One counter that all targets add to and the initiator reads meanwhile: its line goes there and back for each
    answer, in a row. A word for each: N reads in a row. The rest is taken to be as in Linux."""
    targets = 7
    line = (3 * COST["line near low"] + 4 * COST["line far old"]) / targets
    rest = time_of(linux(targets)._replace(initiator_lines=0, target_lines=0), 0, calibrated())
    counter, words = rest + 2 * targets * line, rest + targets * line
    share = [COST["invlpg"] / (COST["invlpg"] + wait) for wait in ((targets + 1) / 2 * 2 * line, line)]
    return counter / words, *share


def calibrated():
    """The delivery that makes the model meet the point it is fitted to."""
    return float(
        next(row["value"] for row in table("published.csv") if row["curve"] == "linux concurrent")
    ) - linux_excess(1, 0, False)


def checks():
    """(curve, x, unit, published, modelled or None where it was fitted, source)"""
    deliver = calibrated()
    if deliver <= 0:
        raise ValueError("the costs leave nothing for the delivery of an interrupt: one of them is wrong")
    ratio, counter, words = freebsd()
    page = LINUX[1]["page_instructions"] * COST["instruction"] + COST["invlpg"]
    modelled = {
        "freebsd ack words": ratio,
        "freebsd share counter": counter,
        "freebsd share words": words,
        "illumos by pages": page,
    }
    found = []
    for row in table("published.csv"):
        curve, x = row["curve"], int(row["x"])
        fitted = (curve, x) == ("linux concurrent", 1)
        value = modelled[curve] if curve in modelled else linux_excess(x, deliver, curve == "linux local first")
        found.append((curve, x, row["unit"], float(row["value"]), None if fitted else value, row["source"]))
    return found


# ---- the bench's counts

CELL = "cpus members initiators pages ranges space lazy".split()


def floor_lines(targets):
    """What no protocol can be below where each target is told alone: the request read, the answer written, the answer
    read."""
    return 3 * targets


def cell_of(row):
    """The cell of a row of such a file: its values of CELL."""
    return tuple(row[name] if name == "space" else int(row[name]) for name in CELL)


def read_rounds(paths):
    """{(cell…): {protocol: [counts of a round]}}, of all files; a cell is the values of CELL. Told, the targets of a
    shootdown, is summed up over shootdowns."""
    cells = defaultdict(lambda: defaultdict(list))
    for path in paths:
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                counts = {
                    name: float(value)
                    for name, value in row.items()
                    if name not in (*CELL, "machine", "emulator", "commit", "protocol", "row", "round")
                }
                counts["told"] *= counts["shootdowns"]
                cells[cell_of(row)][row["protocol"]].append(counts)
    return cells


def summed(cells):
    """{cell: {protocol: sums over its rounds}}"""
    return {
        cell: {
            protocol: {name: sum(counts[name] for counts in rounds) for name in rounds[0]}
            for protocol, rounds in protocols.items()
        }
        for cell, protocols in cells.items()
    }


def read_counts(paths):
    return summed(read_rounds(paths))


def lines_of(sums, side):
    return sums[side + "_dirty"] + sums[side + "_clean"]


def counts_of(sums):
    """Per shootdown, and per target."""
    many, services = sums["shootdowns"], sums["service_times"]
    return Counts(
        sums["initiator_instructions"] / many,
        lines_of(sums, "initiator") / many,
        sums["service_instructions"] / services if services else 0,
        lines_of(sums, "service") / services if services else 0,
        1,
    )


def busy(sums, line, deliver):
    """Nanoseconds for which all CPUs together are busy with one shootdown, waiting included: of the counts of a cell in
    which all of them shoot, what bounds how many there are in a time."""
    many = sums["shootdowns"]
    return (
        (sums["initiator_instructions"] + sums["service_instructions"]) / many * COST["instruction"]
        + (lines_of(sums, "initiator") + lines_of(sums, "service")) / many * line
        + sums["interrupts"] / sums["dispatches"] * deliver
    )


def straight(points):
    """Least squares: (value at 0, slope, the largest error at a point as a share of it)."""
    n, sx, sy = len(points), sum(x for x, _ in points), sum(y for _, y in points)
    slope = (n * sum(x * y for x, y in points) - sx * sy) / (n * sum(x * x for x, _ in points) - sx * sx)
    base = (sy - slope * sx) / n
    return base, slope, max(abs(base + slope * x - y) / y if y else 0 for x, y in points)


def growth(cells):
    """{protocol: (points {targets: Counts}, whether all CPUs are at work in each)}: one initiator, one page. Boots of
    several sizes, each with all its CPUs at work, tell also what grows with CPUs; one boot does not.
    """
    grown = {}
    for whole in (True, False):
        points = defaultdict(dict)
        for cell, protocols in cells.items():
            at = dict(zip(CELL, cell))
            if (at["initiators"], at["pages"], at["ranges"], at["space"], at["lazy"]) != (1, 1, 1, "shared", 0):
                continue
            if at["members"] < 2 or (whole and at["members"] != at["cpus"]):
                continue
            for protocol, sums in protocols.items():
                if not protocol.endswith("-everyone"):
                    points[protocol][at["members"] - 1] = counts_of(sums)
        for protocol, found in points.items():
            if len(found) > 2 and protocol not in grown:
                grown[protocol] = found, whole
    return grown


def project(points, targets):
    """Counts with so many targets, and the fit's largest error."""
    fits = [straight([(x, counts[i]) for x, counts in points.items()]) for i in range(4)]
    return Counts(*(max(0, base + slope * targets) for base, slope, _ in fits), 1), max(error for *_, error in fits)


def projection(cells):
    """[(protocol, error of the fit, all at work, {(cpus, sockets): (ns low, ns high)})]"""
    rows = []
    peer = {"Linux 6.1": ({targets: linux(targets) for targets in LINUX if targets}, False)}
    for protocol, (points, whole) in {**growth(cells), **peer}.items():
        error, times = 0, {}
        for cpus, sockets in ((8, 1), (64, 1), (64, 2), (512, 2)):
            counts, error = project(points, cpus - 1)
            far = (cpus - cpus // sockets) / (cpus - 1)
            times[cpus, sockets] = tuple(
                time_of(counts, far * COST["line far " + end] + (1 - far) * COST["line near " + end], calibrated())
                for end in ("low", "high")
            )
        rows.append((protocol, error, whole, times))
    return rows


def main(paths):
    print(f"delivery of an interrupt, fitted: {calibrated():.0f} ns (in a KVM guest: {COST['deliver guest']:.0f})")
    print(f"{'published':24} {'at':>5} {'value':>8} {'model':>8} {'error':>7}")
    for curve, x, unit, value, modelled, _ in checks():
        said = f"{modelled:8.2f} {100 * (modelled / value - 1):+6.0f} %" if modelled else "  fitted"
        print(f"{curve:24} {x:5} {value:8.2f} {said}  {unit}")
    if not paths:
        print("no counts: make bench, then make model")
        return
    print("\none page, one initiator, all other CPUs targets; microseconds, on server parts as published")
    rows = projection(read_counts(paths))
    heads = [f"{cpus} CPUs/{sockets}" for cpus, sockets in rows[0][3]] if rows else []
    print(f"{'protocol':12} " + " ".join(f"{head:>15}" for head in heads) + "   fit's error")
    for protocol, error, whole, times in rows:
        print(
            f"{protocol:12} "
            + " ".join(f"{low / 1000:6.1f} to {high / 1000:5.1f}" for low, high in times.values())
            + f"   {100 * error:.0f} %"
            + ("" if whole else ", from one number of CPUs")
        )


if __name__ == "__main__":
    main(sys.argv[1:])
