#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# boot.sh - inside a VM: systemd starts as it does at boot, and kcolo@vm1.service makes the pair of /etc/kcolo/vm1.conf.
#
# The guest's own first process stays; systemd is the first one of a process namespace, as in a container. All of this is in the
# guest's throw-away file system.
. "$(dirname "$(realpath "$0")")/lib.sh"

release=$(uname -r)
port=tap0

# The module has to be found by name: as the tool asks for its netlink family, the kernel loads it.
module_install() {
	local dir=/lib/modules/$release
	mkdir -p "$TMP/modules"
	mount -t tmpfs tmpfs "$TMP/modules"
	mkdir "$TMP"/modules/{upper,work}
	mount -t overlay -o "lowerdir=$dir,upperdir=$TMP/modules/upper,workdir=$TMP/modules/work" overlay "$dir" &&
		install -D -m 644 "$KCOLO_KO" "$dir/updates/kcolo.ko" && depmod "$release"
}

# What is of no use here, and slow, or would reach for the guest's devices.
units_mask() {
	local unit
	for unit in systemd-{udevd,udev-trigger,journald,journal-flush,random-seed,tmpfiles-setup,tmpfiles-setup-dev,update-utmp} \
		systemd-{sysusers,sysctl,modules-load,remount-fs,networkd} networking; do
		ln -sfn /dev/null "/etc/systemd/system/$unit.service"
	done
	printf '[Unit]\nWants=kcolo@vm1.service\n' >/etc/systemd/system/kcolo-boot.target
}

systemd_start() {
	container=other setsid unshare --fork --kill-child --pid --mount --mount-proc /lib/systemd/systemd --system --unit=kcolo-boot.target \
		>"$TMP/systemd.log" 2>&1 &
	init=$!
}

# The first thing that kcolo-quick does.
tried() {
	[ -e /proc/sys/net/bridge ]
}

pair_there() {
	[ -d /sys/module/kcolo ] && kcolo pair show vm1 | grep "role primary vm $port peer eth1 .*timeout 1234"
}

if [ ! -x /lib/systemd/systemd ]; then
	skip "a pair at boot" "there is no systemd"
	finish
fi
# A host that has just booted has neither.
rmmod kcolo br_netfilter 2>/dev/null
check "neither kcolo nor br_netfilter is loaded" test ! -e /sys/module/kcolo -a ! -e /proc/sys/net/bridge
for device in eth0 eth1; do ip link add $device up type veth peer name p$device; done
mkdir -p /etc/kcolo
printf '%s\n' "kcolo-primary up bridge br0 uplink eth0 vm $port peer eth1" "pair add vm1 role primary vm $port peer eth1 timeout 1234" \
	>/etc/kcolo/vm1.conf
check "the module can be found" module_install
check "the tools are installed" make -s -C "$REPO" install-tools PREFIX=/usr UNITS=/lib/systemd/system
check "the unit is enabled" systemctl enable kcolo@vm1
units_mask
systemd_start
check "the unit tries while the port is missing" wait_for $((30 * ${KCOLO_TEST_SCALE:-1})) tried
sleep 3
check "nothing is made meanwhile" test ! -e /sys/class/net/br0
ip link add $port up type veth peer name p$port
check "it tries again: the pair is there once the port is" wait_for $((30 * ${KCOLO_TEST_SCALE:-1})) pair_there
check "the mirror is there" sh -c "tc filter show dev $port egress | grep -q mirred"
check "br_netfilter leaves other bridges alone" test "$(cat /proc/sys/net/bridge/bridge-nf-call-iptables)" = 0
[ $failed = 0 ] || tail -n 40 "$TMP/systemd.log" | note
kill -KILL $init
wait $init 2>/dev/null
kcolo pair del vm1
"$SCRIPTS/kcolo-primary" down vm $port all >/dev/null
umount "/lib/modules/$release" "$TMP/modules"
finish
