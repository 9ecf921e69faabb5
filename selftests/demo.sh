#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# demo.sh [SIZE] - run inside a VM ("make demo"): a download survives a lying secondary and the death of the machine that serves it.
. "$(dirname "$(realpath "$0")")/lib.sh"
PATH=$SCRIPTS:$PATH

size=${1:-200000000}
byte=$((size * 5 / 8))
rate=$((size / 4))
good=$TMP/good bad=$TMP/bad

say() {
	printf '\n%s\n' "$*" | fold -s -w 100 | sed 's/ *$//'
}

chapter() {
	printf '\n======== %s\n' "$*"
}

# Show a command as one would type it, run it, and stop the story if it fails.
show() {
	printf '$ %s\n' "$*"
	"$@" 2>&1 | sed 's/^/  /'
	[ "${PIPESTATUS[0]}" = 0 ] || stop_story "this command should have succeeded"
}

# told SENTENCE COMMAND...: go on only if it is so.
told() {
	"${@:2}" || stop_story "not so: $1"
	printf '  [as told] %s\n' "$1"
}

stop_story() {
	printf '\nNOT AS TOLD: %s\n' "$*"
	tell_state
	exit 1
}

# download ID: the client's curl goes on in the background; its sha256 ends up in $TMP/ID.sum.
download() {
	printf '$ %s &\n' "ip netns exec cl curl -s --limit-rate $rate http://${GUEST[4]}/file | sha256sum"
	mkfifo "$TMP/$1.pipe"
	sha256sum <"$TMP/$1.pipe" >"$TMP/$1.sum" &
	PID[$1.sum]=$!
	ip netns exec cl curl -s --limit-rate $rate "http://${GUEST[4]}/file" >"$TMP/$1.pipe" &
	PID[$1]=$!
}

# What the client's kernel has received on the connection to nginx.
received() {
	local bytes
	bytes=$(ss -N cl -Htin dport = 80 | sed -n 's/.*bytes_received:\([0-9]*\).*/\1/p' | head -n 1)
	echo "${bytes:-0}"
}

received_at_least() {
	[ "$(received)" -ge "$1" ]
}

# progress SECONDS WHAT COMMAND...: wait until it is so, and show that something happens.
progress() {
	local end=$((SECONDS + $1)) what=$2; shift 2
	until "$@"; do
		[ $SECONDS -lt $end ] || { echo; stop_story "waited too long for: $what"; }
		printf '\r  ... %s: %s of %s MB are with the client ' "$what" $(($(received) / 1000000)) $((size / 1000000))
		sleep 0.2
	done
	printf '\r  ... %s: done%40s\n' "$what" ''
}

ended() {
	! running "$1"
}

sum_is() {
	reap "$1" && reap "$1.sum" && [ "$(cut -d' ' -f1 "$TMP/$1.sum")" = "$(cut -d' ' -f1 "$good.sum")" ]
}

miscompare_seen() {
	grep -q '^miscompare' "$TMP/monitor.out"
}

stream_offset() {
	sed -n 's/^miscompare.* stream-offset \([0-9]*\).*/\1/p' "$TMP/monitor.out" | head -n 1
}

# ---------------------------------------------------------------------------------------------------------------------------

chapter "A client, two hosts, two equal servers"
say "Six network namespaces: the client (cl) and its switch (lan), the primary host (ph) with its virtual machine (pv), the" \
	"secondary host (sh) with its virtual machine (sv). Both virtual machines have the same MAC and the same addresses," \
	"and a real nginx that serves the same file of $((size / 1000000)) MB."
show "$SELFTESTS/load"
hosts_up() {
	say "The primary host: the guest's port on the clients' bridge; what the guest receives is copied to the secondary host."
	show ip netns exec ph kcolo-primary up bridge br0 uplink uplink vm vm peer peer
	say "The secondary host: its guest hears the copy, and what it says goes to the primary host and nowhere else."
	show ip netns exec sh kcolo-secondary up bridge br1 vm vm peer peer
	ip -n sh link add br0 up type bridge
	ip -n sh link set uplink master br0
}
topo_up
say "One pair on each host, and somebody who wants to know of differences:"
show kcolo -n ph pair add "$PAIR" role primary vm vm peer peer
show kcolo -n sh pair add "$PAIR" role secondary vm vm peer peer
printf '$ %s &\n' "kcolo -n ph monitor"
bg monitor ph kcolo monitor
mkdir -p "$good" "$bad"
head -c "$size" /dev/urandom >"$good/file"
sha256sum <"$good/file" >"$good.sum"
nginx_up pv "$good"
nginx_up sv "$good"
show kcolo -n ph pair show
say "The file's sha256 is $(cut -d' ' -f1 "$good.sum")"

