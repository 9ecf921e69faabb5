#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_protocols.sh - any IP protocol, multicast, traceroute, path MTU; all again inside VLANs; DTLS, QUIC and SCTP by rules.
. "$(dirname "$(realpath "$0")")/lib.sh"

proto="$SELFTESTS/ipproto.py"

grew() { # COUNTER BY SINCE
	[ $(($(ctr ph "$1") - $3)) -ge "$2" ]
}

# The guests are routers, too, in front of a network with a small MTU; and they never hold an error back.
behind() { # NETNS
	at "$1" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.icmp_ratelimit=0 \
		net.ipv4.icmp_msgs_per_sec=100000 net.ipv6.icmp.ratelimit=0 net.ipv4.conf.all.rp_filter=0
	ip -n "$1" link add narrow mtu 1400 type dummy
	ip -n "$1" link set narrow up
	ip -n "$1" route add 10.9.0.0/16 dev narrow
	ip -n "$1" -6 route add fd09::/32 dev narrow
}

# A network behind the client, with a smaller MTU on the way to it, and a host that asks for longer segments all the same.
far_up() {
	ip netns add far
	NETNS+=(far)
	link cl narrow far eth0
	at cl sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
	ip -n cl link set narrow mtu 1300
	ip -n far link set eth0 mtu 1300
	ip -n cl addr add 10.8.0.1/24 dev narrow
	ip -n cl addr add fd08::1/64 dev narrow nodad
	ip -n far addr add 10.8.0.2/24 dev eth0
	ip -n far addr add fd08::2/64 dev eth0 nodad
	ip -n far route add default via 10.8.0.1 advmss 1460
	ip -n far -6 route add default via fd08::1 advmss 1440
	local ns
	for ns in pv sv; do
		ip -n $ns route add 10.8.0.0/24 via "${CLIENT[4]}"
		ip -n $ns -6 route add fd08::/64 via "${CLIENT[6]}"
	done
}

# The same hosts and guests once more inside VLAN 5 (802.1Q), and inside VLAN 7 of 100 (802.1Q in 802.1ad).
tagged_up() {
	local ns id dev
	for ns in cl pv sv; do
		ip -n $ns link add link eth0 name outer type vlan proto 802.1ad id 100
		ip -n $ns link set outer up
		for id in 5 7; do
			[ $id = 5 ] && dev=eth0 || dev=outer
			ip netns add $ns$id
			NETNS+=("$ns$id")
			ip -n $ns link add link $dev name inner netns $ns$id type vlan proto 802.1Q id $id
			ip -n $ns$id link set lo up
			ip -n $ns$id link set inner name eth0
			at $ns$id sysctl -qw net.ipv6.conf.all.accept_dad=0
		done
	done
	for id in 5 7; do
		address cl$id "$CLIENT_MAC" "${CLIENT[4]}" "${CLIENT[6]}"
		for ns in pv$id sv$id; do
			address "$ns" "$GUEST_MAC" "${GUEST[4]}" "${GUEST[6]}"
			ip -n "$ns" neigh add "${CLIENT[4]}" lladdr $CLIENT_MAC dev eth0
			ip -n "$ns" neigh add "${CLIENT[6]}" lladdr $CLIENT_MAC dev eth0
		done
		at sv$id sysctl -qw net.ipv4.tcp_timestamps=2
	done
}

traced() { # DESTINATION HOPS WANTED
	[ "$(at cl "$proto" trace "$1" "$2" | xargs)" = "$3" ]
}

pings() { # IP-VERSION SIZE
	at cl ping -q -"$1" -n -c 20 -i 0.01 -W 60 -s "$2" "${GUEST[$1]}" | grep ' 0% packet loss'
}

topo_up
cable || not_ok "the link between the hosts copies"
far_up
for ns in pv sv; do behind $ns; done
declare -A nets=([4]=10.9.0.0/16 [6]=fd09::/16)
for v in 4 6; do
	ip -n cl -"$v" route add "${nets[$v]}" via "${GUEST[$v]}"
done
pair_up timeout 20000
for ns in pv sv; do
	bg echo.$ns $ns "$proto" echo 253
	bg group.$ns $ns "$proto" group 5353
	server $ns
