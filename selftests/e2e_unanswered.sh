#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_unanswered.sh - nobody answers a request for a checkpoint: never a stall without end (F4).
. "$(dirname "$(realpath "$0")")/lib.sh"

topo_up
client() {
	at cl timeout 30 replica client "${GUEST[$1]}" 7000 get 300k "${@:2}"
}

message() {
	dmesg | grep -i kcolo | grep "$PAIR"
}

bypassed() {
	wait_for 1 in_state ph bypass
}

bypass_event() {
	grep '"event": *"pair"' "$TMP/events.out" | grep '"state": *"bypass"' | tail -n 1 | tee "$TMP/check.event"
	[ "$(json cause <"$TMP/check.event")" = unanswered ]
}

# silent V NAME COMMAND...: the command makes the secondary useless
silent() {
	local v=$1 name="F4 IPv$1: $2"; shift 2
	pair_up timeout 200 scan 50
	server pv
	server sv --fault flip@1000
	"$@"
	check "$name: a client ends with the primary's bytes" client "$v" --fault
	note "$(cat "$TMP/check.out")"
	check "$name: pair show says bypass" bypassed
	[ ! "${PID[events]:-}" ] || check "$name: the event says so" wait_for 2 bypass_event
	check "$name: the kernel's log says so" message
	check "$name: the next client does not wait" client "$v"
	check "$name: counters balance" balanced
	check "$name: nothing is held any more" wait_for 2 nothing_held
	stop server.pv server.sv
	pair_down
	ip -n sh link set vm up
	ip -n sh link set peer up
	ip -n ph link set peer up
}

for v in 4 6; do
	silent $v "a difference, and a listener that does nothing" true
	silent $v "a difference, and nobody listens" stop events
	silent $v "the secondary guest is cut off" ip -n sh link set vm down
	silent $v "the peer link is down" ip -n sh link set peer down
done
check "no reset reached a client" test "$(client_saw resets)" = 0
finish
