// SPDX-License-Identifier: GPL-2.0
/*
 * Which of the calls of faults.h fails. Parameters of the module:
 *
 *	fault_nth	the Nth call from now on fails, once; 0 when it has
 *	fault_every	of each site every Nth call fails, 0: none
 *	fault_sites	reads: FILE.LINE.CALL FUNCTION REACHED FAILED, a line for each site
 */
#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/spinlock.h>

struct kcolo_fault_site {
	const char *call;
	const char *function;
	const char *file;
	int line;
	struct list_head list;
	unsigned int reached;
	unsigned int failed;
};

bool kcolo_fault(struct kcolo_fault_site *site);

static int fault_nth;
module_param(fault_nth, int, 0600);
static unsigned int fault_every;
module_param(fault_every, uint, 0600);

static DEFINE_SPINLOCK(lock);
static LIST_HEAD(sites);

bool kcolo_fault(struct kcolo_fault_site *site)
{
	unsigned long flags;
	bool fail = false;

	spin_lock_irqsave(&lock, flags);
	if (!site->reached++)
		list_add_tail(&site->list, &sites);
	if (fault_nth > 0)
		fail = !--fault_nth;
	if (fault_every && site->reached % fault_every == 0)
		fail = true;
	site->failed += fail;
	spin_unlock_irqrestore(&lock, flags);
	return fail;
}

static int get_sites(char *to, const struct kernel_param *param)
{
	struct kcolo_fault_site *site;
	unsigned long flags;
	int n = 0;

	spin_lock_irqsave(&lock, flags);
	list_for_each_entry(site, &sites, list)
		n += scnprintf(to + n, PAGE_SIZE - n, "%s.%d.%s %s %u %u\n", site->file, site->line, site->call,
			       site->function, site->reached, site->failed);
	spin_unlock_irqrestore(&lock, flags);
	return n;
}

static const struct kernel_param_ops ops = { .get = get_sites };
module_param_cb(fault_sites, &ops, NULL, 0400);
