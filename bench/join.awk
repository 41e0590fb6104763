# The plugin's rows (first file, with a head) and the kernel's ("row N,…", among other output) as one table. Rows that
# the one has and the other has not are an error.
FNR == NR && FNR == 1 { sub(/^row,/, ""); head = $0; next }
FNR == NR { number = $1; sub(/^[0-9]*,/, ""); counted[number] = $0; rows++; next }
FNR == 1 {
    print "machine,emulator,commit,row,cpus,members,initiators,pages,ranges,space,lazy,protocol,round,shootdowns,targets," \
        "interrupts,flushes,strides,overflows,idle,cycles," head
}
/^row [0-9]+,/ {
    sub(/^row /, "")
    if (!($1 in counted)) { print "join: row " $1 " was not counted" >"/dev/stderr"; exit 1 }
    print before, $0, counted[$1]
    joined++
}
END { if (joined != rows) { print "join: " rows " rows counted, " joined + 0 " printed" >"/dev/stderr"; exit 1 } }
