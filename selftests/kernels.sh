#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# kernels.sh client|primary|secondary - one of the three machines of selftests/kernels.
#
#   client:    {cl eth0} -- {lan [br0: cl ph sh]}
#   primary:   {ph [br0: uplink vm] [brp: peer]} -- {pv eth0}
#   secondary: {sh [br0: uplink] [br1: peer vm]} -- {sv eth0}
#
# What a port is called here, the machine at the other end of its cable calls by another name: lan's ph and sh are uplinks there.
. "$(dirname "$(realpath "$0")")/lib.sh"

role=$1
# By clients, in each family with and without timestamps; and by the guests.
kinds=(both half idle)
opened=(vmboth vmidle)
slow="--rate 2k --timeout 600"

said() { # WHAT: the other machines are told
	touch "$KCOLO_OUT/$1"
}

heard() { # WHAT
	wait_for 240 test -e "$KCOLO_OUT/$1" -o -e "$KCOLO_OUT/over" && [ -e "$KCOLO_OUT/$1" ]
}

namespaces_up() {
	local ns
	"$SELFTESTS/load" || exit
	modprobe virtio_net
	for ns in "${NETNS[@]}"; do
		ip netns add "$ns"
		at "$ns" sysctl -qw net.ipv6.conf.{all,default}.accept_dad=0
		ip -n "$ns" link set lo up
	done
}

# socket NUMBER NETNS DEV: where a cable of this machine is plugged in
socket() {
	ip link set "eth$1" netns "$2" name "$3"
	ip -n "$2" link set "$3" up
}

# ---- a guest, on either host

# guest NETNS HOST: the numbers that it chooses for its connections are noted.
guest() {
	link "$2" vm "$1" eth0
	address "$1" "$GUEST_MAC" "${GUEST[4]}" "${GUEST[6]}"
	ip -n "$1" neigh add "${CLIENT[4]}" lladdr "$CLIENT_MAC" dev eth0
	ip -n "$1" neigh add "${CLIENT[6]}" lladdr "$CLIENT_MAC" dev eth0
	bg numbers "$1" tcpdump -lntS -i eth0 \
		"(src ${GUEST[4]} and tcp[tcpflags] & tcp-syn != 0) or (src ${GUEST[6]} and ip6[6] = 6 and ip6[53] & 2 != 0)"
	server "$1"
}

# guest_opens NETNS: both guests do the same.
guest_opens() {
	local v c
	heard open || exit
	# shellcheck disable=SC2086 # words
	for v in 4 6; do
		c=(replica client "${CLIENT[$v]}" 7000)
		bg "vmboth$v" "$1" "${c[@]}" both 1M 1M --sport 2100$v $slow
		bg "vmidle$v" "$1" "${c[@]}" echo 200 3000 --sport 2101$v --timeout 600
	done
}

# opened_end: what the guest has opened
opened_end() {
	local v name status=0
	for v in 4 6; do
		for name in "${opened[@]}"; do
			kill -USR1 "${PID[$name$v]}"
			reap "$name$v" || status=1
			cat "$TMP/$name$v.out" "$TMP/$name$v.err"
		done
	done
	return $status
}

primary() {
	NETNS=(ph pv)
	namespaces_up
	socket 0 ph uplink
	socket 1 ph peer
	guest pv ph
	with_script ph kcolo-primary up bridge br0 uplink uplink vm vm peer peer &&
		kcolo -n ph pair add "$PAIR" role primary vm vm peer peer timeout 60000 || exit
	said primary.up
	guest_opens pv
	heard middle || exit
	quiet >"$KCOLO_OUT/quiet" && said primary.quiet
	cp "$TMP/numbers.out" "$KCOLO_OUT/numbers.pv"
	said primary.told
	# Until somebody switches this machine off, or nobody is left who would.
	heard over
}

