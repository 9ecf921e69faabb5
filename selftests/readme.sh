#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# readme.sh primary|secondary - one of two machines whose user knows nothing but README.md; see selftests/readme.
#
# Its commands are run as they stand there. What is around them is what a user has: a guest behind tap0, on the primary clients
# behind eth0, the other machine behind eth1.
set -eu
role=$1
SELFTESTS=$(dirname "$(realpath "$0")")
REPO=$(realpath "$SELFTESTS/..")
replica=$REPO/build/selftests/replica
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
unset KCOLO_KO KCOLO_SRC

say() {
	echo "$role: $*"
}

# commands HEADING: the indented lines of that part of README.md
commands() {
	awk -v heading="### $1" '$0 == heading { on = 1; next } /^#/ { on = 0 } on && sub(/^    /, "")' "$REPO/README.md"
}

# follow HEADING: do what it says
follow() {
	local line found=
	while IFS= read -r line; do
		found=1
		say "\$ $line"
		case $line in
		'kcolo monitor') kcolo monitor >/run/monitor & ;;
		*) eval "$line" </dev/null >/run/output 2>&1 || { cat /run/output; say "failed: $line"; exit 1; } ;;
		esac
	done < <(commands "$1")
	[ "$found" ] || { say "README.md has no commands below \"$1\""; exit 1; }
}

# wait_for SECONDS COMMAND...
wait_for() {
	local end=$((SECONDS + $1)); shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { say "not after a while: $*"; exit 1; }
		sleep 0.2
	done
}

# behind DEV NETNS MAC ADDRESS: who is behind a port of this machine
behind() {
	ip netns add "$2"
	ip link add "$1" type veth peer name eth0 netns "$2" address "$3"
	ip link set "$1" up
	ip -n "$2" link set eth0 up
	ip -n "$2" addr add "$4" dev eth0
}

# ---- a machine: its cable to the other one, its guest, its clients; its own /lib/modules, which is the host's here

modprobe virtio_net
ip link set eth0 name eth1
ip link set eth1 up
behind tap0 guest 52:54:00:12:34:56 10.0.0.2/24
behind eth0 client 52:54:00:00:00:01 10.0.0.1/24
ip netns exec guest "$replica" server 7000 &
mkdir /run/{upper,work}
mount -t overlay -o "lowerdir=/lib/modules/$(uname -r),upperdir=/run/upper,workdir=/run/work" modules "/lib/modules/$(uname -r)"
git config --global safe.directory '*'
cd /root

# ---- what README.md says

export KCOLO_URL=file://$REPO
follow "Both machines"
touch "$KCOLO_OUT/$role.built"
follow "The ${role}'s machine"
touch "$KCOLO_OUT/$role.up"

if [ "$role" = secondary ]; then
	wait_for 900 test -e "$KCOLO_OUT/primary.done"
	kcolo -s pair show
	kcolo -j stats show | grep -q '"learnt":[1-9]' || { say "it has translated nothing"; exit 1; }
	follow "When they differ"
	follow "When the primary dies"
	say "a client is served"
	ip netns exec client "$replica" client 10.0.0.2 7000 get 100000
	exit
fi
wait_for 900 test -e "$KCOLO_OUT/secondary.up"
sleep 2
say "a client connects"
ip netns exec client "$replica" client 10.0.0.2 7000 get 100000
wait_for 10 grep -q '^flow tcp .* pair vm1 ' /run/monitor
say "kcolo monitor says"
cat /run/monitor
kcolo pair show
kcolo -j stats show | grep -Eq '"compared_bytes":[0-9]{6}' || { say "nothing was compared"; kcolo stats show; exit 1; }
touch "$KCOLO_OUT/primary.done"
follow "When they differ"
grep -q '^checkpoint pair vm1 action commit' /run/monitor || { say "no checkpoint"; exit 1; }
follow "At boot"
kcolo pair del vm1
kcolo-primary down vm tap0 all
kcolo-quick up vm1
kcolo pair show vm1
