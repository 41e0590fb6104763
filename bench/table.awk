# A table of what one shootdown costs, from CSV files of bench/count: rounds summed up, a line a cell and protocol.
#
# The floor: each target is interrupted once; three lines a target (the request read, the answer written, the answer
# read). "lines" are dirty + clean + upgrades on both paths. "initi." is an initiator's instructions in one shootdown,
# "target" a target's in one service; "all" is what all CPUs together executed from the row's begin to its end, waiting
# and the others' own work included: the clock counts that. Where the default, the first, is behind another
# protocol by more than five percent, the end of its line says in what, how far, and whom.
function per(part, whole) { return whole ? part / whole : 0 }
function behind(what, metric, cell, names, name,    p, best, other) {
    for (p = 1; p <= names; p++)
        if (name[p] !~ /-everyone$/ && (!best || metric[cell, name[p]] < metric[cell, best]))
            best = name[p]
    other = metric[cell, best]
    if (metric[cell, name[1]] <= other * 1.05 + 0.05)
        return ""
    return sprintf("  %s %.2f %s", what, per(metric[cell, name[1]], other), best)
}
BEGIN { FS = "," }
FNR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
{
    cell = sprintf("%4d %4d %4d %5d %3d %-7s %4d", $at["cpus"], $at["members"], $at["initiators"], $at["pages"], \
        $at["ranges"], $at["space"], $at["lazy"])
    if (!(cell in list) && !(cell in baseline)) cells[++cells_count] = cell
    key = cell SUBSEP $at["protocol"]
    if (!(key in n) && $at["protocol"] ~ /-everyone$/) baseline[cell] = $at["protocol"]
    else if (!(key in n)) list[cell] = list[cell] " " $at["protocol"]
    n[key] += $at["shootdowns"]; cycles[key] += $at["cycles"]
    told[key] = $at["told"]
    counted[key] += $at["dispatches"]; interrupts[key] += $at["interrupts"]; flushes[key] += $at["flushes"]
    dirty[key] += $at["initiator_dirty"] + $at["service_dirty"]
    clean[key] += $at["initiator_clean"] + $at["service_clean"]
    upgrade[key] += $at["initiator_upgrade"] + $at["service_upgrade"]
    own[key] += $at["initiator_instructions"]
    served[key] += $at["service_instructions"]; services[key] += $at["service_times"]
}
END {
    printf "%4s %4s %4s %5s %3s %-7s %4s  %-18s %7s %7s %6s | ", "cpus", "at", "init", "pages", "x", "space", "lazy", \
        "protocol", "targets", "interr.", "full"
    printf "%6s %6s %6s %6s %6s | %7s %7s %8s\n", "dirty", "clean", "upgr.", "lines", "floor", "initi.", "target", "all"
    for (k in n) {
        interrupts[k] = counted[k] ? interrupts[k] / counted[k] : services[k] / n[k] # by the library, or who took them
        lines[k] = (dirty[k] + clean[k] + upgrade[k]) / n[k]
        own[k] /= n[k]
        served[k] = per(served[k], services[k])
    }
    for (c = 1; c <= cells_count; c++) {
        cell = cells[c]
        names = split(list[cell] " " baseline[cell], name, " ")
        for (p = 1; p <= names; p++) {
            k = cell SUBSEP name[p]
            end = p > 1 ? "" : behind("interrupts", interrupts, cell, names, name) \
                behind("lines", lines, cell, names, name) behind("initiator", own, cell, names, name) behind("target", served, cell, names, name)
            printf "%s  %-18s %7.2f %7.2f %6.2f | ", cell, name[p], told[k], interrupts[k], per(flushes[k], counted[k])
            printf "%6.2f %6.2f %6.2f %6.2f %6.2f | ", dirty[k] / n[k], clean[k] / n[k], upgrade[k] / n[k], lines[k], \
                3 * told[k]
            printf "%7.1f %7.1f %8.0f%s\n", own[k], served[k], cycles[k] / n[k], end
        }
    }
}