done
echoes() {
	[ "$(ss -N "$1" -Hwna | grep -c ':253 ')" = 2 ] && [ "$(ss -N "$1" -Hluna sport = 5353 | wc -l)" = 2 ]
}
for ns in pv sv; do wait_for 10 echoes $ns || not_ok "$ns echoes"; done

declare -A narrow=([4]=10.9.0.1 [6]=fd09::1) exceeded=([4]=11/0 [6]=3/0) refused=([4]=3/3 [6]=1/4)
for v in 4 6; do
	n=$(ctr ph compared_datagrams)
	check "R8 IPv$v: another protocol, 320 packets" at cl "$proto" ask "${GUEST[$v]}" 253 320 200
	check "R8 IPv$v: another protocol, 9000 bytes" at cl "$proto" ask "${GUEST[$v]}" 253 64 9000
	check "R8 IPv$v: answers to a group" at cl "$proto" query $v 5353 50
	check "R8 IPv$v: traceroute, to the guest" traced "${GUEST[$v]}" 2 \
		"${GUEST[$v]} ${refused[$v]} ${GUEST[$v]} ${refused[$v]}"
	check "R8 IPv$v: traceroute, through the guest" traced "${narrow[$v]}" 1 \
		"${GUEST[$v]} ${exceeded[$v]}"
	check "R8 IPv$v: the guest tells of a smaller MTU" test \
		"$(at cl "$proto" path "${narrow[$v]}" 1440)" = "${GUEST[$v]} mtu 1400"
	check "R8 IPv$v: they were compared" grew compared_datagrams 438 "$n"
	# The guests' segments are too long for the far network; the error quotes the primary's numbers.
	n=$(ctr sh translated_errors)
	check "W1 IPv$v: a smaller MTU on the way to the client" at far replica client "${GUEST[$v]}" 7000 both 300k 300k --timeout 30
	check "W1 IPv$v: errors were translated" test "$(ctr sh translated_errors)" -gt "$n"
done
clean "protocols"

# All that inside tags, one and two; in both VLANs the same addresses as without.
in_vlans() { # IP-VERSION SERVICE...
	local v=$1 ns
	shift
	for ns in cl5 cl7; do
		at "$ns" "$@" || return
	done
}

tagged_up
for ns in pv5 sv5 pv7 sv7; do
	bg udp.$ns $ns "$SELFTESTS/udp.py" serve 7
	bg server.$ns $ns replica server --ctl "$TMP/ctl.$ns"
	wait_for 5 ctl $ns stat
done
for v in 4 6; do
	n=$(ctr ph compared_datagrams)
	check "S3 IPv$v in VLANs: streams" in_vlans $v replica client "${GUEST[$v]}" 7000 both 1M 1M --timeout 30
	check "S3 IPv$v in VLANs: ping" in_vlans $v ping -q -$v -n -c 20 -i 0.01 -W 60 -s 64 "${GUEST[$v]}"
	check "S3 IPv$v in VLANs: ping, 9000 bytes" in_vlans $v ping -q -$v -n -c 20 -i 0.01 -W 60 -s 9000 "${GUEST[$v]}"
	check "S3 IPv$v in VLANs: datagrams" in_vlans $v "$SELFTESTS/udp.py" ask "${GUEST[$v]}" 7 320 100
	check "S3 IPv$v in VLANs: bursts of 40 in one packet" in_vlans $v "$SELFTESTS/udp.py" burst "${GUEST[$v]}" 7 20 40 1000
	check "S3 IPv$v in VLANs: they were compared" grew compared_datagrams 2500 "$n"
done
check "S3 flows are shown with their VLANs" test "$(kcolo -n ph flow show vlan 100 cvlan 7 proto tcp | wc -l)" -ge 2
clean "VLANs"

# Random numbers differ rightly: DTLS needs a rule, on both hosts.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test -keyout "$TMP/key" -out "$TMP/cert" \
	2>/dev/null
dtls_listens() { # NETNS
	at "$1" ss -Hlun 'sport = :4433' | grep -q .
}

