# SPDX-License-Identifier: GPL-2.0
# For people; the kernel's build system reads Kbuild.

KDIR	?= /lib/modules/$(shell uname -r)/build
KERNEL	?= uml
PREFIX	?= /usr/local
export CMD

all: modules tools

modules:
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

tools:
	$(MAKE) -C tools/kcolo

# Tests and demo install what they need with apt, as root.
deps:
	selftests/deps.sh all

vm: deps tools
	@selftests/vm/run --kernel $(KERNEL) -- "$$CMD"

demo: deps tools
	@selftests/demo

test: deps tools
	@selftests/all

test-full: deps tools
	@selftests/all --full

check: deps tools
	@selftests/check

install: modules tools
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules_install
	$(MAKE) -C tools/kcolo install DESTDIR=$(DESTDIR) PREFIX=$(PREFIX)

clean:
	rm -rf build
	find . -name '*.o' -o -name '*.ko' -o -name '*.mod' -o -name '*.mod.c' \
		-o -name '.*.cmd' -o -name modules.order \
		-o -name Module.symvers | xargs -r rm -f

help:
	@sed -n 's/^## //p' Makefile

## make                  build module and tools for the running kernel, or KDIR=
## make install          install them: PREFIX=, DESTDIR=
## make demo             watch a download survive the death of its server
## make test             everything that is tested; ends with the number of failures
## make test-full        the same, long forms
## make check            static checks only
## make vm CMD=...       run a command in a guest: KERNEL=uml|uml-debug|6.1|6.12|debug|sid

.PHONY: all modules tools deps vm demo test test-full check install clean help