secondary() {
	NETNS=(sh sv)
	namespaces_up
	socket 0 sh uplink
	socket 1 sh peer
	guest sv sh
	ip -n sh link add br0 up type bridge
	ip -n sh link set uplink master br0
	with_script sh kcolo-secondary up bridge br1 vm vm peer peer &&
		kcolo -n sh pair add "$PAIR" role secondary vm vm peer peer || exit
	said secondary.up
	guest_opens sv
	heard middle || exit
	kcolo -n sh -j -s flow show pair "$PAIR" >"$KCOLO_OUT/flows"
	cp "$TMP/numbers.out" "$KCOLO_OUT/numbers.sv"
	said secondary.told
	heard dead || exit
	kcolo -n sh pair failover "$PAIR" && takeover || exit
	said taken
	opened_end >"$KCOLO_OUT/opened" 2>&1 && said opened.well
	said opened.ended
	heard over
}

# ---- the client

start_clients() {
	local v ts n=0 c
	# shellcheck disable=SC2086 # words
	for ts in 1 0; do
		at cl sysctl -qw net.ipv4.tcp_timestamps=$ts
		for v in 4 6; do
			c=(replica client "${GUEST[$v]}" 7000)
			bg "both$v$ts" cl "${c[@]}" both 1M 1M $slow
			bg "half$v$ts" cl "${c[@]}" get 1M --half-close $slow
			bg "idle$v$ts" cl "${c[@]}" echo 200 3000 --timeout 600
		done
		n=$((n + 2 * ${#kinds[@]}))
		wait_for 60 connected dport $n || return
	done
	at cl sysctl -qw net.ipv4.tcp_timestamps=1
}

# connected dport|sport COUNT: so many connections to, or from, the guest are.
connected() {
	[ "$(ss -N cl -Htn state connected exclude syn-sent exclude syn-recv exclude time-wait "$1" = 7000 | wc -l)" = "$2" ]
}

all_running() {
	local name v ts
	for name in "${kinds[@]}"; do
		for v in 4 6; do
			for ts in 1 0; do
				running "$name$v$ts" && continue
				echo "$name$v$ts has ended before"
				cat "$TMP/$name$v$ts.out" "$TMP/$name$v$ts.err"
				return 1
			done
		done
	done
}

ends() {
	kill -USR1 "${PID[$1]}"
	reap "$1" && return
	cat "$TMP/$1.out" "$TMP/$1.err"
	return 1
}

client() {
	local v ts name syns
	NETNS=(cl lan)
	namespaces_up
	socket 0 lan ph
	socket 1 lan sh
	link cl eth0 lan cl
	ip -n lan link add br0 up type bridge mcast_snooping 0
	for name in cl ph sh; do ip -n lan link set $name master br0; done
	address cl "$CLIENT_MAC" "${CLIENT[4]}" "${CLIENT[6]}"
	client_counters
	server cl
	check "three machines" heard primary.up || finish
	heard secondary.up || finish
	check "clients connect" start_clients || finish
	said open
	check "the guest connects" wait_for 60 connected sport $((2 * ${#opened[@]})) || finish
	sleep 2
	said middle
	heard primary.told || finish
	heard secondary.told || finish
	check "R1 R6 no difference found, no bypass" test -e "$KCOLO_OUT/primary.quiet"
	note <"$KCOLO_OUT/quiet"
	check "W4 W5 the offsets are those of the two kernels' numbers, of any size" \
		"$SELFTESTS/offsets.py" "$KCOLO_OUT"/{flows,numbers.pv,numbers.sv} $((4 * ${#kinds[@]} + 2 * ${#opened[@]})) $((2 * ${#kinds[@]}))
	note <"$TMP/check.out"
	check "all are under way" all_running
	syns=$(client_saw syns)
	for name in "${kinds[@]}"; do
		for v in 4 6; do kill -USR2 "${PID[${name}${v}1]}" "${PID[${name}${v}0]}"; done
	done
	said cut
	check "F1 the secondary takes over" heard taken || finish
	for v in 4 6; do
		for ts in 1 0; do
			for name in "${kinds[@]}"; do
				check "F1 IPv$v, timestamps $ts: $name ends with the right bytes" ends "$name$v$ts"
				note "$(cat "$TMP/$name$v$ts.out")"
			done
		done
	done
	check "F1 what the guest has opened ends with the right bytes" heard opened.well
	note <"$KCOLO_OUT/opened"
	check "F1 no reset reached a client" test "$(client_saw resets)" = 0
	check "F1 no client opened another connection" test "$(client_saw syns)" = "$syns"
	finish
}

"$role"
