# A table of what one shootdown costs, from CSV files of bench/count: means of the rounds, a line a cell and protocol.
#
# The floor: each target is interrupted once; three lines a target (the request read, the answer written, the answer
# read). "lines" are dirty + clean + upgrades on both paths. "initi." is an initiator's instructions in one shootdown,
# "target" a target's in one service; "all" is what all CPUs together executed from the row's begin to its end, waiting
# and the others' own work included: the clock counts that. "+-%" is the standard error of the mean before it, by how
# far the rounds differ. Where the default, the first, is behind another protocol by more than five percent, the end of
# its line says in what, how far, and whom; with a question mark where twice the standard error reaches back to that.
function per(part, whole) { return whole ? part / whole : 0 }
function note(what, value) {
    mean[what, key] += value
    square[what, key] += value * value
}
# From sums over rounds to a mean, and its standard error as a share of it.
function settle(what, k,    m, spread) {
    m = mean[what, k] / n[k]
    spread = n[k] > 1 ? square[what, k] - m * m * n[k] : 0
    mean[what, k] = m
    share[what, k] = m && spread > 0 ? sqrt(spread / (n[k] - 1) / n[k]) / m : 0
}
function error(what, k) { return n[k] > 1 ? sprintf("%.1f", 100 * share[what, k]) : "-" }
function behind(what, cell, names, name,    p, k, ours, best, ratio, doubt) {
    for (p = 1; p <= names; p++) {
        k = cell SUBSEP name[p]
        if (name[p] !~ /-everyone$/ && (!best || mean[what, k] < mean[what, best]))
            best = k
    }
    ours = cell SUBSEP name[1]
    if (mean[what, ours] <= mean[what, best] * 1.05 + 0.05)
        return ""
    ratio = per(mean[what, ours], mean[what, best])
    doubt = 2 * ratio * sqrt(share[what, ours] ^ 2 + share[what, best] ^ 2)
    return sprintf("  %s %.2f%s %s", what, ratio, ratio - doubt <= 1.05 ? "?" : "", substr(best, length(cell) + 2))
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
    n[key]++
    told[key] = $at["told"]
    floor[key] = told[key] * 3
    many = $at["shootdowns"]; counted = $at["dispatches"]; services = $at["service_times"]
    dirty = ($at["initiator_dirty"] + $at["service_dirty"]) / many
    clean = ($at["initiator_clean"] + $at["service_clean"]) / many
    upgrade = ($at["initiator_upgrade"] + $at["service_upgrade"]) / many
    note("interrupts", counted ? $at["interrupts"] / counted : services / many) # by the library, or who took them
    note("full", per($at["flushes"], counted))
    note("dirty", dirty); note("clean", clean); note("upgrade", upgrade); note("lines", dirty + clean + upgrade)
    note("initiator", $at["initiator_instructions"] / many)
    note("target", per($at["service_instructions"], services))
    note("all", $at["cycles"] / many)
}
END {
    printf "%4s %4s %4s %5s %3s %-7s %4s  %-18s %7s %7s %4s %6s | ", "cpus", "at", "init", "pages", "x", "space", \
        "lazy", "protocol", "targets", "interr.", "+-%", "full"
    printf "%6s %6s %6s %6s %4s %6s | %7s %7s %8s\n", "dirty", "clean", "upgr.", "lines", "+-%", "floor", "initi.", \
        "target", "all"
    whats = split("interrupts full dirty clean upgrade lines initiator target all", what, " ")
    for (k in n)
        for (w = 1; w <= whats; w++)
            settle(what[w], k)
    for (c = 1; c <= cells_count; c++) {
        cell = cells[c]
        names = split(list[cell] " " baseline[cell], name, " ")
        for (p = 1; p <= names; p++) {
            k = cell SUBSEP name[p]
            end = ""
            for (w = 1; p == 1 && w <= whats; w++)
                if (what[w] ~ /^(interrupts|lines|initiator|target)$/)
                    end = end behind(what[w], cell, names, name)
            printf "%s  %-18s %7.2f %7.2f %4s %6.2f | ", cell, name[p], told[k], mean["interrupts", k], \
                error("interrupts", k), mean["full", k]
            printf "%6.2f %6.2f %6.2f %6.2f %4s %6.2f | ", mean["dirty", k], mean["clean", k], mean["upgrade", k], \
                mean["lines", k], error("lines", k), floor[k]
            printf "%7.1f %7.1f %8.0f%s\n", mean["initiator", k], mean["target", k], mean["all", k], end
        }
    }
}
