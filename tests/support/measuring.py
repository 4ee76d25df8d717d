"""What benchmarks of the service have in common: their command line."""

import argparse
import os


def command_line(about):
    """A parser for what a benchmark is told, with the program and --json; `about` is the benchmark's own account of itself."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=os.environ.get("TESSERA_BIN"), help="the program (default: $TESSERA_BIN)")
    parser.add_argument("--json", action="store_true", help="also print one line of JSON")
    return parser


def options_of(parser):
    """What was told; ends with 2 and a sentence if there is no program."""
    options = parser.parse_args()
    if not options.binary or not os.access(options.binary, os.X_OK):
        parser.error(f"--binary or TESSERA_BIN must name the program; it is {options.binary!r}")
    return options
