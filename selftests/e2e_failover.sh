#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_failover.sh - a host dies in the middle of downloads, uploads and an idle session, and no client notices.
. "$(dirname "$(realpath "$0")")/lib.sh"

rate=${KCOLO_E2E_RATE:-4M}
names=(get put both idle curl)

# Five services in each family, all half way through when the host dies.
start_clients() {
	local v c=(replica client)
	rm -f "$TMP"/got?
	for v in 4 6; do
		bg "get$v" cl "${c[@]}" "${GUEST[$v]}" 7000 get 12M --rate "$rate" --timeout 60
		bg "put$v" cl "${c[@]}" "${GUEST[$v]}" 7000 put 12M --rate "$rate" --timeout 60
		bg "both$v" cl "${c[@]}" "${GUEST[$v]}" 7000 both 12M 12M --rate "$rate" --timeout 60
		bg "idle$v" cl "${c[@]}" "${GUEST[$v]}" 7000 echo 5 700 --timeout 60
		bg "curl$v" cl curl -sS --max-time 100 "http://${URL[$v]}/file?rate=$rate" -o "$TMP/got$v"
	done
	# All connected, and under way.
	wait_for 10 half_way
}

half_way() {
	[ "$(stat -c %s "$TMP/got4")" -gt 4000000 ] && [ "$(stat -c %s "$TMP/got6")" -gt 4000000 ]
}

end_clients() {
	local v name
	for v in 4 6; do
		for name in "${names[@]}"; do
			check "$* IPv$v: $name ends with the right bytes" ends "$name$v" || note <"$TMP/$name$v.err"
			note "$(cat "$TMP/$name$v.out")"
		done
	done
}

ends() {
	running "$1" || note "it was not running any more"
	reap "$1" || { cat "$TMP/$1.out"; return 1; }
	case $1 in curl?) cmp "$TMP/files/file" "$TMP/got${1#curl}" ;; esac
}

# A long silence would be a stall. What is repeated just before the takeover is lost, and repeated after twice the time: at the
# latest 2 * (time to the takeover) + RTO after the cut. One RTO more and a second are for the machine.
# cut_begins GUEST: notes the time, and the longest RTO of the client and the guest that will be left.
cut_begins() {
	cut=$(now) rto=$(for ns in cl "$1"; do ss -N "$ns" -Htin; done | sed -n 's/.* rto:\([0-9]*\).*/\1/p' | sort -n | tail -n 1)
}

now() {
	echo $((${EPOCHREALTIME/./} / 1000))
}

served_again() {
	most=$((2 * ($(now) - cut + rto) + 1000))
	note "a stall may last $most ms, with a RTO of $rto ms"
}

stalls() {
	cat "$TMP"/{get,put,both}?.out
	! sed 's/.*stall_ms=\([0-9]*\).*/\1/' "$TMP"/{get,put,both}?.out | awk -v most="$most" '$1 > most' | grep .
}

has_connected() {
	ss -N cl -Hntp state established dport = 80 | grep -q "pid=${PID[$1]},"
}

services_up() {
	local ns
	mkdir -p "$TMP/files"
	head -c 12M /dev/urandom >"$TMP/files/file"
	for ns in pv sv; do
		server $ns
		nginx_up $ns "$TMP/files"
	done
}

again() {
	at cl curl -sS --max-time 20 "http://${URL[$1]}/file" | cmp - "$TMP/files/file"
}

# ---- F1: the primary host dies
topo_up
pair_up
services_up
start_clients
syns=$(client_saw syns)
cut_begins sv
cut_primary
check "F1 pair failover on the secondary" kcolo -n sh pair failover "$PAIR"
check "F1 kcolo-secondary takeover" takeover
served_again
check "F1 the pair says so" in_state sh failover
end_clients "F1"
check "F1 no stall beyond retransmissions" stalls
check "F1 no reset reached a client" test "$(client_saw resets)" = 0
check "F1 no client opened another connection" test "$(client_saw syns)" = "$syns"
for v in 4 6; do check "F1 IPv$v: new connections are served" again $v; done
check "F1 new connections are not translated" test "$(client_saw resets)" = 0
pair_down
stop "${!PID[@]}"
topo_down

# ---- F2: the secondary host dies
topo_up
pair_up
services_up
start_clients
bg ends cl bash -c "exec 5<>/dev/tcp/${GUEST[4]}/80; read -r <&5"
wait_for 5 has_connected ends
syns=$(client_saw syns)
cut_begins pv
ip -n sh link set peer down
# It takes a while until somebody has noticed. A connection that its client ends meanwhile has its guest's FIN held, and sent again.
stop ends
sleep "${KCOLO_TEST_SCALE:-1}"
check "F2 pair failover on the primary" kcolo -n ph pair failover "$PAIR"
served_again
check "F2 the pair says bypass" in_state ph bypass
end_clients "F2"
check "F2 no stall beyond retransmissions" stalls
check "F2 no client opened another connection" test "$(client_saw syns)" = "$syns"
for v in 4 6; do check "F2 IPv$v: new connections are served" again $v; done
check "F2 no reset reached a client" test "$(client_saw resets)" = 0
check "F2 what had ended gets one, for it acknowledges each FIN" test "$(client_saw late)" -ge 1
check "F2 nothing is held any more" wait_for 5 nothing_held
check "F2 counters balance" balanced
finish
