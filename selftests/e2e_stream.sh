#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_stream.sh - streams whose every byte is checked: both directions, ends of all kinds, unequal segments, slow readers.
. "$(dirname "$(realpath "$0")")/lib.sh"

topo_up
# Clients and both guests share one processor: a guest may be late, and nobody is here who would make a checkpoint.
pair_up timeout 20000
server pv
server sv
bg banner.pv pv replica server --port 7001 --banner
bg banner.sv sv replica server --port 7001 --banner
for ns in pv sv; do wait_for 5 listening $ns 7001; done
size=${KCOLO_E2E_SIZE:-2M}

client() {
	at cl timeout 60 replica client "${GUEST[$1]}" "${@:2}"
}

# Every kind of stream; the argument is put before the names.
streams() {
	local v
	for v in 4 6; do
		check "$1R1 R6 IPv$v: download" client $v 7000 get "$size"
		check "$1R1 IPv$v: upload" client $v 7000 put "$size"
		check "$1R1 R12 IPv$v: both at once" client $v 7000 both "$size" "$size"
		check "$1R6 IPv$v: writes of 100 bytes" client $v 7000 both 200k 200k --chunk 100
	done
}

for v in 4 6; do
	check "R5 IPv$v: the server ends first, the client goes on" client $v 7000 both 100k "$size" --early-fin
	check "R5 IPv$v: the client ends first, the server goes on" client $v 7000 both "$size" 100k --half-close
	check "R5 IPv$v: both end early" client $v 7000 both 100k 100k --early-fin --half-close
	check "R5 R6 IPv$v: connections that carry nothing" client $v 7000 get 0 --repeat 50
	check "R5 R6 IPv$v: connections that carry one byte each way" client $v 7000 both 1 1 --repeat 50
	check "R4 IPv$v: one port used again and again" client $v 7000 get 10k --sport 30000 --half-close --early-fin
	check "R4 R1 IPv$v: the server speaks first" client $v 7001 get 10k --banner --repeat 20
	check "R1 IPv$v: a reader that lets the window close, and the probes into it" client $v 7000 get 3M --rate 1M
	check "R5 IPv$v: the client resets" client $v 7000 get "$size" --rst-at 50k --repeat 20
	check "R1 IPv$v: line by line, long idle between" client $v 7000 echo 8 "${KCOLO_E2E_IDLE:-700}"
done
streams ""

# Unequal segments: the two guests cut their streams differently.
for v in 4 6; do ip -n sv route add "${CLIENT[$v]}" dev eth0 mtu lock 1300 advmss $((v == 4 ? 1460 : 1440)); done
at sv ethtool -K eth0 tso off gso off >/dev/null
streams "secondary without GSO: "
at sv ethtool -K eth0 tso on gso on >/dev/null
at pv ethtool -K eth0 tso off gso off tx off >/dev/null
at cl ethtool -K eth0 tso off gso off gro off tx off >/dev/null
streams "primary and client without GSO and checksum offload: "
at sv ethtool -K eth0 tx off >/dev/null
streams "nobody computes a checksum late: "
check "W1 no wrong checksum anywhere" test "$(for ns in cl pv sv; do at $ns nstat -asz TcpInCsumErrors; done | awk '{ n += $2 } END { print n }')" = 0

ctl pv stat | note
ctl sv stat | note
check "what the servers received is right" grep -q 'wrong 0$' <(ctl pv stat)
check "what the secondary received is right" grep -q 'wrong 0$' <(ctl sv stat)
clean "streams"
finish
