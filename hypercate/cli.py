"""The command line: fit a model to files, predict effects from it, report on it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.metadata import version

from hypercate.commands import benchmark, fit, predict, report
from hypercate.commands.messages import INTERRUPTED, BadData, say

COMMANDS = (fit, predict, report, benchmark)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    It is 0 for success; 1 if data or files cannot be used, with one line on stderr; 2, from
    argparse, for wrong usage; and 130 if interrupted.
    """
    parser = argparse.ArgumentParser("hypercate", description=__doc__)
    parser.add_argument("--version", action="version", version=version("hypercate"))
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add_to(commands)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except BadData as error:
        say(options.command, error)
        return 1
    except KeyboardInterrupt:
        say(options.command, "interrupted")
        return INTERRUPTED
