#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_lost.sh - SYN, SYN-ACK, FIN or RST is lost once, on each link and in each direction (R4, R5).
. "$(dirname "$(realpath "$0")")/lib.sh"

topo_up
# A guest repeats a SYN-ACK and a FIN only after a second or more.
pair_up timeout 10000
server pv
server sv

syn='tcp flags & (syn | ack) == syn' syn_ack='tcp flags & (syn | ack) == syn | ack'
fin='tcp flags & fin == fin' rst='tcp flags & rst == rst'
to='tcp dport 7000' from='tcp sport 7000'

# once V NAME LINK DIRECTION EXPRESSION CLIENT-ARGUMENTS...: one frame like that is lost, and the client does not notice.
once() {
	local v=$1 name="$2 lost on the link $3 $4, IPv$1"; shift 2
	lose "$1" "$2" 1 "$3"
	check "$name: the client ends well" at cl timeout 30 replica client "${GUEST[$v]}" 7000 "${@:4}"
	check "$name: one frame was lost" wait_for 2 lost 1
}

for v in 4 6; do
	once $v "R4 SYN" client to-primary "$to $syn" both 10k 10k
	once $v "R4 SYN" peer to-secondary "$to $syn" both 10k 10k
	once $v "R4 SYN-ACK" client to-client "$from $syn_ack" both 10k 10k
	once $v "R4 SYN-ACK" peer to-primary "$from $syn_ack" both 10k 10k
	# The client ends first, then the server does.
	for link in "client to-primary $to" "peer to-secondary $to" "client to-client $from" "peer to-primary $from"; do
		read -r link direction expression <<<"$link"
		once $v "R5 FIN" "$link" "$direction" "$expression $fin" both 100k 10k --half-close
		once $v "R5 FIN" "$link" "$direction" "$expression $fin" both 10k 100k --early-fin
	done
	once $v "R5 RST" client to-primary "$to $rst" get 2M --rst-at 50k
	once $v "R5 RST" peer to-secondary "$to $rst" get 2M --rst-at 50k
	lose_nothing
	check "R4 R5 IPv$v: afterwards others are served" at cl replica client "${GUEST[$v]}" 7000 both 1M 1M
done
clean "SYN, SYN-ACK, FIN and RST lost"
finish
