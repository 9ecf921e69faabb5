#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_idle.sh - connections that nobody uses for ten minutes ($KCOLO_TEST_IDLE seconds), half closed ones too, live on; what
# "conntrack -D" and "-F" take away is noticed (W7). For a guest whose clock skips the waiting, vm/run --append time-travel=inf-cpu;
# in others it is half a minute.
. "$(dirname "$(realpath "$0")")/lib.sh"

idle=${KCOLO_TEST_IDLE:-$(grep -q time-travel /proc/cmdline && echo 600 || echo 30)}
names=(half early open)
c=(replica client)

# Three in each family: the client has said its FIN, the server has, nobody has. Then the servers stop, and after them all is quiet.
start_clients() {
	local v
	for v in 4 6; do
		bg "half$v" cl "${c[@]}" "${GUEST[$v]}" 7000 get 3M --half-close --rate 1M --timeout $((idle + 60))
		bg "early$v" cl "${c[@]}" "${GUEST[$v]}" 7000 both 1k 3M --early-fin --rate 1M --timeout $((idle + 60))
		bg "open$v" cl "${c[@]}" "${GUEST[$v]}" 7000 echo 3 $((idle * 600)) --timeout $((idle + 60))
	done
	sleep 1
}

servers() {
	local ns
	for ns in pv sv; do ctl "$ns" "$1" >/dev/null || return; done
}

translated() {
	[ "$(kcolo -n sh -j pair show "$PAIR" | json translated)" = "$1" ]
}

all_end() {
	local v name
	for name in "${names[@]}"; do
		for v in 4 6; do
			check "$* IPv$v: $name ends with the right bytes" ends "$name$v"
			note "$(cat "$TMP/$name$v.out")"
		done
	done
	check "$*: no reset reached the client" test "$(client_saw resets)" = 0
}

ends() {
	reap "$1" || { cat "$TMP/$1.out"; return 1; }
}

lost() {
	[ "$(ctr sh lost)" = "$1" ]
}

# Less than half a second's worth, so that nobody has sent it all when the servers stop.
small_buffers() {
	local ns
	for ns in cl pv sv; do at $ns sysctl -qw net.ipv4.tcp_wmem="4096 16384 262144" net.ipv4.tcp_rmem="4096 131072 262144"; done
}

topo_up
small_buffers
# A stopped server acknowledges as long as it has room; the clients ask whether it is there.
pair_up timeout 600000
for ns in pv sv; do server $ns; done

# ---- idle, then the host dies
start_clients
check "W7 six connections are translated" translated 6
check "W7 the servers stop" servers freeze
sleep "$idle"
check "W7 after $idle s they still are" translated 6
check "W7 the servers go on" servers thaw
sleep 1
cut_primary
check "F1 pair failover on the secondary" kcolo -n sh pair failover "$PAIR"
check "F1 kcolo-secondary takeover" takeover
all_end "W7 F1 idle for $idle s"
pair_down
stop "${!PID[@]}"
topo_down

# ---- loss behind our back: what is gone asks for a checkpoint, once for each
topo_up
small_buffers
pair_up timeout 600000 min-interval 0
for ns in pv sv; do server $ns; done
start_clients
check "W7 six connections are translated, again" translated 6
check "W7 conntrack -D" at sh conntrack -D -p tcp --orig-dst "${GUEST[4]}"
check "W7 conntrack -D: they are gone" wait_for 2 translated 3
check "W7 conntrack -D: those that speak are missed" wait_for 10 lost 2
check "W7 conntrack -D: a checkpoint is asked for" grep -q '"reason": *"lost"' <(kcolo -n sh -j pair show "$PAIR" | sed 's/"request":/"reason":/')
check "W7 conntrack -F" at sh conntrack -F
check "W7 conntrack -F: they are gone" wait_for 2 translated 0
check "W7 conntrack -F: those that speak are missed" wait_for 10 lost 4
check "W7 no reset reached the client" test "$(client_saw resets)" = 0
finish
