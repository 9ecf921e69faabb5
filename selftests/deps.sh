#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# deps.sh build|vm|test|machines|all... - install the Debian packages that a part of the project needs and this machine lacks.
set -euo pipefail

build=(build-essential linux-headers-amd64 kmod libmnl-dev libjansson-dev libsystemd-dev pkg-config python3-yaml python3-jsonschema)
vm=(python3 iproute2 kmod qemu-system-x86 linux-source-6.12 busybox-static cpio rsync xz-utils zstd flex bison bc
	libelf-dev libssl-dev dwarves mmdebstrap)
test=(iproute2 iputils-ping procps nftables conntrack iperf3 tcpdump ethtool nginx-light
	libnginx-mod-http-headers-more-filter redis-server redis-tools curl python3 sparse shellcheck mandoc
	clang libclang-rt-14-dev trace-cmd bpftrace dnsmasq-base bind9-dnsutils debhelper dh-dkms dkms lintian
	man-db systemd openssl openssh-client dropbear-bin ngtcp2-client ngtcp2-server avahi-daemon git cppcheck
	coccinelle python3-yaml resource-agents pacemaker corosync crmsh)
machines=(gcc-i686-linux-gnu libc6-dev-i386-cross gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user-static)

[ $# -gt 0 ] || set -- help
want=()
for group; do
	case $group in
	build) want+=("${build[@]}") ;;
	vm) want+=("${build[@]}" "${vm[@]}") ;;
	test) want+=("${test[@]}") ;;
	machines) want+=("${machines[@]}") ;;
	all) want+=("${build[@]}" "${vm[@]}" "${test[@]}") ;;
	*) sed -n '3s/^# //p' "$0" >&2; exit 2 ;;
	esac
done

# A package counts as there if another one provides it (nginx-light by nginx-full, say).
have=$(dpkg-query -Wf '${db:Status-Status} ${Package}, ${Provides}\n' | sed -n 's/^installed//p' | tr -d ' ' | tr ',' '\n')
mapfile -t missing < <(printf '%s\n' "${want[@]}" | sort -u | grep -vxF -e "$have" || true)
[ ${#missing[@]} -gt 0 ] || exit 0

echo "deps.sh: installing ${missing[*]}" >&2
[ "$(id -u)" = 0 ] || { echo "deps.sh: not root: apt-get install ${missing[*]}" >&2; exit 1; }

# Packages must not start their services: tests run their own, in guests.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	trap 'exit 1' HUP INT TERM
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 install "${missing[@]}" >/dev/null
