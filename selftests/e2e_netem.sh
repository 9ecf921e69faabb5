#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# e2e_netem.sh [LINK:DIRECTION:IMPAIRMENT]... - every service over bad links ($KCOLO_E2E_SIZE, 2M, a stream; $KCOLO_E2E_SMALL, 50, small
# files; $KCOLO_E2E_LIMIT, 60, seconds for each); IPv4 and IPv6 at once.
. "$(dirname "$(realpath "$0")")/lib.sh"

declare -A netem=(
	[loss1]='loss 1%'
	[loss5]='loss 5%'
	[delay]='delay 20ms 5ms'
	[reorder]='delay 5ms reorder 25% 50%'
	[duplicate]='duplicate 10%'
)
cases=("$@")
if [ $# -eq 0 ]; then
	for link in client:to-primary client:to-client peer:to-secondary peer:to-primary; do
		for what in loss1 loss5 delay reorder duplicate; do cases+=("$link:$what"); done
	done
	# Two lossy links, each of which must not wait for the other (R12).
	cases+=(all:both:loss1 all:both:delay)
fi

size=${KCOLO_E2E_SIZE:-2M} small=${KCOLO_E2E_SMALL:-50} limit=${KCOLO_E2E_LIMIT:-60}
topo_up
# A link that loses 5 % can keep a guest waiting for longer than 3 s, and nobody is here who would make a checkpoint.
pair_up timeout 60000
files=$TMP/files
mkdir -p "$files"
head -c "$size" /dev/urandom >"$files/file"
mkdir "$files/small"
head -c $((small * 1777)) /dev/urandom | split -b 1777 -d -a 3 - "$files/small/"
for ns in pv sv; do
	server $ns
	nginx_up $ns "$files"
	redis_up $ns
done

impair_case() {
	local link=$1 what=$2
	# shellcheck disable=SC2086 # words for tc
	if [ "$link" = all:both ]; then
		for link in client:to-primary client:to-client peer:to-secondary peer:to-primary; do
			impair "${link%:*}" "${link#*:}" ${netem[$what]}
		done
	else
		impair "${link%:*}" "${link#*:}" ${netem[$what]}
	fi
}

# Start all, then wait for each: a service that hangs does not hide another.
start_all() {
	local v
	for v in 4 6; do
		bg "both$v" cl replica client "${GUEST[$v]}" 7000 both "$size" "$size" --timeout 30
		bg "get$v" cl curl -sSf --max-time "$limit" "http://${URL[$v]}/file" -o "$TMP/got$v"
		mkdir -p "$TMP/small$v"
		bg "small$v" cl curl -sSf --max-time "$limit" "http://${URL[$v]}/small/[000-$(printf %03d $((small - 1)))]" \
			-o "$TMP/small$v/#1"
		bg "put$v" cl curl -sSf --max-time "$limit" -T "$files/file" "http://${URL[$v]}/put/file$v"
		bg "idle$v" cl replica client "${GUEST[$v]}" 7000 echo 20 100 --timeout 30
		# Nothing whose answer depends on which connection came first.
		bg "redis$v" cl timeout "$limit" redis-benchmark -h "${GUEST[$v]}" -q -c 1 -n 50 -t ping,set,get
	done
}

verify() {
	case $1 in
	get?) reap "$1" && cmp "$files/file" "$TMP/got${1#get}" ;;
	small?) reap "$1" && diff -r "$files/small" "$TMP/$1" ;;
	put?) reap "$1" && cmp "$files/file" "$TMP/nginx.pv/put/file${1#put}" ;;
	*) reap "$1" ;;
	esac
}

for case in "${cases[@]}"; do
	link=${case%:*} what=${case##*:}
	start=${EPOCHREALTIME/./}
	rm -rf "$TMP"/nginx.*/put/* "$TMP"/small?
	impair_case "$link" "$what"
	start_all
	for v in 4 6; do
		for service in both get small put idle redis; do
			name="R1 R12 R15 $link ${netem[$what]} IPv$v: $service"
			check "$name" verify "$service$v" || cat "$TMP/$service$v.out" "$TMP/$service$v.err" | note
		done
		note "$(cat "$TMP/both$v.out")" "$(cat "$TMP/idle$v.out")"
	done
	impair_none
	note "took $(((${EPOCHREALTIME/./} - start) / 1000)) ms; acks resent $(ctr ph acks_resent), timeouts $(ctr ph timeouts)"
	check "R1 $link ${netem[$what]}: nothing is held any more" wait_for 10 nothing_held
done
clean "bad links"
finish
