"""
events.py - what a run of the test kernel printed of its events (trace=N), as shootdowns, and as a Chrome trace.

A line is: event CYCLES CPU WHAT SPACE GENERATION ARGUMENT [cpus LIST]; testkernel/common/events.c prints it, and
include/ktlb/event.h says what each means. Space and generation name a batch, on its initiator and on its targets.
"""
import json
import re
import sys
from collections import namedtuple

Event = namedtuple("Event", "cycles cpu what batch argument cpus")
LINE = re.compile(r"^event +(\d+) +(\d+) (\S+) +(\d+) +(\d+) +([0-9a-f]+)(?: cpus ([\d,-]+))?$")
CLOCK = re.compile(r"^# events: .*; (\d+) cycles are 1 ms$")


def cpu_list(text):
    cpus = []
    for part in (text or "").split(","):
        first, _, last = part.partition("-")
        cpus += range(int(first), int(last or first) + 1) if part else []
    return cpus


def parse(lines):
    """All events, in order of time, and how many cycles are a millisecond."""
    events, clock = [], None
    for line in lines:
        if found := CLOCK.match(line):
            clock = int(found[1])
        elif found := LINE.match(line):
            cycles, cpu, what, space, generation, argument, cpus = found.groups()
            events.append(
                Event(int(cycles), int(cpu), what, (int(space), int(generation)), int(argument, 16), cpu_list(cpus))
            )
        elif line.startswith("event "):
            raise ValueError(f"an event that cannot be read: {line}")
    if not events or not clock:
        raise ValueError("no events: run the test kernel with trace=N")
    return events, clock


# ---- one shootdown, whole


def whole(events, begin):
    """The events of the shootdown that is dispatched at index begin, from there to its sync; None if something is
    missing of it, or if anything else happens on its CPUs meanwhile: then it is no picture of one shootdown."""
    first, taken, posted, kicked = events[begin], [], set(), set()
    executed, served, answered = set(), set(), set()
    for event in events[begin:]:
        ours = event.batch == first.batch
        if event.cpu == first.cpu:
            if not ours:
                return None
            posted.update(event.cpus if event.what == "post" else ())
            kicked.update(event.cpus if event.what == "kick" else ())
        elif event.cpu in posted:
            if not ours and event.what not in ("ipi", "ack"):
                return None
            {"ipi": served, "execute": executed, "ack": answered}.get(event.what, set()).add(event.cpu)
        else:
            continue
        taken.append(event)
        if event.what == "sync":
            complete = kicked == served and executed == answered and executed >= kicked
            return taken if posted and complete else None
    return None


def picture(events):
    """Of the whole shootdowns that with the most targets; of these the one of the fewest events, then the first."""
    found = [taken for i, event in enumerate(events) if event.what == "dispatch" and (taken := whole(events, i))]
    if not found:
        raise ValueError("no shootdown is there from its dispatch to its sync by itself: a larger trace=N")
    return max(found, key=lambda taken: (len({c for e in taken if e.what == "post" for c in e.cpus}), -len(taken)))


# ---- Chrome's trace-event format: one track for each CPU


def spans_of(events):
    """What lasts: (cpu, begin, end, name, category), in cycles. An execution ends with the CPU's next event."""
    spans, batches, since, waits = [], {}, {}, {}
    for event in events:
        cpu, now = event.cpu, event.cycles
        if (cpu, "execute") in since:
            began, batch = since.pop((cpu, "execute"))
            spans.append((cpu, began, now, f"execute {batch[0]}/{batch[1]}", "service"))
        if event.what == "dispatch":
            batches[event.batch] = (cpu, now)
        elif event.what == "wait":
            waits[event.batch] = (cpu, now)
        elif event.what == "sync" and event.batch in batches:
            name = f"{event.batch[0]}/{event.batch[1]}"
            for begun, what in ((batches, "shootdown"), (waits, "wait")):
                if event.batch in begun and begun[event.batch][0] == cpu:
                    spans.append((*begun.pop(event.batch), now, f"{what} {name}", "initiator"))
        elif event.what == "execute":
            since[cpu, "execute"] = now, event.batch
        elif event.what in ("ipi", "switch", "lazy"):
            since[cpu, event.what] = now, event.batch
        for last, what, category in (
            ("ack", "ipi", "service"),
            ("switched", "switch", "cpu"),
            ("active", "lazy", "cpu"),
        ):
            if event.what == last and (cpu, what) in since:
                spans.append((cpu, since.pop((cpu, what))[0], now, "serve" if what == "ipi" else what, category))
    return spans


