"""``verdicts``: what readers decided, as a table, and whether it is whole."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from napari_rsna_inpaint.commands.common import say_statement

HELP = "export the verdicts of readers, or verify that none was changed or removed"


def add_arguments(parser: ArgumentParser) -> None:
    """``export`` and ``verify``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    exporting = actions.add_parser("export", help="write all verdicts, without identifiers")
    exporting.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help=".csv (a table) or .jsonl (JSON lines with all details)",
    )
    exporting.add_argument(
        "--notes", action="store_true", help="with the readers' notes, which are free text"
    )
    verifying = actions.add_parser("verify", help="compare the verdicts with their chain of hashes")
    for action in (exporting, verifying):
        action.add_argument(
            "--store",
            metavar="PATH|URL",
            help="default: what RSNA_INPAINT_STORE names, or the file of the workstation",
        )


def run(arguments: Namespace) -> int:
    """1 where the store was changed behind its back."""
    return _export(arguments) if arguments.action == "export" else _verify(arguments)


def _export(arguments: Namespace) -> int:
    from napari_rsna_inpaint.store import open_store
    from napari_rsna_inpaint.store.export import export

    with open_store(arguments.store, create=False) as store:
        count = export(store, arguments.output, notes=arguments.notes)
    print(f"{arguments.output}: {count} events")
    say_statement()
    return 0


def _verify(arguments: Namespace) -> int:
    from napari_rsna_inpaint.store import open_store

    with open_store(arguments.store, create=False) as store:
        broken = store.verify()
        events = store.events()
    for sentence in broken:
        print(sentence, file=sys.stderr)
    if broken:
        return 1
    last = f", the last with the hash {events[-1].hash}" if events else ""
    print(f"{store.name} is whole: {len(events)} events{last}")
    return 0
