#!/bin/sh
# The explorer's own check: what must hold holds, what is broken is reported, what was reported replays, and the
# reduction loses nothing. The argument is the check program.
set -u
check=$1
passed=0 failed=0

verdict() { # verdict STATUS TEXT
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $2"
    fi
}

names=$("$check" --list | cut -d' ' -f1)
for name in $names; do
    case $name in
    storm) continue ;;
    broken-*)
        for mode in exhaustive random pct fair; do
            output=$("$check" --case="$name" --mode=$mode --seconds=60)
            [ $? -eq 1 ]
            verdict $? "$name is not reported in mode $mode"
            list=$(echo "$output" | sed -n 's/.*--replay=//p')
            broken=$(echo "$output" | sed -n 's/^BROKEN: //p')
            again=$("$check" --case="$name" --replay="$list" | sed -n 's/^BROKEN: //p')
            [ -n "$broken" ] && [ "$broken" = "$again" ]
            verdict $? "$name does not replay: '$broken' and then '$again'"
        done ;;
    *)
        "$check" --case="$name"
        verdict $? "$name, exhaustive"
        for mode in random pct fair; do
            "$check" --case="$name" --mode=$mode --executions=5000 >/dev/null
            verdict $? "$name in mode $mode"
        done ;;
    esac
done
for name in lock-2 lock-3 peterson shootdown-2; do
    "$check" --case=$name --check-reduction
    verdict $? "$name: the reduction changes the outcomes"
done
"$check" --fuzz=150
verdict $? "the reduction changes the outcomes of a random program"
"$check" --case=storm --mode=random --executions=50000
verdict $? "storm"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
