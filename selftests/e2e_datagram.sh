#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_datagram.sh - what is not TCP: a DNS server with dig, mDNS, ping, large datagrams over links of 1500 bytes; IPv4 and IPv6.
. "$(dirname "$(realpath "$0")")/lib.sh"

queries=${KCOLO_E2E_QUERIES:-300}

# ask NAME TYPE WANTED IP-VERSION [OPTION...]
ask() {
	[ "$(at cl dig +short +tries=1 +time=60 "@${GUEST[$4]}" "$1" "$2" "${@:5}" | tr -d '" ')" = "$3" ]
}

many() {
	local i
	for ((i = 0; i < queries; i++)); do echo "n$i.a.test A"; done >"$TMP/names"
	at cl dig +short +tries=1 +time=60 "@${GUEST[$1]}" -f "$TMP/names" >"$TMP/answers"
	[ "$(sort "$TMP/answers" | uniq -c | xargs)" = "$queries 192.0.2.1" ]
}

grew() { # COUNTER BY SINCE
	[ $(($(ctr ph "$1") - $3)) -ge "$2" ]
}

pings() { # IP-VERSION SIZE
	at cl ping -q -"$1" -n -c 50 -i 0.01 -W 60 -s "$2" "${GUEST[$1]}" | grep ' 0% packet loss'
}

# A real mDNS server that tells of a service. What it says by itself, at its own times, has been said before there is a pair. Each guest has its own files, by the mount namespace of its network namespace.
mdns_up() { # NETNS
	local d=$TMP/mdns.$1
	mkdir -p "$d/services" "$d/run"
	cat >"$d/conf" <<-END
		[server]
		host-name=guest
		use-ipv6=no
		allow-interfaces=eth0
		enable-dbus=no
		[wide-area]
		enable-wide-area=no
		[publish]
		publish-workstation=no
		publish-hinfo=no
	END
	cat >"$d/services/web.service" <<-END
		<service-group><name>Web</name><service><type>_http._tcp</type><port>80</port><txt-record>path=/</txt-record></service></service-group>
	END
	# shellcheck disable=SC2016 # the inner shell knows
	bg "mdns.$1" "$1" bash -c 'mkdir -p /run/avahi-daemon && mount --bind "$0/run" /run/avahi-daemon &&
		mount --bind "$0/services" /etc/avahi/services && exec avahi-daemon --no-drop-root --no-chroot --no-rlimits -f "$0/conf"' "$d"
}

mdns_ready() { # NETNS
	grep -q "Service \"Web\" .* successfully established" "$TMP/mdns.$1.err"
}

# It announces itself four times, at 0, 1, 3 and 7 seconds and a random part of one: who says nothing for 5 seconds has done. Both, or an answer of one carries what it announces besides.
said() {
	at pv cat /sys/class/net/eth0/statistics/tx_packets &&
		at sv cat /sys/class/net/eth0/statistics/tx_packets
}

mdns_done() {
	local before i
	for ((i = 0; i < 12; i++)); do
		before=$(said) || return
		sleep 5
		[ "$(said)" != "$before" ] || return 0
	done
	return 1
}

# By its own clock it answers for a record, and adds it to an answer, at most once a second: whether that is over must be clear to both.
mdns() {
	local record
	for record in guest.local:1 Web._http._tcp.local:33 Web._http._tcp.local:16 _http._tcp.local:12; do
		sleep 3
		at cl "$SELFTESTS/ipproto.py" mdns 4 "${record%:*}" "${record#*:}" || return
	done
}

asks_mdns() {
	[ "$(at cl dig +short +tries=1 +time=10 -p 5353 "@${GUEST[4]}" guest.local A)" = "${GUEST[4]}" ]
}

topo_up
cable || not_ok "the link between the hosts copies"
for ns in pv sv; do mdns_up $ns; done
for ns in pv sv; do
	check "an mDNS server in $ns" wait_for 10 mdns_ready $ns
done
check "they have announced themselves" mdns_done
# Clients and both guests share one processor: a guest may be late, and nobody is here who would make a checkpoint.
pair_up timeout 20000
long=$(printf 'x%.0s' {1..750})
dns_up pv 192.0.2.7
dns_up sv 192.0.2.8
for ns in pv sv; do
	bg udp.$ns $ns "$SELFTESTS/udp.py" serve 7
done

n=$(ctr ph compared_datagrams)
check "R8 mDNS, four records" mdns
check "R8 dig asks the mDNS server" asks_mdns
check "R8 they were compared" grew compared_datagrams 5 "$n"
# What it announces or repeats by a clock of its own the other one need not say: to go on with it takes a rule.
for host in ph sh; do
	check "R13 mDNS: a rule on $host" kcolo -n $host rule add pair "$PAIR" proto udp sport 5353 action bypass
done
n=$(ctr ph uncompared_rule)
check "R13 mDNS by a rule" asks_mdns
check "R13 it left by the rule" grew uncompared_rule 1 "$n"
for v in 4 6; do
	n=$(ctr ph compared_datagrams)
	check "R8 IPv$v: dig, an answer" ask x.a.test A 192.0.2.1 $v
	check "R8 IPv$v: dig, another type" ask x.a.test AAAA 2001:db8::1 $v
	check "R8 IPv$v: dig, an answer of 800 bytes" ask long.test TXT "$long" $v
	check "R6 IPv$v: dig over TCP" ask long.test TXT "$long" $v +tcp
	check "R8 IPv$v: dig, $queries names" many $v
	check "R8 IPv$v: they were compared" grew compared_datagrams $((queries + 3)) "$n"
	n=$(ctr ph compared_datagrams)
	check "R8 IPv$v: ping" pings $v 64
	check "R8 IPv$v: ping, 9000 bytes in fragments" pings $v 9000
	check "R8 IPv$v: 1000 datagrams, 16 at a time" at cl "$SELFTESTS/udp.py" ask "${GUEST[$v]}" 7 1000 100
	check "R8 IPv$v: datagrams of 9000 bytes" at cl "$SELFTESTS/udp.py" ask "${GUEST[$v]}" 7 200 9000
	check "R8 IPv$v: datagrams of 60000 bytes" at cl "$SELFTESTS/udp.py" ask "${GUEST[$v]}" 7 32 60000
	check "R8 IPv$v: bursts of 40 in one packet" at cl "$SELFTESTS/udp.py" burst "${GUEST[$v]}" 7 20 40 1000
	check "R8 IPv$v: a port unreachable" at cl "$SELFTESTS/udp.py" refused "${GUEST[$v]}" 9
	check "R8 IPv$v: they were compared" grew compared_datagrams 2133 "$n"
done

impair peer to-primary delay 10ms 5ms
impair peer to-secondary delay 3ms 2ms
for v in 4 6; do
	check "R8 IPv$v: reordered on the link between the hosts: datagrams" \
		at cl "$SELFTESTS/udp.py" ask "${GUEST[$v]}" 7 320 100
	check "R8 IPv$v: reordered on the link between the hosts: ping, 9000 bytes" pings $v 9000
	check "R8 IPv$v: reordered on the link between the hosts: dig" many $v
done
impair_none
check "R8 nothing left uncompared" test "$(ctr ph uncompared_proto)" = 0
clean "datagrams"

# The two answer differently: the client hears nothing, until a rule says that it may.
told() {
	grep -q '"event": *"miscompare".*"reason": *"payload".*"proto": *"udp"' "$TMP/events.out"
}
kcolo -n ph pair set "$PAIR" timeout 3000
bg dig cl dig +short +tries=1 +time=30 "@${GUEST[4]}" differs.test A
check "R8 another answer of the secondary's is told" wait_for 10 told
check "R8 and the client waits" test ! -s "$TMP/dig.out"
check "R13 a rule" kcolo -n ph rule add pair "$PAIR" proto udp sport 53 action bypass
reap dig
check "R13 the primary's answer arrives" grep -qx 192.0.2.7 "$TMP/dig.out"
check "R13 answers leave uncompared" ask differs.test A 192.0.2.7 4
finish
