#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_miscompare.sh - the secondary's server differs: which event comes, what the client has by then, and that others go on.
. "$(dirname "$(realpath "$0")")/lib.sh"

topo_up
size=100000

event() {
	grep '"event": *"miscompare"' "$TMP/events.out" | tail -n 1
}

# The event has FIELD=PATTERN...
event_has() {
	local want
	event
	for want; do
		# shellcheck disable=SC2053
		[[ $(event | json "${want%%=*}") = ${want#*=} ]] || { echo "not $want"; return 1; }
	done
}

told() {
	[ "$(grep -c '"event": *"miscompare"' "$TMP/events.out")" -ge 1 ]
}

# What the client on the first port has received.
received() {
	ss -N cl -Htin dport = 7000 | sed -n 's/.*bytes_received:\([0-9]*\).*/\1/p'
}

at_most() {
	local got
	got=$(received)
	echo "received ${got:-0}"
	[ "${got:-0}" -le "$1" ]
}

# The two sides' first bytes in the event differ in the lowest bit alone.
one_bit() {
	local p s
	p=$(event | json primary) s=$(event | json secondary)
	echo "primary $p secondary $s"
	[ $((16#${p:0:2} ^ 16#${s:0:2})) = 1 ] && [ "${p:2}" = "${s:2}" ]
}

told_once() {
	echo "miscompares $(ctr ph miscompares) timeouts $(ctr ph timeouts) requests $(ctr ph requests)"
	[ $(($(ctr ph miscompares) + $(ctr ph timeouts))) = 1 ]
}

# differ V NAME FAULT REASON OFFSET CLIENT-ARGUMENTS...
differ() {
	local v=$1 name="$2 IPv$1: $3" fault=$3 reason=$4 offset=$5 timeout; shift 5
	case $fault in
	stop@*) timeout=5000 ;;
	*) timeout=20000 ;;	# told at once, or after a scan
	esac
	pair_up timeout $timeout scan 200
	server pv
	server sv --fault "$fault"
	for ns in pv sv; do bg other.$ns $ns replica server --port 7001; done
	for ns in pv sv; do wait_for 5 listening $ns 7001; done
	bg client cl replica client "${GUEST[$v]}" 7000 "$@" --fault
	check "$name: an event" wait_for 20 told
	check "$name: reason $reason at $offset" event_has pair="$PAIR" epoch=0 reason="$reason" stream_offset="$offset" \
		proto=tcp src="${GUEST[$v]}" sport=7000 dst="${CLIENT[$v]}"
	case $fault in flip@*) check "$name: with the bytes" one_bit ;; esac
	check "$name: others go on" at cl timeout 20 replica client "${GUEST[$v]}" 7001 both 300k 300k --repeat 3
	check "$name: the client has nothing from there on" at_most "$offset"
	check "$name: it is held" test "$(ctr ph held)" -ge 1
	check "$name: the client waits" running client
	check "$name: it is told once" told_once
	check "$name: counters balance" balanced
	kcolo -n ph pair failover "$PAIR"
	check "F2 $name: the client gets the primary's bytes once the secondary is given up" reap client ||
		note <"$TMP/client.out"
	stop server.pv server.sv other.pv other.sv
	pair_down
}

for v in 4 6; do
	differ $v "R7 first byte" flip@0 payload 0 get $size
	differ $v "R7 a byte in the middle" flip@50001 payload 50001 get $size
	differ $v "R7 last byte" flip@$((size - 1)) payload $((size - 1)) get $size
	differ $v "R9 shorter stream, silent" stop@40000 "@(timeout|length)" 40000 get $size
	differ $v "R9 shorter stream, alive" stop@40000 length 40000 both $size 8M --rate 1M
	differ $v "R5 longer stream" more@100 fin $size get $size
	differ $v "R5 early FIN" fin@40000 fin 40000 get $size
	differ $v "R5 RST" rst@40000 rst 40000 get $size
done
check "no reset reached a client" test "$(client_saw resets)" = 0
finish
