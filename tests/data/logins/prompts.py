"""Answers the questions of a command at a terminal.

prompts.py COMMAND... < ANSWERS
    Gives one line of standard input to each question (what ends in ": "), prints what the terminal showed, and ends
    with the exit code of the command.
"""

import os
import pty
import select
import sys

LIMIT = 30

answers = sys.stdin.read().splitlines()
child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
shown = b""
answered = 0
while True:
    ready, _, _ = select.select([terminal], [], [], LIMIT)
    if not ready:
        sys.exit(f"nothing more after {shown!r}")
    try:
        read = os.read(terminal, 4096)
    except OSError:
        break
    if not read:
        break
    shown += read
    while shown.count(b": ") > answered and answers:
        os.write(terminal, answers.pop(0).encode() + b"\n")
        answered += 1
print(shown.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
