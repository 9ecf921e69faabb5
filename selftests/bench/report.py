#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""report.py RAW NAME TITLE: make NAME.json, NAME.txt and NAME.svg of what guest.sh has measured; the text is printed."""
import json
import sys
from statistics import median

ORDER = ['native', 'ceiling', 'observe', 'kcolo', 'qemu']
COLOURS = {'native': '#9aa0a6', 'ceiling': '#4285b4', 'observe': '#8fbf73', 'kcolo': '#2a7f4f', 'qemu': '#c0504d'}
# The secondary has to have done as much as the primary, or else the figure tells nothing about two replicas.
SHARE = 0.95


def faults(run):
    """Return what is wrong with a run; its figure counts all the same, or else a failure would make a configuration look good."""
    client = run['client']
    if not client:
        return ['the client died']
    found = [f"{client['errors']} connections failed or stalled"] if client['errors'] else []
    if run['config'] == 'ceiling' and run['secondary_said'] < SHARE * run['primary_said']:
        found.append(f"the secondary said {run['secondary_said'] / run['primary_said']:.0%} of what the primary said")
    if 'state' in run and run['state'] != 'running':
        found.append('the pair is in ' + run['state'])
    if 'counters' in run:
        stats = run['counters'][0]
        found += [f'{stats[key]} {key} so far' for key in ('miscompares', 'timeouts', 'overflow') if stats[key]]
    return found


def figures(run):
    """Yield (row, value, unit) for what one run tells."""
    name, client = run['workload'], run['client'] or dict(ns=1, bytes=0, ops=0, p50=0, p99=0, p999=0)
    # None at all where no connection came to be.
    seconds = (client['ns'] or 1) / 1e9
    if name.startswith(('down', 'up')):
        yield name, client['bytes'] * 8 / seconds / 1e9, 'Gbit/s'
        return
    yield name, client['ops'] / seconds, '1/s'
    if client['ops']:
        yield name + ' p50', client['p50'] / 1e3, 'us'
        yield name + ' p99', client['p99'] / 1e3, 'us'
        yield name + ' p99.9', client['p999'] / 1e3, 'us'


def collect(runs):
    rows = {}
    for run in runs:
        for row, value, unit in figures(run):
            rows.setdefault(row, {}).setdefault(run['config'], (unit, []))[1].append(value)
    return {row: {config: {'median': median(v), 'min': min(v), 'max': max(v), 'unit': unit}
                  for config, (unit, v) in configs.items()} for row, configs in rows.items()}


def number(x):
    return f'{x:.0f}' if x >= 1000 else f'{x:.3g}'


def cell(figure):
    return f"{number(figure['median'])} ({number(figure['min'])}-{number(figure['max'])})" if figure else '-'


def ratio(row, a, b):
    if not (row.get(a) and row.get(b) and row[b]['median']):
        return '-'
    return f"{row[a]['median'] / row[b]['median']:.2f}"


def table(rows, configs):
    pairs = [(a, b) for a, b in (('observe', 'ceiling'), ('kcolo', 'ceiling'), ('kcolo', 'native'), ('kcolo', 'qemu'), ('qemu', 'native'))
             if a in configs and b in configs]
    lines = [['', 'unit', *configs, *(f'{a}/{b}' for a, b in pairs)]]
    for name, row in rows.items():
        unit = next(iter(row.values()))['unit']
        lines.append([name, unit, *(cell(row.get(c)) for c in configs), *(ratio(row, a, b) for a, b in pairs)])
    width = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return '\n'.join('  '.join(text.ljust(w) if i < 2 else text.rjust(w) for i, (text, w) in enumerate(zip(line, width))).rstrip()
                     for line in lines)


def plot(rows, configs, title):
    """Return the rates as bars, in percent of native, with whiskers from the least to the most."""
    base = configs[0]
    rates = {name: row for name, row in rows.items() if row.get(base) and row[base]['unit'] != 'us' and row[base]['median']}
    bar, left, wide = 11, 110, 560
    group = bar * len(configs) + 9
    height = 60 + group * len(rates)
    top = max(f['max'] / row[base]['median'] for row in rates.values() for f in row.values())
    scale = wide / max(1.0, top)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + wide + 60}" height="{height}" font-family="sans-serif" '
           'font-size="11">', '<rect width="100%" height="100%" fill="white"/>', f'<text x="8" y="18" font-size="13">{title}</text>']
    for i, config in enumerate(configs):
        out.append(f'<rect x="{left + 90 * i}" y="26" width="10" height="10" fill="{COLOURS[config]}"/>'
                   f'<text x="{left + 90 * i + 14}" y="35">{config}</text>')
    for percent in range(0, int(100 * max(1.0, top)) + 1, 20):
        x = left + percent / 100 * scale
        out.append(f'<line x1="{x:.1f}" y1="44" x2="{x:.1f}" y2="{height - 12}" stroke="#ddd"/>'
                   f'<text x="{x:.1f}" y="{height - 2}" text-anchor="middle">{percent} %</text>')
    for n, (name, row) in enumerate(rates.items()):
        y = 48 + n * group
        out.append(f'<text x="{left - 6}" y="{y + group / 2:.1f}" text-anchor="end">{name}</text>')
        for i, config in enumerate(configs):
            if not row.get(config):
                continue
            low, middle, high = (row[config][k] / row[base]['median'] * scale for k in ('min', 'median', 'max'))
            at = y + i * bar
            out.append(f'<rect x="{left}" y="{at}" width="{middle:.1f}" height="{bar - 2}" fill="{COLOURS[config]}"/>'
                       f'<line x1="{left + low:.1f}" y1="{at + 4}" x2="{left + high:.1f}" y2="{at + 4}" stroke="black"/>'
                       f'<text x="{left + high + 4:.1f}" y="{at + 9}" font-size="9">{100 * middle / scale:.0f}</text>')
    return '\n'.join(out + ['</svg>', ''])


def main():
    raw, name, title = sys.argv[1:]
    with open(raw) as f:
        runs = [json.loads(line) for line in f]
    if not runs:
        sys.exit('report.py: nothing was measured')
    rows = collect(runs)
    configs = [c for c in ORDER if any(c == run['config'] for run in runs)]
    text = f"{title}\nMedian (least-most) of {1 + max(run['round'] for run in runs)} rounds.\n\n{table(rows, configs)}\n"
    wrong = [f"{run['config']} {run['workload']}, round {run['round'] + 1}: {what}" for run in runs for what in faults(run)]
    if wrong:
        text += '\nNot in order:\n' + ''.join(f'  {line}\n' for line in wrong)
    for suffix, content in (('json', json.dumps(rows, indent=1) + '\n'), ('txt', text), ('svg', plot(rows, configs, title))):
        with open(f'{name}.{suffix}', 'w') as f:
            f.write(content)
    print(text, end='')


if __name__ == '__main__':
    main()
