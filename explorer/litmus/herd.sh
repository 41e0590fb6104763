#!/bin/sh
# Write the litmus table as C litmus tests for herd7, and, where herd7 is installed, run them under its rc11 model and
# compare the sets of final states by their number. (herdtools7 is in newer Debian suites only.)
# Usage: herd.sh LITMUS-PROGRAM DIRECTORY
#
# RC11 as herd7 has it continues release sequences by own stores and places seq_cst by its axioms alone, so the lines
# that README.md names as ours may differ there; they are marked "differs by choice". Lines that race are left out.
# Not yet run where herd7 is: a note there is a reason to look, not a verdict.
set -eu
litmus=$1 out=$2
mkdir -p "$out"

"$litmus" --list | awk -F '\t' -v out="$out" '
function order(text) {
    if (text ~ /\.rlx/) return "memory_order_relaxed"
    if (text ~ /\.acq/) return "memory_order_acquire"
    if (text ~ /\.rel/) return "memory_order_release"
    if (text ~ /\.ar/) return "memory_order_acq_rel"
    if (text ~ /\.sc/) return "memory_order_seq_cst"
    return ""
}
function failure(o) {
    if (o == "memory_order_acq_rel") return "memory_order_acquire"
    return o == "memory_order_release" ? "memory_order_relaxed" : o
}
function read(expression) { code = code "  " pad "int r" registers " = " expression ";\n"; wants = wants " " thread ":r" registers++; }
function statement(s,    where, o, parts) {
    o = order(s); where = substr(s, 1, 1)
    if (s ~ /^if/) { code = code "  " pad "if (r" registers - 1 " == " substr(s, 3) ") {\n"; pad = pad "  "; return }
    if (s ~ /^F/) { code = code "  " pad "atomic_thread_fence(" o ");\n"; return }
    used[where] = used[where] || 1
    if (o == "") plain[where] = 1; else atomic[where] = 1
    sub(/^[a-z](\.[a-z]+)?/, "", s)
    if (s == "") { read(o == "" ? "*" where : "atomic_load_explicit(" where ", " o ")"); return }
    if (s ~ /^=/) { code = code "  " pad (o == "" ? "*" where " = " substr(s, 2) : "atomic_store_explicit(" where ", " substr(s, 2) ", " o ")") ";\n"; return }
    if (s ~ /^\+/) { read("atomic_fetch_add_explicit(" where ", " substr(s, 2) ", " o ")"); return }
    if (s ~ /^\^/) { read("atomic_exchange_explicit(" where ", " substr(s, 2) ", " o ")"); return }
    skip = 1 # a compare-exchange leaves its old value in memory, which herd shows differently
}
{
    name = $1; gsub(/[^A-Za-z0-9+]/, "_", name)
    split($2, halves, "@"); threads = split(halves[1], body, "|")
    code = ""; wants = ""; skip = ($3 == "race"); split("", used); split("", plain); split("", atomic)
    for (t = 1; t <= threads; t++) {
        thread = t - 1; registers = 0; pad = ""
        code = code "P" thread " (@) {\n"
        count = split(body[t], list, ";")
        for (i = 1; i <= count; i++) statement(list[i])
        while (pad != "") { pad = substr(pad, 3); code = code "  " pad "}\n" }
        code = code "}\n\n"
    }
    for (i = 1; i <= length(halves[2]); i++) wants = wants " " substr(halves[2], i, 1)
    arguments = ""; initial = ""
    for (w in used) {
        if (plain[w] && atomic[w]) skip = 1
        arguments = arguments (arguments == "" ? "" : ", ") (atomic[w] ? "atomic_int* " : "int* ") w
        initial = initial " " w " = 0;"
    }
    if (skip) next
    gsub(/@/, arguments, code); gsub(/^ /, "", wants); gsub(/ /, ";", wants)
    file = out "/" name ".litmus"
    printf "C %s\n{%s }\n\n%slocations [%s;]\nexists (true)\n", name, initial, code, wants >file
    close(file)
    print name "\t" split($3, outcomes, " ") >(out "/expected")
}'
echo "herd.sh: $(ls "$out"/*.litmus | wc -l) files in $out"

command -v herd7 >/dev/null 2>&1 || { echo "herd.sh: no herd7 here, so nothing was compared"; exit 0; }
while IFS="$(printf '\t')" read -r name wanted; do
    states=$(herd7 -model rc11.cat "$out/$name.litmus" | sed -n 's/^States //p')
    if [ "$states" = "$wanted" ]; then echo "same $name"; else echo "note $name: $wanted here, ${states:-none} there (by choice? README.md)"; fi
done <"$out/expected"
