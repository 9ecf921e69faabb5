/* SPDX-License-Identifier: GPL-2.0 */
/* What the YNL spec calls the values of its enums and its attributes. */
#ifndef KCOLO_NAMES_H
#define KCOLO_NAMES_H

struct names {
	unsigned int n;
	const char *const *name;
};

extern const struct names names_role;
extern const struct names names_mode;
extern const struct names names_state;
extern const struct names names_reason;
extern const struct names names_action;
extern const struct names names_rule_action;
extern const struct names names_cause;
extern const struct names names_flow_state;
extern const struct names names_kcolo_attrs;
extern const struct names names_stats_attrs;

/* The name of @value, or NULL: a newer kernel may know more. */
static inline const char *names_get(const struct names *names,
				    unsigned int value)
{
	return value < names->n ? names->name[value] : 0;
}

#endif
