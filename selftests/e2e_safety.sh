#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_safety.sh - whatever the secondary guest sends and whatever happens to the module, the clients see nothing of it (S1).
. "$(dirname "$(realpath "$0")")/lib.sh"

mark=secondary-guest-was-here
topo_up

# Everything on the wires towards the clients: the switch's ports of both hosts.
sniff() {
	local port
	for port in ph sh; do bg sniff.$port lan tcpdump -i $port -U --immediate-mode -s 0 -w "$TMP/$port.pcap" inbound; done
	for port in ph sh; do wait_for 5 test -s "$TMP/$port.pcap"; done
}

frames() {
	cat "$TMP/ph.pcap" "$TMP/sh.pcap" | grep -ao "$1" | wc -l
}

noise() {
	at sv "$SELFTESTS/noise.py" eth0 $mark "$1" | note
}

unseen() {
	check "$1" test "$(frames $mark)" = 0
}

traffic() {
	local v
	for v in 4 6; do
		check "$1 IPv$v: a client is served meanwhile" at cl timeout 60 replica client "${GUEST[$v]}" 7000 both 1M 1M
	done
}

sniff
# The sniffer does see what a guest sends.
at pv "$SELFTESTS/noise.py" eth0 primary-guest-was-here >/dev/null
seen() {
	[ "$(frames "$1")" -gt 50 ]
}
check "the sniffer sees the primary guest" wait_for 5 seen primary-guest-was-here

noise 0
unseen "S1 without a pair"
pair_up
server pv
server sv
bg noise sv "$SELFTESTS/noise.py" eth0 $mark 6
traffic "S1"
unseen "S1 with a pair under traffic"
counted() {
	[ "$(ctr ph secondary_ignored)" -gt 0 ]
}
check "S1 what the secondary sent was counted" wait_for 10 counted
for _ in {1..5}; do
	kcolo -n ph pair del "$PAIR" force
	kcolo -n sh pair del "$PAIR" force
	kcolo -n sh pair add "$PAIR" role secondary vm vm peer peer
	kcolo -n ph pair add "$PAIR" role primary vm vm peer peer
done
unseen "S1 pairs come and go"
reap noise
pair_down
if [ "${KCOLO_KO:-}" ]; then
	bg noise sv "$SELFTESTS/noise.py" eth0 $mark 4
	for _ in {1..5}; do
		rmmod kcolo
		"$SELFTESTS/load"
		kcolo -n sh pair add "$PAIR" role secondary vm vm peer peer
		kcolo -n ph pair add "$PAIR" role primary vm vm peer peer
		kcolo -n sh pair del "$PAIR" force
		kcolo -n ph pair del "$PAIR" force
	done
	unseen "S1 the module comes and goes"
	reap noise
else
	skip "S1 the module comes and goes" "KCOLO_KO is not set"
fi
pair_up
traffic "S1 again,"
kcolo -n ph pair failover "$PAIR"
noise 0
unseen "S1 in bypass"
kcolo -n ph pair checkpoint "$PAIR" begin
noise 0
unseen "S1 during a checkpoint"
kcolo -n ph pair checkpoint "$PAIR" commit
noise 0
unseen "S1 after a commit"

kcolo -n sh pair failover "$PAIR"
cut_primary
takeover
noise 0
check "F1 after the failover the clients do see it" wait_for 5 seen $mark
finish
