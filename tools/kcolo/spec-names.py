#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""spec-names.py [ -c ]: what the YNL spec calls things, for the tool and its manual.

Writes names.c (enum entries, attributes) and the list of counters in
../man/kcolo-stats.8. With -c nothing is written; the exit status says whether the
files are up to date.
"""

import difflib
import pathlib
import re
import sys
import textwrap

import yaml

HERE = pathlib.Path(__file__).resolve().parent
SPEC = HERE / "../../Documentation/netlink/specs/kcolo.yaml"
NAMES = HERE / "names.c"
MANUAL = HERE / "../man/kcolo-stats.8"
BEGIN, END = '.\\" counters: made by spec-names.py\n', '.\\" end of counters\n'


def entries(items):
    """Names of a list whose items are plain or have a name."""
    return [i if isinstance(i, str) else i["name"] for i in items]


def c_name(text):
    return text.replace("-", "_")


def c_table(name, names):
    """A struct names; position 0 of an attribute set stays empty."""
    rows = "".join(f'\t"{n}",\n' if n else "\tNULL,\n" for n in names)
    return (
        f"static const char *const {name}[] = {{\n{rows}}};\n\n"
        f"const struct names names_{name} = {{\n"
        f"\t.n = sizeof({name}) / sizeof(*{name}),\n\t.name = {name},\n}};\n"
    )


def c_file(spec):
    out = [
        "// SPDX-License-Identifier: GPL-2.0\n"
        "/* Do not edit: made by spec-names.py from the YNL spec. */\n\n"
        "#include <stddef.h>\n\n#include <linux/kcolo.h>\n\n"
        '#include "names.h"\n'
    ]
    for enum in (d for d in spec["definitions"] if d["type"] == "enum"):
        out.append(c_table(c_name(enum["name"]), entries(enum["entries"])))
    for aset in spec["attribute-sets"]:
        if "subset-of" in aset:
            continue
        names = [None] + entries(aset["attributes"])
        last = c_name(aset["name-prefix"] + "max").upper()
        out.append(
            c_table(c_name(aset["name"]) + "_attrs", names)
            + f"\n_Static_assert({last} == {len(names) - 1},\n"
            + '\t       "run spec-names.py: the spec has changed");\n'
        )
    return "\n".join(out)


def man_counters(spec):
    (stats,) = (s for s in spec["attribute-sets"] if s["name"] == "stats")
    rows = []
    for attr in stats["attributes"]:
        if attr["type"] == "pad":
            continue
        doc = re.sub(r"\s*\([RCSW]\d+\)", "", " ".join(attr["doc"].split()))
        name = attr["name"].replace("-", "\\-")
        doc = textwrap.fill(doc, 79, break_on_hyphens=False)
        rows.append(f".TP\n.B {name}\n{doc}\n")
    return "".join(rows)


def manual(spec):
    head, _, rest = MANUAL.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + BEGIN + man_counters(spec) + END + tail


def main():
    check = sys.argv[1:] == ["-c"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    spec = yaml.safe_load(SPEC.read_text())
    stale = False
    for path, text in ((NAMES, c_file(spec)), (MANUAL, manual(spec))):
        old = path.read_text() if path.exists() else ""
        if old == text:
            continue
        stale = True
        if check:
            sys.stdout.writelines(
                difflib.unified_diff(
                    old.splitlines(True), text.splitlines(True), path.name, "spec"
                )
            )
        else:
            path.write_text(text)
    sys.exit(check and stale)


if __name__ == "__main__":
    main()
