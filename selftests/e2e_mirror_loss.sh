#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_mirror_loss.sh - the mirror loses exactly one frame that nobody would send again by himself (R15).
. "$(dirname "$(realpath "$0")")/lib.sh"

topo_up
# Three lost handshake ACKs, seven seconds of a guest's patience.
pair_up timeout 10000
for ns in pv sv; do bg server.$ns $ns replica server --port 7001 --banner --ctl "$TMP/ctl.$ns"; done
for ns in pv sv; do wait_for 5 listening $ns 7001; done

bare='tcp flags & (fin | syn | rst | psh | ack) == ack'
client() {
	at cl timeout 30 replica client "${GUEST[$1]}" 7001 "${@:2}"
}

for v in 4 6; do
	lose peer to-secondary 1 tcp dport 7001 "$bare"
	check "R15 IPv$v: the server speaks first, the handshake's ACK is lost on the mirror" client $v get 100k --banner
	check "R15 IPv$v: one frame was lost" lost 1
	lose peer to-secondary 3 tcp dport 7001 "$bare"
	check "R15 IPv$v: the client's first three ACKs are lost on the mirror" client $v get 100k --banner
	check "R15 IPv$v: three frames were lost" lost 3
	lose peer to-secondary 1 'tcp dport 7001 tcp flags & (fin | ack) == fin | ack'
	check "R15 R5 IPv$v: the client's FIN is lost on the mirror" client $v get 10k --banner --half-close
	check "R15 IPv$v: one frame was lost" lost 1
	lose peer to-secondary 1 'tcp dport 7001 tcp flags & (syn | ack) == syn'
	check "R15 R4 IPv$v: the SYN is lost on the mirror" client $v get 10k --banner
	check "R15 IPv$v: one frame was lost" lost 1
	lose peer to-secondary 1 'tcp dport 7001 tcp flags & psh == psh'
	check "R15 R1 IPv$v: the request is lost on the mirror" client $v both 10k 10k --banner
	check "R15 IPv$v: one frame was lost" lost 1
done
check "R15 the primary repeated ACKs" test "$(ctr ph acks_resent)" -gt 0
clean "lost on the mirror"
finish
