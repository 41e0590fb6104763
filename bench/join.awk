# The plugin's rows (with a head; none, where there was no plugin) and the kernel's ("row N,…", among other output) as
# one table. Rows that the one has and the other has not are an error.
BEGIN {
    head = "machine,emulator,commit,row,cpus,members,initiators,pages,ranges,space,lazy,protocol,round,told," \
        "shootdowns,cycles,dispatches,targets,interrupts,flushes,strides,overflows,idle"
}
counted && FNR == 1 { sub(/^row/, ""); head = head $0; next }
counted { number = $1; sub(/^[0-9]*/, ""); counts_of[number] = $0; rows++; next }
!printed++ { print head }
/^row [0-9]+,/ {
    sub(/^row /, "")
    if (counts && !($1 in counts_of)) { print "join: row " $1 " was not counted" >"/dev/stderr"; exit 1 }
    print before, $0 counts_of[$1]
    joined++
}
END {
    if (!joined || counts && joined != rows) {
        print "join: " rows + 0 " rows counted, " joined + 0 " printed" >"/dev/stderr"
        exit 1
    }
}
