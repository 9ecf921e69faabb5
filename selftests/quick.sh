#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# quick.sh - kcolo-quick: two hosts are made by a file each, serve, and are taken away again; whatever is wrong leaves nothing behind.
. "$(dirname "$(realpath "$0")")/lib.sh"

topo_up
at ph "$SCRIPTS/kcolo-primary" down vm vm all >/dev/null
at sh "$SCRIPTS/kcolo-secondary" down vm vm >/dev/null

# quick NETNS STATUS ARGS...: it ends with that status; what it says is in $TMP/out.
quick() {
	local ns=$1 want=$2; shift 2
	at "$ns" "$SCRIPTS/kcolo-quick" "$@" >"$TMP/out" 2>&1
	local got=$?
	[ "$got" != 0 ] || echo "kcolo-quick $*" >>"$TMP/ran"
	cat "$TMP/out"
	[ "$got" = "$want" ]
}

# What the files change.
state() {
	local ns
	for ns in ph sh; do
		ip -n $ns -o link | sed 's/state.*//; s/^[0-9]*: //' | sort
		at $ns sh -c 'tail -n 1 /proc/sys/net/ipv6/conf/*/disable_ipv6'
		tc -n $ns qdisc show dev vm
		kcolo -n $ns pair show
	done
}

# unchanged [SINCE]
unchanged() {
	state | diff "$TMP/${1:-before}" -
}

cat >"$TMP/p.conf" <<END
# The primary.
  kcolo-primary up bridge br0 uplink uplink vm vm peer peer

pair add "$PAIR" role primary \\
	vm vm peer peer timeout $((3000 * ${KCOLO_TEST_SCALE:-1})) max-packets 1234
END
cat >"$TMP/s.conf" <<END
pair add $PAIR role secondary vm vm peer peer
kcolo-secondary up bridge br1 vm vm peer peer # behind
END
state >"$TMP/before"

check "-n: works" quick ph 0 -n up "$TMP/p.conf"
check "-n: shows the set-up" grep -q '^tc filter add dev vm egress' "$TMP/out"
check "-n: shows the commands" grep -q '^kcolo pair add "vm1" role primary' "$TMP/out"
check "-n: changes nothing" unchanged

check "up: primary" quick ph 0 up "$TMP/p.conf"
check "up: secondary" quick sh 0 up "$TMP/s.conf"
check "up: the pair is there" test "$(pair_field ph max_packets)" = 1234
server pv && server sv
check "what was made serves" at cl replica client "${GUEST[4]}" 7000 get 1000000
check "and compares" test "$(ctr ph compared_bytes)" -ge 1000000
check "and translates" test "$(ctr sh learnt)" -ge 1
bg idle cl replica client "${GUEST[4]}" 7000 echo 3000 100
check "and a connection stays" wait_for 5 sh -c "! kcolo -n sh pair show $PAIR | grep -q 'translated 0'"
sleep 1
state >"$TMP/during"
check "up again: refused" quick ph 2 up "$TMP/p.conf"
check "up again: why" grep -q 'there is a pair vm1 already' "$TMP/out"
check "up again: changes nothing" unchanged during
check "-n down: works" quick ph 0 -n down "$TMP/p.conf"
check "-n down: changes nothing" kcolo -n ph pair show $PAIR
check "down: primary" quick ph 0 down "$TMP/p.conf"
check "down: refused while connections are translated" quick sh 2 down "$TMP/s.conf"
check "down: the pair and its bridge stay" sh -c "kcolo -n sh pair show $PAIR && ip -n sh link show br1"
stop idle
kcolo -n sh pair del $PAIR force
check "down: of a pair that is gone" quick sh 0 down "$TMP/s.conf"
at ph "$SCRIPTS/kcolo-primary" down vm vm all >/dev/null
check "down: as before" unchanged

printf '%s\n' 'kcolo-primary up bridge br0 vm vm peer peer' '' 'pair add vm1 role primary vm vm peer peer' 'pair add vm2 role nosuch' \
	>"$TMP/bad.conf"
check "a wrong command: fails" quick ph 1 up "$TMP/bad.conf"
check "a wrong command: where it is" grep -q '^Command failed stdin:4$' "$TMP/out"
check "a wrong command: all is taken back" unchanged
sed -i '/vm2/d; s/peer peer$/peer nosuch/' "$TMP/bad.conf"
check "a missing port: fails with 2, to be tried again" quick ph 2 up "$TMP/bad.conf"
check "a missing port: all is taken back" unchanged
for line in 'kcolo-primary down vm vm' 'kcolo-secondary takeover vm vm bridge br0' 'kcolo-primary up bridge br0 peer peer'; do
	echo "$line" >"$TMP/bad.conf"
	check "a file with \"$line\": 1" quick ph 1 up "$TMP/bad.conf"
	check "a file with \"$line\": nothing is done" unchanged
done
for words in '' up down 'up a b' 'nosuch a' 'up nosuchfile' "-x up $TMP/p.conf"; do
	# shellcheck disable=SC2086 # words
	check "usage: $words" quick ph 1 $words
done
check "help" quick ph 0 help

check "help" quick ph 0 help
check "every command and every word of kcolo-quick was used" \
	sh -c "'$SCRIPTS/kcolo-quick' help | '$SELFTESTS/exercised.py' '$TMP/ran'"

finish
