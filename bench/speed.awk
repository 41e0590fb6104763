# How many shootdowns each protocol makes in a time, by those that the first makes: medians of the rounds, of all in one
# run; and the quartiles, for how far the host is to be believed.
BEGIN { FS = "," }
FNR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
{
    cell = sprintf("%4d %4d %4d %5d %3d %-7s %4d", $at["cpus"], $at["members"], $at["initiators"], $at["pages"], \
        $at["ranges"], $at["space"], $at["lazy"])
    name = $at["protocol"]
    if (!(cell in first)) { first[cell] = name; cells[++cells_count] = cell }
    if (!(name in known)) { known[name] = 1; names[++names_count] = name }
    speeds[cell, name, ++rounds[cell, name]] = $at["shootdowns"] / $at["cycles"]
}
# Quarter @part (1, 2, 3) of the rounds of @key, which get sorted.
function quarter(key, part,    i, j, n, swap) {
    n = rounds[key]
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && speeds[key, j] < speeds[key, j - 1]; j--) {
            swap = speeds[key, j]; speeds[key, j] = speeds[key, j - 1]; speeds[key, j - 1] = swap
        }
    return speeds[key, int((n - 1) * part / 4 + 0.5) + 1]
}
END {
    printf "%4s %4s %4s %5s %3s %-7s %4s", "cpus", "at", "init", "pages", "x", "space", "lazy"
    for (p = 1; p <= names_count; p++)
        printf " %20s", names[p]
    print ""
    for (c = 1; c <= cells_count; c++) {
        cell = cells[c]
        base = quarter(cell SUBSEP first[cell], 2)
        printf "%s", cell
        for (p = 1; p <= names_count; p++) {
            key = cell SUBSEP names[p]
            text = "-"
            if (key in rounds)
                text = sprintf("%.2f (%.2f-%.2f)", quarter(key, 2) / base, quarter(key, 1) / base, quarter(key, 3) / base)
            printf " %20s", text
        }
        print ""
    }
}
