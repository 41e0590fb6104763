# Shootdowns in a time, of each protocol at each cell, by those of the first: rounds summed up.
BEGIN { FS = "," }
FNR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
{
    cell = sprintf("%4d %4d %4d %5d %3d %-7s %4d", $at["cpus"], $at["members"], $at["initiators"], $at["pages"], \
        $at["ranges"], $at["space"], $at["lazy"])
    name = $at["protocol"]
    if (!(cell in first)) { first[cell] = name; cells[++cells_count] = cell }
    if (!(name in known)) { known[name] = 1; names[++names_count] = name }
    made[cell, name] += $at["shootdowns"]; cycles[cell, name] += $at["cycles"]
}
END {
    printf "%4s %4s %4s %5s %3s %-7s %4s ", "cpus", "at", "init", "pages", "x", "space", "lazy"
    for (p = 1; p <= names_count; p++)
        printf " %18s", names[p]
    print ""
    for (c = 1; c <= cells_count; c++) {
        cell = cells[c]
        printf "%s ", cell
        for (p = 1; p <= names_count; p++) {
            name = names[p]
            if ((cell, name) in made)
                printf " %18.2f", made[cell, name] / cycles[cell, name] * cycles[cell, first[cell]] / made[cell, first[cell]]
            else
                printf " %18s", "-"
        }
        print ""
    }
}