chapter "1. A download through the pair"
say "Every packet of the primary waits on its host until the secondary has said the same bytes."
download one
progress 30 "a quarter of the download" received_at_least $((size / 4))
say "Two servers choose two initial sequence numbers; the secondary host translates by their difference, the offset:"
show kcolo -n sh flow show pair "$PAIR"
progress 60 "the rest" ended one
told "the client's sha256 is right" sum_is one
say "What was compared, and what left because of it:"
printf '$ %s\n' "kcolo -n ph stats show pair $PAIR | grep -E 'compared-bytes|hold|released|miscompares'"
kcolo -n ph stats show pair "$PAIR" | grep -E 'compared-bytes|hold|released|miscompares'
told "no fewer bytes were compared than the file has" test "$(ctr ph compared_bytes)" -ge "$size"
told "no difference was found" test "$(ctr ph miscompares)" = 0

chapter "2. The secondary lies"
say "The secondary's nginx now serves a copy of the file in which one bit of byte $byte differs."
head_len=$(at cl curl -sI "http://${GUEST[4]}/file" | wc -c)
stop nginx.sv
cp "$good/file" "$bad/file"
was=$(od -An -tx1 -j "$byte" -N 1 "$good/file" | tr -d ' ')
printf '%b' "\\x$(printf %02x $((16#$was ^ 1)))" | dd of="$bad/file" bs=1 seek="$byte" conv=notrunc status=none
touch -r "$good/file" "$bad/file"
nginx_up sv "$bad"
download two
progress 60 "the download, up to that byte" miscompare_seen
say "The monitor says:"
grep -m 1 '^miscompare' "$TMP/monitor.out" | sed 's/^/  /'
told "stream-offset is the HTTP header's $head_len bytes + $byte" test "$(stream_offset)" = $((head_len + byte))
got=$(received)
told "the client has $got bytes: not that one, and none behind it" test "$got" -le $((head_len + byte))
told "curl is waiting" running two
say "The lying secondary is given up. The primary goes on alone, and what was held leaves:"
show kcolo -n ph pair failover "$PAIR"
show kcolo -n ph pair show
progress 60 "the rest" ended two
told "the same download ends with the primary's sha256" sum_is two

chapter "3. The primary dies"
say "Equal replicas again. No connection is open, so the two servers are the same, and a checkpoint may say so:"
stop nginx.sv
rm -rf "$bad"
nginx_up sv "$good"
show kcolo -n sh pair checkpoint "$PAIR" begin
show kcolo -n ph pair checkpoint "$PAIR" begin
show kcolo -n sh pair checkpoint "$PAIR" commit epoch 1
show kcolo -n ph pair checkpoint "$PAIR" commit epoch 1
resets=$(client_saw resets) syns=$(client_saw syns)
download three
progress 60 "half of the download" received_at_least $((size / 2))
pid=${PID[three]}
say "The primary host loses both its cables while curl, process $pid, has half of the file."
show ip -n lan link set ph down
show ip -n ph link set peer down
say "The secondary host takes over:"
show kcolo -n sh pair failover "$PAIR"
show ip netns exec sh kcolo-secondary takeover vm vm bridge br0 announce $GUEST_MAC "${GUEST[4]}" "${GUEST[6]}"
show kcolo -n sh flow show pair "$PAIR"
progress 60 "the rest" ended three
told "process $pid ends with the right sha256" sum_is three
told "it saw no reset" test "$(client_saw resets)" = "$resets"
told "it opened one connection, the first" test "$(client_saw syns)" = $((syns + 1))
say "The end, after $SECONDS seconds."
