# SPDX-License-Identifier: GPL-2.0
# For people; the kernel's build system reads Kbuild.

KDIR	?= /lib/modules/$(shell uname -r)/build
KERNEL	?= uml
PREFIX	?= /usr/local
export CMD DESTDIR PREFIX

all: modules tools

modules:
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

tools:
	$(MAKE) -C tools/kcolo
	$(MAKE) -C tools/kcolod

# Tests and demo install what they need with apt, as root.
deps:
	selftests/deps.sh all

vm: deps tools
	@selftests/vm/run --kernel $(KERNEL) -- "$$CMD"

demo: deps tools
	@selftests/demo

colo-demo: deps tools
	@selftests/colo-demo

test: deps tools
	@selftests/all

test-full: deps tools
	@selftests/all --full

check: deps tools
	@selftests/check

bench: deps tools
	@selftests/bench/run

# Debian's headers lack what modules_install needs to run depmod.
RELEASE	= $(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' $(KDIR)/include/generated/utsrelease.h)
MODULES	= $(DESTDIR)/lib/modules/$(RELEASE)
LIB	= $(DESTDIR)$(PREFIX)/lib
DEPMOD	= $(if $(DESTDIR),@:,depmod $(RELEASE))

install: install-module install-tools
uninstall: uninstall-module uninstall-tools

install-module: modules install-load
	$(MAKE) -C $(KDIR) M=$(CURDIR) INSTALL_MOD_PATH=$(DESTDIR) INSTALL_MOD_DIR=updates modules_install
	$(DEPMOD)

install-load:
	install -D -m 644 tools/systemd/modules-load.conf $(LIB)/modules-load.d/kcolo.conf
	install -D -m 644 tools/systemd/sysctl.conf $(LIB)/sysctl.d/10-kcolo.conf

uninstall-module:
	rm -f $(MODULES)/updates/kcolo.ko $(MODULES)/updates/kcolo.ko.*
	rm -f $(LIB)/modules-load.d/kcolo.conf $(LIB)/sysctl.d/10-kcolo.conf
	$(DEPMOD)

install-tools: tools
	$(MAKE) -C tools/kcolo install
	$(MAKE) -C tools/kcolod install

uninstall-tools:
	$(MAKE) -C tools/kcolo uninstall
	$(MAKE) -C tools/kcolod uninstall

clean:
	rm -rf build
	find . -name '*.o' -o -name '*.ko' -o -name '*.mod' -o -name '*.mod.c' \
		-o -name '.*.cmd' -o -name modules.order \
		-o -name Module.symvers | xargs -r rm -f

help:
	@sed -n 's/^## //p' Makefile

## make                  build module and tools for the running kernel, or KDIR=
## make install          install them: PREFIX=, DESTDIR=
## make uninstall        take them away again
## make demo             watch a download survive the death of its server
## make colo-demo        two QEMUs as a COLO pair on kcolo; the primary is killed
## make test             everything that is tested; ends with the number of failures
## make test-full        the same, long forms
## make check            static checks only
## make bench            measure, beside a plain bridge and QEMU's proxy; half an hour, into build/bench.*
## make vm CMD=...       run a command in a guest: KERNEL=uml|uml-debug|6.1|6.12|debug|kcsan|sid

.PHONY: all modules tools deps vm demo colo-demo test test-full check bench clean help \
	install install-module install-load install-tools uninstall uninstall-module uninstall-tools