def nests(spans):
    """Of one CPU's spans (begin, end, …) those that lie within one another or apart, and those that do not."""
    inside, astride, open_ends = [], [], []
    for span in sorted(spans, key=lambda span: (span[0], -span[1])):
        while open_ends and open_ends[-1] <= span[0]:
            open_ends.pop()
        if open_ends and span[1] > open_ends[-1]:
            astride.append(span)
        else:
            open_ends.append(span[1])
            inside.append(span)
    return inside, astride


def chrome(events, clock, name, about):
    """Spans on the track of their CPU; what does not nest there (several batches of a CPU under way) on tracks of its
    own; arrows from an interrupt sent to each taken; everything else as instants."""

    def us(cycles):
        return round(cycles * 1000 / clock, 3)

    cpus = sorted({event.cpu for event in events})
    out = [{"ph": "M", "pid": 1, "tid": 0, "name": "process_name", "args": {"name": name}}]
    out += [{"ph": "M", "pid": 1, "tid": cpu, "name": "thread_name", "args": {"name": f"CPU {cpu}"}} for cpu in cpus]
    for cpu in cpus:
        inside, astride = nests([span[1:] for span in spans_of(events) if span[0] == cpu])
        for begin, end, what, category in inside:
            out.append(
                {
                    "ph": "X",
                    "pid": 1,
                    "tid": cpu,
                    "ts": us(begin),
                    "dur": round(us(end) - us(begin), 3),
                    "name": what,
                    "cat": category,
                }
            )
        for number, (begin, end, what, category) in enumerate(astride):
            for ph, at in (("b", begin), ("e", end)):
                out.append(
                    {
                        "ph": ph,
                        "pid": 1,
                        "tid": cpu,
                        "ts": us(at),
                        "name": what,
                        "cat": category,
                        "id": f"{cpu}.{number}",
                    }
                )
    arrows, under_way = 0, {}
    for event in events:
        if event.what == "kick":
            for cpu in event.cpus:
                under_way.setdefault(cpu, []).append(event)
        if event.what == "ipi":
            for kick in under_way.pop(event.cpu, []):
                arrows += 1
                for ph, at in (("s", kick), ("f", event)):
                    out.append(
                        {
                            "ph": ph,
                            "pid": 1,
                            "tid": at.cpu,
                            "ts": us(at.cycles),
                            "name": "interrupt",
                            "cat": "interrupt",
                            "id": arrows,
                            **({"bp": "e"} if ph == "f" else {}),
                        }
                    )
        if event.what in ("post", "kick", "widened", "stall", "online", "offline"):
            out.append(
                {
                    "ph": "i",
                    "s": "t",
                    "pid": 1,
                    "tid": event.cpu,
                    "ts": us(event.cycles),
                    "name": event.what,
                    "cat": "event",
                    "args": {"batch": "%d/%d" % event.batch, "cpus": event.cpus},
                }
            )
    return {"displayTimeUnit": "ns", "otherData": about, "traceEvents": out}


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: report/events.py RECORD PROTOCOL OUT.json")
    from record import Record

    record = Record(sys.argv[1])
    with open(sys.argv[3], "w") as file:
        json.dump(chrome(*parse(record.lines), sys.argv[2], record.about), file, indent=0)
