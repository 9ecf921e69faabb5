#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# trace.sh - every command of Documentation/tracing.rst shows what it says while packets flow, and the list there is complete.
set -u
# shellcheck source=selftests/lib.sh
. "$(dirname "$(realpath "$0")")/lib.sh"
doc=$REPO/Documentation/tracing.rst
events=/sys/kernel/tracing/events/kcolo
seconds=$((4 * ${KCOLO_TEST_SCALE:-1}))

# The packet tests provoke everything: differences, resets, limits, checkpoints, translation.
traffic() {
	until [ -e "$TMP/enough" ]; do
		"$SELFTESTS/pkt/run.py" -k trace_ >"$TMP/traffic" 2>&1
	done
}

# What a command must have shown.
expected() {
	case $1 in
	*compare_tcp_info*) echo '^@bytes\[(pri|sec)\]:' ;;
	*kcolo:release*) echo '^@us\[p\]:' ;;
	bpftrace*kcolo:miscompare*) echo '^@\[p, [0-9]+\]: [1-9]' ;;
	*kcolo:drop*) echo 'drop: +pair=p .*reason=[a-z-]+' ;;
	*'in miscompare epoch'*) echo 'miscompare: pair=p .*reason=payload .*src=' ;;
	*) echo 'release: +pair=p .*src=(10\.0\.0\.2|\[fd00::2\]):[0-9]+ .*waited=[1-9]' ;;
	esac
}

# The commands of the document watch for 10 s; here they are run for as long as the traffic takes.
# What it shows may lie between two rounds of the traffic.
shows() { # COMMAND
	shows_now "$1" || shows_now "$1" || shows_now "$1"
}

shows_now() { # COMMAND
	local command=${1//sleep 10/sleep $seconds}
	command=${command//timeout 10/timeout $seconds}
	command=${command//:s:10/:s:$seconds}
	bash -c "$command" >"$TMP/shown" 2>&1
	tail -n 5 "$TMP/shown"
	grep -qE "$(expected "$1")" "$TMP/shown"
}

listed() {
	diff <(find "$events" -mindepth 1 -type d -printf '%f\n' | sort) \
		<(sed -nE '/^The events/,$s/^``([a-z_]+)`` +.*/\1/p' "$doc" | sort)
}

"$SELFTESTS/load" || exit 1
check "the events of the documentation are those of the module" listed
traffic &
sleep 1
while IFS= read -r command; do
	name="shows what it should: ${command:0:60}"
	case $command in
	bpftrace*)
		if [ ! -e /proc/sys/kernel/perf_event_paranoid ]; then
			skip "$name" "this kernel has no perf events"
			continue
		fi ;;
	esac
	check "$name" shows "$command"
done < <(sed -n '/code-block:: sh/{n;n;s/^   //p}' "$doc")
touch "$TMP/enough"
wait
finish