dtls_up() { # GREETING
	local ns
	for ns in pv sv; do
		stop dtls.$ns
		# It ends with its input, which therefore stays open for as long as it lives.
		# shellcheck disable=SC2016 # the inner shell knows
		bg dtls.$ns $ns bash -c 'exec openssl s_server -dtls -quiet -accept 4433 -cert "$0/cert" -key "$0/key" \
			< <(echo "$1"; exec tail -f /dev/null --pid=$$)' "$TMP" "$1"
	done
	for ns in pv sv; do wait_for 5 dtls_listens $ns; done
}
dtls() {
	# shellcheck disable=SC2016 # the inner shell knows
	bg dtls.cl cl bash -c 'exec openssl s_client -dtls -quiet -connect "$0:4433" < <(exec tail -f /dev/null --pid=$$)' "${GUEST[4]}"
	wait_for 20 grep -qx hello "$TMP/dtls.cl.out"
}
dtls_up nothing
told() {
	grep -q '"event": *"miscompare".*"proto": *"udp".*"sport": *4433' "$TMP/events.out"
}
kcolo -n ph pair set "$PAIR" timeout 2000
bg try cl openssl s_client -dtls -quiet -connect "${GUEST[4]}":4433
check "R8 DTLS differs" wait_for 10 told
stop try
for host in ph sh; do
	check "R13 a rule on $host" kcolo -n $host rule add pair "$PAIR" proto udp sport 4433 action bypass
done
dtls_up hello
check "R13 DTLS by a rule" dtls

# So it is with QUIC and SCTP. What was asked for is answered, else the pair would go to bypass.
epoch=0
answer() {
	local host what
	epoch=$((epoch + 1))
	for what in begin "commit epoch $epoch"; do
		for host in sh ph; do
			# shellcheck disable=SC2086 # words
			kcolo -n $host pair checkpoint "$PAIR" $what || return
		done
	done
}

differs() { # PROTOCOL PORT
	grep -q '"event": *"miscompare".*"proto": *"'"$1"'".*"sport": *'"$2" "$TMP/events.out"
}

nothing_compared() { # MISCOMPARES
	echo "state $(pair_field ph state) miscompares $(ctr ph miscompares), before $1"
	in_state ph running && [ "$(ctr ph miscompares)" = "$1" ]
}

# by_rule NAME PROTOCOL PORT: without a rule it is told; with one client_NAME IP-VERSION succeeds.
by_rule() {
	local v host told n
	check "R13 $1: the pair runs" answer
	client_"$1" 4 >"$TMP/try.out" 2>&1 &
	PID[try]=$!
	check "R8 $1 differs" wait_for 10 differs "$2" "$3"
	for host in ph sh; do
		check "R13 $1: a rule on $host" kcolo -n $host rule add pair "$PAIR" proto "$2" sport "$3" action bypass
	done
	check "R13 $1: who has waited goes on" reap try
	check "R13 $1: a checkpoint answers" answer
	told=$(ctr ph miscompares) n=$(ctr ph uncompared_rule)
	for v in 4 6; do
		check "R13 IPv$v: $1 by a rule" client_"$1" $v
	done
	check "R13 $1: it left by the rule" grew uncompared_rule 20 "$n"
	check "R13 $1: nothing was compared" nothing_compared "$told"
}

client_quic() {
	rm -f "$TMP/down/file"
	at cl timeout 30 gtlsclient -q --no-quic-dump --no-http-dump --exit-on-all-streams-close --download="$TMP/down" \
		"${GUEST[$1]}" 4434 "https://${URL[$1]}:4434/file" && cmp "$TMP/up/file" "$TMP/down/file"
}

client_sctp() {
	at cl timeout 30 "$proto" sctp-ask "${GUEST[$1]}" 5004 50 4000
}

mkdir "$TMP/up" "$TMP/down"
head -c 300000 /dev/urandom >"$TMP/up/file"
modprobe sctp || not_ok "this kernel has SCTP"
for ns in pv sv; do
	bg quic.$ns $ns gtlsserver -q --no-quic-dump --no-http-dump -d "$TMP/up" '*' 4434 "$TMP/key" "$TMP/cert"
	for v in 4 6; do
		bg sctp$v.$ns $ns "$proto" sctp-serve "${GUEST[$v]}" 5004
	done
done
serves() {
	[ "$(ss -N "$1" -Hluna sport = 4434 | wc -l)" -ge 1 ] && [ "$(ss -N "$1" -HSln sport = 5004 | wc -l)" = 2 ]
}
for ns in pv sv; do wait_for 10 serves $ns || not_ok "$ns serves"; done
by_rule quic udp 4434
by_rule sctp sctp 5004
finish
