#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_observe.sh - mode observe (R14): whatever the secondary does, the client is served as if there were no kcolo; differences are told.
#
# Each time is the best of $KCOLO_E2E_TIMES (2), with the pair and, under the same conditions, without it, in turns.
. "$(dirname "$(realpath "$0")")/lib.sh"

times=${KCOLO_E2E_TIMES:-2} rate=10000000 size=10M

# milliseconds that a download takes which the network could do several times faster, and the mean round trip in microseconds
measure() { # CLIENT-OPTION...
	local start=${EPOCHREALTIME/./}
	at cl replica client "${GUEST[4]}" 7000 get $size --rate $rate --timeout 60 "$@" >&2 || return
	echo -n "$(((${EPOCHREALTIME/./} - start) / 1000)) "
	at cl ping -q -n -c 100 -i 0.005 -s 64 -W 5 "${GUEST[4]}" | sed -n 's/^rtt [^=]*= [^/]*\/\([^/]*\)\/.*/\1/p' | awk '{ print int($1 * 1000) }'
}

best() { # FILE
	awk 'NR == 1 || $1 < t { t = $1 } NR == 1 || $2 < r { r = $2 } END { print t, r }' "$1"
}

# What is compared takes time of a processor that all hosts and guests share here, perhaps with other tests. To wait for the
# secondary, even once, takes longer than what is allowed.
as_good() { # WITH WITHOUT
	local t r t0 r0
	read -r t r <<<"$1"
	read -r t0 r0 <<<"$2"
	[ "$t" -le $((t0 + t0 / 4 + 100)) ] && [ "$r" -le $((3 * r0 + 1000)) ]
}

told() { # REASON
	grep '"event": *"miscompare"' "$TMP/events.out" | grep -q '"reason": *"'"$1"'"'
}

# whatever NAME REASON BEFORE AFTER [CLIENT-OPTION...]: BEFORE and AFTER make the secondary so, and undo it.
whatever() {
	local name=$1 reason=$2 before=$3 after=$4 i
	shift 4
	rm -f "$TMP/with" "$TMP/without"
	for ((i = 0; i < times; i++)); do
		$before
		measure "$@" >>"$TMP/without" 2>"$TMP/client.out" || note <"$TMP/client.out"
		$after
		pair_up mode observe timeout "$timeout" scan 100
		# W4: there a client acknowledges what this secondary has not said yet.
		check "R14 $name: on both hosts" kcolo -n sh pair set "$PAIR" mode observe
		$before
		measure "$@" >>"$TMP/with" 2>"$TMP/client.out" || note <"$TMP/client.out"
		[ ! "$reason" ] || [ $i -gt 0 ] || check "R14 $name: it is told" wait_for 5 told "$reason"
		$after
		check "R14 $name: the pair runs" in_state ph running
		check "R14 $name: nothing waits" wait_for 5 nothing_held
		check "R14 $name: counters balance" balanced
		pair_down
		: >"$TMP/events.out"
	done
	note "$name: ms and us with kcolo: $(best "$TMP/with"), without: $(best "$TMP/without")"
	check "R14 $name: as good as without kcolo" as_good "$(best "$TMP/with")" "$(best "$TMP/without")"
}

nothing() { :; }
stopped() { kill -STOP "${PID[server.sv]}"; }
goes_on() { kill -CONT "${PID[server.sv]}"; }
cut() { ip -n sh link set vm down; }
uncut() { ip -n sh link set vm up; }
floods() { bg noise sv "$SELFTESTS/noise.py" eth0 noise 60; }
quiet_again() { stop noise; }
lies() {
	stop server.sv
	server sv --fault flip@1000
}
honest() {
	stop server.sv
	server sv
}

topo_up
server pv
server sv
timeout=500
whatever "an honest secondary" '' nothing nothing
whatever "a stopped secondary" timeout stopped goes_on
whatever "a dead secondary" timeout cut uncut
whatever "a flooding secondary" '' floods quiet_again
# What it says is looked at, however late it comes.
timeout=5000
whatever "a lying secondary" payload lies honest --fault
check "no reset reached the client" test "$(client_saw resets)" = 0
finish
