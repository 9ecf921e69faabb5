#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# ynl-regen.sh [ -c ]   generate uapi header, netlink policy and manual from the YNL spec; -c only compares.
#
# LINUX names an unpacked kernel source (6.12 or newer) whose tools/net/ynl does the work.
set -eu
cd "$(dirname "$0")/.."
: "${LINUX:?set it to an unpacked linux-source tree}"
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
mkdir -p "$t/Documentation/netlink/specs" "$t/uapi/linux" "$t/kmod"
touch "$t/MAINTAINERS" # the generator climbs until it finds one
cp "$LINUX"/Documentation/netlink/*.yaml "$t/Documentation/netlink/"
cp Documentation/netlink/specs/kcolo.yaml "$t/Documentation/netlink/specs/"

ynl() { # MODE --header|--source FILE
	python3 "$LINUX/tools/net/ynl/ynl-gen-c.py" --mode "$1" "$2" -o "$t/$3" \
		--spec "$t/Documentation/netlink/specs/kcolo.yaml"
}

ynl uapi --header uapi/linux/kcolo.h
ynl kernel --header kmod/nl_gen.h
ynl kernel --source kmod/nl_gen.c
# What the 6.12 generator cannot say: the groups are for CAP_NET_ADMIN (S4), the
# family that uses them is in another file, and 6.1 takes no const range.
sed -i -e 's/^static const \(struct netlink_range_validation\)/static \1/' \
	-e 's/^static \(const struct genl_multicast_group\)/\1/' \
	-e 's/] = { \("[a-z]*"\), },/] = { .name = \1, .flags = GENL_MCAST_CAP_NET_ADMIN, },/' \
	"$t/kmod/nl_gen.c"
sed -i 's/^extern const struct genl_small_ops.*/&\nextern const struct genl_multicast_group kcolo_nl_mcgrps[4];/' \
	"$t/kmod/nl_gen.h"

python3 "$LINUX/tools/net/ynl/ynl-gen-rst.py" -i Documentation/netlink/specs/kcolo.yaml -o "$t/Documentation/uapi.rst"

for f in uapi/linux/kcolo.h kmod/nl_gen.h kmod/nl_gen.c Documentation/uapi.rst; do
	if [ "${1:-}" = -c ]; then
		diff -u "$f" "$t/$f"
	else
		cmp -s "$f" "$t/$f" || cp "$t/$f" "$f"
	fi
done
