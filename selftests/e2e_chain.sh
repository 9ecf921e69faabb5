#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_chain.sh - three hosts die one after the other, and a connection that the first one opened goes on.
. "$(dirname "$(realpath "$0")")/lib.sh"

# Two more hosts and guests, built like the secondary's: {lan br0: h3, h4} and a cable from each host to the next.
more_hosts() {
	local i h g
	for i in 3 4; do
		h=h$i g=g$i
		NETNS+=("$h" "$g")
		ip netns add $h
		ip netns add $g
		for ns in $h $g; do
			at "$ns" sysctl -qw net.ipv6.conf.{all,default}.accept_dad=0
			at "$ns" sysctl -qw net.bridge.bridge-nf-call-{ip,ip6,arp}tables=0
			ip -n "$ns" link set lo up
		done
		link $h uplink lan $h
		ip -n lan link set $h master br0
		link $h vm $g eth0
		address $g "$GUEST_MAC" "${GUEST[4]}" "${GUEST[6]}"
		ip -n $g neigh add "${CLIENT[4]}" lladdr $CLIENT_MAC dev eth0
		ip -n $g neigh add "${CLIENT[6]}" lladdr $CLIENT_MAC dev eth0
		at $g sysctl -qw net.ipv4.tcp_timestamps=$((i - 2))
	done
	link sh next h3 peer
	link h3 next h4 peer
	for h in h3 h4; do
		with_script $h kcolo-secondary up bridge br1 vm vm peer peer
		ip -n $h link add br0 up type bridge
		ip -n $h link set uplink master br0
	done
}

# die HOST CABLE: nobody hears of it any more.
die() {
	ip -n lan link set "$1" down
	ip -n "$1" link set "$2" down
}

# survive HOST PAIR: the guest serves the clients from here.
survive() {
	kcolo -n "$1" pair failover "$2" &&
	with_script "$1" kcolo-secondary takeover vm vm bridge br0 announce "$GUEST_MAC" "${GUEST[4]}" "${GUEST[6]}"
}

# promote HOST PAIR NEXT-HOST OLD-PAIR: what the survivor translates goes to the next secondary.
promote() {
	with_script "$1" kcolo-primary up bridge br0 uplink uplink vm vm peer next &&
	kcolo -n "$1" pair add "$2" role primary vm vm peer next timeout 20000 &&
	kcolo -n "$3" pair add "$2" role secondary vm vm peer peer timeout 20000 &&
	kcolo -n "$1" flow save pair "$4" >"$TMP/flows.json" &&
	kcolo -n "$3" flow restore pair "$2" <"$TMP/flows.json"
}

# become HOST GUEST NEXT-HOST NEXT-GUEST PAIR: a checkpoint, after which the next guest is a copy.
become() {
	kcolo -n "$3" pair checkpoint "$5" begin &&
	guest_freeze "$4" "$3" secondary && guest_freeze "$2" "$1" primary &&
	kcolo -n "$1" pair checkpoint "$5" begin &&
	ctl "$2" dump "$TMP/dump" && ctl "$4" load "$TMP/dump" &&
	kcolo -n "$3" pair checkpoint "$5" commit epoch 1 &&
	kcolo -n "$1" pair checkpoint "$5" commit epoch 1 &&
	guest_thaw "$4" "$3" secondary && guest_thaw "$2" "$1" primary
}

# start NAME N: connections in both families that outlast what is to come; N with those that are there.
start() {
	local v
	for v in 4 6; do
		bg "$1get$v" cl replica client "${GUEST[$v]}" 7000 get 100M --rate 500000 --timeout 60
		bg "$1put$v" cl replica client "${GUEST[$v]}" 7000 put 100M --rate 500000 --timeout 60
		bg "$1idle$v" cl replica client "${GUEST[$v]}" 7000 echo 400 1500 --timeout 60
	done
	wait_for 20 connected cl "$2"
	sleep 1
}

alive() {
	local name
	for name in "${!PID[@]}"; do
		case $name in
		?get?|?put?|?idle?) running "$name" || { echo "$name has ended:"; cat "$TMP/$name.out"; return 1; } ;;
		esac
	done
}

# Those that did not come to an end in time would be stalled.
ends_well() {
	reap "$1" || { cat "$TMP/$1.out" "$TMP/$1.err"; return 1; }
}

# translated HOST PAIR
translated() {
	kcolo -n "$1" -j pair show "$2" | json translated
}

# What are four machines here share one kernel's limit, and those that are dead keep what they had.
sysctl -qw net.ipv4.tcp_mem="150000 200000 250000"
topo_up
more_hosts
for ns in pv sv g3 g4; do server $ns; done
check "pair add" kcolo -n ph pair add one role primary vm vm peer peer timeout 20000
check "pair add" kcolo -n sh pair add one role secondary vm vm peer peer
start a 6
six_translated() {
	[ "$(translated sh one)" = 6 ]
}
check "W4 W5 the first host's connections are translated" wait_for 10 six_translated

die ph peer
check "F1 the second host takes over" survive sh one
start b 12
check "F1 the first host's connections live on the second" alive
check "F3 the second becomes a primary, and hands over what it translates" promote sh two h3 one
check "F3 all six are in the file" test "$(grep -c '"offset"' "$TMP/flows.json")" = 6
check "F3 they are dormant on the third" test "$(kcolo -n h3 flow show pair two | grep -c 'dormant')" = 6
check "C2 F3 a checkpoint from the second to the third" become sh sv h3 g3 two
start c 18
check "F3 old and new connections live on" alive
note "$(kcolo -n h3 flow show pair two)"

die sh next
check "F1 the third host takes over" survive h3 two
sleep 2
check "F3 connections of all times live on the third" alive
start d 24
check "F3 the third becomes a primary, and hands over what it translates" promote h3 three h4 two
check "F3 twelve are in the file: those of the first host, and those of the second as a primary" \
	test "$(grep -c '"offset"' "$TMP/flows.json")" -ge 12
check "C2 F3 a checkpoint from the third to the fourth" become h3 g3 h4 g4 three
sleep 1
die h3 next
check "F1 the fourth host takes over" survive h4 three
sleep 2
check "F3 connections of all times live on the fourth" alive

for name in "${!PID[@]}"; do
	case $name in ?get?|?put?|?idle?) kill -USR1 "${PID[$name]}" ;; esac
done
for time in a b c d; do
	for v in 4 6; do
		for name in get put idle; do
			check "F3 opened at time $time, IPv$v: $name ends with the right bytes" ends_well $time$name$v
			note "$(cat "$TMP/$time$name$v.out")"
		done
	done
done
check "F3 no reset reached the client" test "$(client_saw resets)" = 0
check "F3 what the servers received is right" grep -q 'wrong 0$' <(ctl g4 stat)
for ns in h4:three h3:three h3:two sh:two sh:one ph:one; do
	kcolo -n "${ns%:*}" pair del "${ns#*:}" force 2>/dev/null
done
finish
