#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_routed.sh - the hosts are the guest's routers: its port is in no bridge. What e2e_failover.sh shows, that way.
. "$(dirname "$(realpath "$0")")/lib.sh"

# The clients' network is another one than the guest's, with a router on each host.
CLIENT=([4]=10.1.0.1 [6]=fd01::1)
VM_MAC=52:54:00:00:00:fe
c=(replica client)

# routes_via HOST: what a routing protocol would tell the clients.
routes_via() {
	local n=1
	[ "$1" = ph ] || n=2
	ip -n cl route replace 10.0.0.0/24 via 10.1.0.1$n
	ip -n cl route replace fd00::/64 via fd01::1$n
}

routers_up() {
	local ns n=0
	cables_up
	address cl $CLIENT_MAC "${CLIENT[4]}" "${CLIENT[6]}"
	for ns in ph sh; do
		n=$((n + 1))
		at $ns sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
		ip -n $ns addr add 10.1.0.1$n/24 dev uplink
		ip -n $ns addr add fd01::1$n/64 dev uplink nodad
	done
	ip -n ph link set vm address $VM_MAC
	ip -n ph addr add 10.0.0.1/24 dev vm
	ip -n ph addr add fd00::1/64 dev vm nodad
	for ns in pv sv; do
		address $ns $GUEST_MAC "${GUEST[4]}" "${GUEST[6]}"
		ip -n $ns route add default via 10.0.0.1
		ip -n $ns route add default via fd00::1
		# What the secondary guest asks for is not answered, so it has to know.
		ip -n $ns neigh add 10.0.0.1 lladdr $VM_MAC dev eth0
		ip -n $ns neigh add fd00::1 lladdr $VM_MAC dev eth0
	done
	at sv sysctl -qw net.ipv4.tcp_timestamps=2
	with_script ph kcolo-primary up routed vm vm peer peer
	with_script sh kcolo-secondary up bridge br1 vm vm peer peer
	routes_via ph
	client_counters
}

start_clients() {
	local v
	for v in 4 6; do
		bg "get$v" cl "${c[@]}" "${GUEST[$v]}" 7000 get 12M --rate 4M
		bg "put$v" cl "${c[@]}" "${GUEST[$v]}" 7000 put 12M --rate 4M
		bg "idle$v" cl "${c[@]}" "${GUEST[$v]}" 7000 echo 5 700
	done
	wait_for 20 connected cl 6
	sleep 1
}

ends() {
	running "$1" || note "it was not running any more"
	reap "$1" || { cat "$TMP/$1.out"; return 1; }
}

end_clients() {
	local v name
	for v in 4 6; do
		for name in get put idle; do
			check "$* IPv$v: $name ends with the right bytes" ends $name$v
			note "$(cat "$TMP/$name$v.out")"
		done
	done
}

compared() {
	[ "$(ctr ph compared_bytes)" -gt 1000000 ] && in_state ph running
}

# ---- F1: the primary's host dies
routers_up
pair_up
for ns in pv sv; do server $ns; done
check "R1 a client of a routed guest" at cl "${c[@]}" "${GUEST[4]}" 7000 both 2M 2M
check "R1 the router itself is a client, too" at ph "${c[@]}" "${GUEST[6]}" 7000 both 100k 100k
check "R8 a ping is compared" at cl ping -qc 2 -W 2 "${GUEST[4]}"
start_clients
syns=$(client_saw syns)
check "R6 what it says is compared" compared
check "R6 and found equal" test "$(ctr ph miscompares)" = 0
cut_primary
check "F1 pair failover on the secondary" kcolo -n sh pair failover "$PAIR"
check "F1 kcolo-secondary takeover" with_script sh kcolo-secondary takeover vm vm routed mac $VM_MAC address 10.0.0.1/24 address fd00::1/64
routes_via sh
end_clients "F1"
check "F1 no reset reached a client" test "$(client_saw resets)" = 0
check "F1 no client opened another connection" test "$(client_saw syns)" = "$syns"
for v in 4 6; do check "F1 IPv$v: new connections are served" at cl "${c[@]}" "${GUEST[$v]}" 7000 both 1M 1M; done
check "F1 the guest reaches the clients' network" at sv ping -qc 1 -W 2 "${CLIENT[4]}"
pair_down
stop "${!PID[@]}"
topo_down

# ---- F2: the secondary's host dies
routers_up
pair_up
for ns in pv sv; do server $ns; done
start_clients
ip -n sh link set peer down
check "F2 pair failover on the primary" kcolo -n ph pair failover "$PAIR"
end_clients "F2"
check "F2 no reset reached a client" test "$(client_saw resets)" = 0
check "F2 nothing is held any more" wait_for 5 nothing_held
check "F2 counters balance" balanced
finish
