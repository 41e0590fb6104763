# A table of what one shootdown costs, from CSV files of bench/count: rounds summed up, a line for each cell and protocol.
#
# The floor: each target is interrupted once; three lines a target (the request read, the answer written, the answer
# read). A row's "lines" are dirty + clean + upgrades on both paths. initiators' instructions are a shootdown's, a
# target's those of one service; "all" is what all CPUs together executed from the row's begin to its end, waiting and
# the others' own work included: the clock counts that.
function per(part, whole) { return whole ? part / whole : 0 }
BEGIN { FS = "," }
FNR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
{
    cell = $at["cpus"] "," $at["members"] "," $at["initiators"] "," $at["pages"] "," $at["ranges"] "," $at["space"] "," $at["lazy"]
    if (!(cell in seen)) { seen[cell] = 1; cells[++cells_count] = cell }
    key = cell "," $at["protocol"]
    if (!(key in n)) { list[cell] = list[cell] " " $at["protocol"] }
    n[key] += $at["shootdowns"]; cycles[key] += $at["cycles"]
    told[key] = $at["told"]
    counted[key] += $at["dispatches"]; interrupts[key] += $at["interrupts"]; flushes[key] += $at["flushes"]
    dirty[key] += $at["initiator_dirty"] + $at["service_dirty"]
    clean[key] += $at["initiator_clean"] + $at["service_clean"]
    upgrade[key] += $at["initiator_upgrade"] + $at["service_upgrade"]
    own[key] += $at["initiator_instructions"]; pauses[key] += $at["initiator_pauses"]
    served[key] += $at["service_instructions"]; services[key] += $at["service_times"]
}
END {
    printf "%4s %4s %4s %5s %3s %-7s %4s  %-18s %7s %7s %6s | %6s %6s %6s %6s %6s | %7s %7s %8s\n", "cpus", "at", "init", \
        "pages", "x", "space", "lazy", "protocol", "targets", "interr.", "full", "dirty", "clean", "upgr.", "lines", "floor", \
        "initi.", "target", "all"
    for (c = 1; c <= cells_count; c++) {
        cell = cells[c]
        split(cell, f, ",")
        names = split(list[cell], name, " ")
        for (p = 1; p <= names; p++) {
            k = cell "," name[p]
            printf "%4d %4d %4d %5d %3d %-7s %4d  %-18s %7.2f %7.2f %6.2f | %6.2f %6.2f %6.2f %6.2f %6.2f | %7.1f %7.1f %8.0f\n", \
                f[1], f[2], f[3], f[4], f[5], f[6], f[7], name[p], told[k], \
                per(interrupts[k], counted[k]), per(flushes[k], counted[k]), dirty[k] / n[k], clean[k] / n[k], upgrade[k] / n[k], \
                (dirty[k] + clean[k] + upgrade[k]) / n[k], 3 * told[k], own[k] / n[k], \
                per(served[k], services[k]), cycles[k] / n[k]
        }
    }
}
