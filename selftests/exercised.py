#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""exercised.py LOG < HELP: every word of the grammar that HELP prints is in one of the commands of LOG, one a line.

A word counts where its command is: "timeout" of "kcolo pair set" is not that of "kcolo pair add".  What nobody has used is
printed, and the exit status is 1."""

import re
import sys


def commands(text):
    """Each command of the grammar as the list of its words."""
    text = re.split(r'\n\s*\n|\n(?:Options:|Sends |NAME stands)', text)[0]
    options = re.search(r'OPTIONS\s*:=\s*\{(.*?)\}', text, re.S)
    text = re.sub(r'\nwhere .*?-force \}', '', text, flags=re.S)
    out = []
    for line in re.sub(r'^Usage:', '', text).splitlines():
        words = line.split()
        if words and words[0].startswith('kcolo'):
            out.append(words)
        elif words:
            out[-1] += words
    if options:
        for short, rest in re.findall(r'-(\w+)(?:\[(\w+)\])?', options.group(1)):
            out.append(['kcolo', '-' + short])
            if rest:
                out.append(['kcolo', '-' + short + rest])
    return out


def is_word(word):
    return re.fullmatch(r'-?-?[a-z][a-z-]*|-V|-Version', word)


def wanted(words):
    """(head, word): the words without which there is no such command, and each of its words."""
    head = []
    for word in words[1:]:
        if word.startswith(('[', '-')):
            if head or word.startswith('-') and words[1] != '[':
                break
            continue
        if word == ']':
            continue
        if not is_word(word):
            break
        head.append(word)
        if len(head) == (2 if words[0] == 'kcolo' else 1):
            break
    rest = [w for w in words[1:] if is_word(w) and w not in head]
    return [(words[0], head, w) for w in rest or [None]]


def used(lines, program, head, word):
    for line in lines:
        words = line.split()
        if not words or words[0].split('/')[-1] != program:
            continue
        at = next((n for n in range(1, len(words)) if words[n:n + len(head)] == head), None) if head else 1
        if at is not None and (word is None or word in words):
            return True
    return False


def main():
    with open(sys.argv[1]) as f:
        lines = f.read().splitlines()
    missing = [w for words in commands(sys.stdin.read()) for w in wanted(words) if not used(lines, *w)]
    for program, head, word in missing:
        print('never used:', program, *head, *([] if word is None else ['...', word]))
    return bool(missing)


if __name__ == '__main__':
    sys.exit(main())
