#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_http.sh - nginx on both replicas and curl: a large file ($KCOLO_E2E_CLEAN_SIZE, 200M), a thousand small ones, uploads; IPv4, IPv6.
. "$(dirname "$(realpath "$0")")/lib.sh"

topo_up
# Clients and both guests share one processor: a guest may be late, and nobody is here who would make a checkpoint.
pair_up timeout 20000
files=$TMP/files
mkdir -p "$files/small"
head -c "${KCOLO_E2E_CLEAN_SIZE:-200M}" /dev/urandom >"$files/big"
head -c 1777000 "$files/big" | split -b 1777 -d -a 3 - "$files/small/"
want=$(sha256sum <"$files/big")
nginx_up pv "$files"
nginx_up sv "$files"

get() {
	at cl curl -sSf --max-time 120 "$@"
}

big() {
	[ "$(get "http://${URL[$1]}/big" | sha256sum)" = "$want" ]
}

small() {
	rm -rf "$TMP/got"
	mkdir "$TMP/got"
	get "${@:2}" "http://${URL[$1]}/small/[000-999]" -o "$TMP/got/#1"
	diff -r "$files/small" "$TMP/got"
}

upload() {
	get -T "$files/upload" "http://${URL[$1]}/put/$2" || return
	cmp "$files/upload" "$TMP/nginx.pv/put/$2" && cmp "$files/upload" "$TMP/nginx.sv/put/$2"
}

# A client that stood still for a second has repeated its SYN.
opened() {
	echo $(($(client_saw syns) - $(at cl nstat -asz TcpExtTCPSynRetrans | awk '/SynRetrans/ { print $2 }')))
}

head -c "${KCOLO_E2E_SIZE:-2M}" "$files/big" >"$files/upload"
for v in 4 6; do
	start=$EPOCHREALTIME
	check "R1 R6 IPv$v: curl downloads a large file" big $v
	note "$(stat -c %s "$files/big") bytes from $start to $EPOCHREALTIME"
	before=$(opened)
	check "R1 R12 IPv$v: 1000 small files over one connection" small $v
	check "IPv$v: it was one connection" test "$(opened)" = $((before + 1))
	check "R4 R5 W7 IPv$v: 1000 small files, each over a connection of its own" small $v -H 'Connection: close'
	check "IPv$v: it were a thousand" test "$(opened)" = $((before + 1001))
	check "R1 W3 IPv$v: an upload, both replicas have it" upload $v once
	check "R1 W3 IPv$v: the same upload again" upload $v once
done
check "R6 the bytes were compared" test "$(ctr ph compared_bytes)" -gt $((2 * $(stat -c %s "$files/big")))
check "W4 one offset for each connection" test "$(ctr sh learnt)" -ge 2006
clean "nginx and curl"
finish
