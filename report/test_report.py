#!/usr/bin/env python3
"""
test_report.py - what the report is made of: the events are read whole, their Chrome traces parse and nest, the pictures
hold what a shootdown consists of, and the model's arithmetic is right. Each check is shown to fail on what is wrong.

usage: report/test_report.py DIRECTORY   ends with "N passed, N failed"
"""
import copy
import glob
import json
import os
import sys

from events import LINE, parse, picture
from page import verdicts
from record import Record

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench", "model"))
import model  # noqa: E402


def chrome_problems(trace):
    """What is wrong with a Chrome trace, in words."""
    problems, open_until, arrows, asynchronous = [], {}, {}, {}
    events = trace["traceEvents"]
    for event in events:
        if event["ph"] != "M" and not (isinstance(event["ts"], (int, float)) and event["ts"] >= 0):
            problems.append(f"no time: {event}")
    spans = [event for event in events if event["ph"] == "X"]
    if not spans:
        problems.append("no spans")
    for span in sorted(spans, key=lambda span: (span["ts"], -span["dur"])):
        ends = open_until.setdefault((span["pid"], span["tid"]), [])
        end = span["ts"] + span["dur"]
        while ends and ends[-1] <= span["ts"] + 1e-6:
            ends.pop()
        if span["dur"] < 0 or (ends and end > ends[-1] + 1e-6):
            problems.append(f"lies astride another: {span}")
        ends.append(end)
    for event in events:
        if event["ph"] in "sf":
            arrows.setdefault(event["id"], {})[event["ph"]] = event["ts"]
        if event["ph"] in "be":
            asynchronous.setdefault(event["id"], {})[event["ph"]] = event["ts"]
    for kind, pairs, begin, end in (("arrow", arrows, "s", "f"), ("span", asynchronous, "b", "e")):
        problems += [
            f"half a {kind}, or backwards: {name}"
            for name, pair in pairs.items()
            if len(pair) < 2 or pair[begin] > pair[end]
        ]
    return problems


def picture_problems(taken):
    problems, first, last = [], taken[0], taken[-1]
    targets = {cpu for event in taken if event.what == "post" for cpu in event.cpus}
    if (first.what, last.what, last.batch, last.cpu) != ("dispatch", "sync", first.batch, first.cpu):
        problems.append("not from its dispatch to its sync")
    if [event.cycles for event in taken] != sorted(event.cycles for event in taken):
        problems.append("not in order of time")
    for kicked in {cpu for event in taken if event.what == "kick" for cpu in event.cpus}:
        steps = [event.what for event in taken if event.cpu == kicked]
        if steps != ["ipi", "execute", "ack"]:
            problems.append(f"CPU {kicked} was interrupted and did {steps}")
    if not targets or first.cpu in targets:
        problems.append("no targets, or the initiator among them")
    return problems


def main(directory):
    passed = failed = 0

    def check(name, good, why=""):
        nonlocal passed, failed
        passed, failed = passed + bool(good), failed + (not good)
        print(f"{'ok' if good else 'not ok'} - {name}" + (f": {why}" if why and not good else ""))

    traces = sorted(glob.glob(f"{directory}/*.json"))
    check(
        "there is a trace of each protocol",
        len(traces) == len(glob.glob(f"{directory}/events-*.txt")) >= 5,
        str(traces),
    )
    for path in traces:
        name = os.path.basename(path).removesuffix(".json")
        record = Record(f"{directory}/events-{name}.txt")
        with open(path) as file:
            trace = json.load(file)
        check(
            f"{name}: the trace nests, its arrows and spans have both ends",
            not chrome_problems(trace),
            str(chrome_problems(trace)[:3]),
        )
        events, _ = parse(record.lines)
        check(
            f"{name}: every line of an event is read",
            len(events) == sum(line.startswith("event ") for line in record.lines),
        )
        taken = picture(events)
        check(
            f"{name}: one shootdown, whole, of {len(taken)} events",
            not picture_problems(taken),
            str(picture_problems(taken)),
        )
        arrows = sum(event["ph"] == "s" for event in trace["traceEvents"])
        check(
            f"{name}: an arrow for each interrupt that was taken",
            arrows
            == sum(
                e.what == "ipi" and any(k.what == "kick" and e.cpu in k.cpus and k.cycles <= e.cycles for k in events)
                for e in events
            ),
            str(arrows),
        )

        # The same, broken.
        astride = copy.deepcopy(trace)
        longest = max((e for e in astride["traceEvents"] if e["ph"] == "X"), key=lambda e: e["dur"])
        astride["traceEvents"].append({**longest, "ts": longest["ts"] + longest["dur"] / 2})
        check(f"{name}: a span astride another is found", chrome_problems(astride))
        check(f"{name}: a shootdown without its end is found", picture_problems(taken[:-1]))
        for missing in ("ipi", "ack") if any(e.what == "ipi" for e in taken) else ():
            lame = [line for line in record.lines if not ((found := LINE.match(line)) and found[3] == missing)]
            try:
                check(f"{name}: without {missing} there is no picture", not picture(parse(lame)[0]))
            except ValueError:
                check(f"{name}: without {missing} there is no picture", True)

    def judged(targets, ours, other):
        """What is said of a cell of one initiator, where a shootdown takes so many interrupts and thrice the lines."""

        def rounds(figures):
            nothing = {
                f"{side}_{what}": 0
                for side in ("initiator", "service")
                for what in ("dirty", "clean", "upgrade", "instructions", "times")
            }
            some = {"shootdowns": 10, "dispatches": 10, "told": 10 * targets, "flushes": 0}
            return [
                {**nothing, **some, "interrupts": 10 * each, "initiator_dirty": 30 * each}
                for each in figures
            ]

        cell = (8, targets + 1, 1, 1, 1, "shared", 0)
        return verdicts({cell: {"ours": rounds(ours), "other": rounds(other)}}, "ours")

    for name, said, wanted in (
        ("as good as another, and near the floor", judged(4, [4, 4.1], [4, 4]), ()),
        ("1.3 times the floor", judged(4, [5.2, 5.2], [5.2, 5.2]), ("Above the floor",)),
        ("behind another by a tenth", judged(4, [4.4, 4.41], [4, 4.01]), ("Behind another",)),
        ("behind, but by no more than rounds differ", judged(4, [4, 4.6], [4, 4]), ("Perhaps behind",)),
    ):
        found = [words for words in ("Above the floor", "Behind another", "Perhaps behind") if f">{words}<" in said]
        check(f"a cell that is {name}: {', '.join(wanted) or 'nothing'} is said", found == list(wanted), str(found))

    figures = "".join(f"<td class=n>{figure}</td>" for figure in (12, "12.15", 12, 4, "4.05", 4))
    check("the one table: floor, default and other, lines and interrupts", figures in judged(4, [4, 4.1], [4, 4]))

    check("a straight line is found", model.straight([(1, 5), (2, 7), (4, 11)]) == (3, 2, 0))
    check(
        "the model meets the point it is fitted to",
        abs(model.linux_excess(1, model.calibrated(), False) - 562) < 1e-6,
    )
    four = {n: model.Counts(100 + 10 * n, 2 * n, 50, 3, 1) for n in (1, 3, 7)}
    check(
        "a projection goes through what was measured",
        model.project(four, 511)[0] == model.Counts(5210, 1022, 50, 3, 1),
    )
    check("all of a cost counts", model.time_of(model.Counts(4, 2, 8, 1, 1), 10, 100) == 1 + 20 + 100 + 2 + 10 + 100)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
