#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_goes.sh - what holds packets goes away in the middle of traffic: nothing is left behind, and the clients go on.
. "$(dirname "$(realpath "$0")")/lib.sh"

held() {
	[ "$(ctr ph held)" -gt 0 ]
}

dropped() {
	dmesg | tail -n +$((before + 1)) | grep "pair $PAIR: $1 goes away, [0-9]* held packets are dropped"
}

unload() {
	stop events
	# It stays while connections are translated (S5).
	kcolo -n sh pair del "$PAIR" force && rmmod kcolo
}

# goes WHAT COMMAND...: the command makes it go.
goes() {
	local what=$1 v; shift
	pair_up timeout 20000
	server pv
	server sv
	for v in 4 6; do
		bg get$v cl replica client "${GUEST[$v]}" 7000 get 60M --rate 4M --timeout 30
		bg put$v cl replica client "${GUEST[$v]}" 7000 put 60M --rate 4M --timeout 30
	done
	wait_for 20 connected cl 4
	sleep 1
	ip -n sh link set vm down
	check "$*: packets are held" wait_for 5 held
	before=$(dmesg | wc -l)
	check "$*: it goes" "$@"
	check "$*: the log says so" wait_for 20 dropped "$what"
	for v in 4 6; do kill -USR1 "${PID[get$v]}" "${PID[put$v]}"; done
	for v in 4 6; do
		check "$* IPv$v: a download goes on" reap get$v || note <"$TMP/get$v.out"
		check "$* IPv$v: an upload goes on" reap put$v || note <"$TMP/put$v.out"
	done
	stop server.pv server.sv
	pair_down
	ip -n sh link set vm up
}

topo_up
goes "the pair" kcolo -n ph pair del "$PAIR" force
goes "the pair" unload
"$SELFTESTS/load"
goes br_netfilter rmmod br_netfilter
modprobe br_netfilter
for ns in "${NETNS[@]}"; do at "$ns" sysctl -qw net.bridge.bridge-nf-call-{ip,ip6,arp}tables=0; done
sysctl -qw net.bridge.bridge-nf-call-{ip,ip6,arp}tables=0
check "no reset reached a client" test "$(client_saw resets)" = 0
pair_up
server pv
server sv
check "afterwards all is well" at cl replica client "${GUEST[4]}" 7000 both 1M 1M
clean "afterwards"
finish
