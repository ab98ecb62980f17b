"""`homma`: its commands, and the message and exit status of an error."""

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Final

import click

from homma.cli.exit_codes import INTERRUPTED, report_error
from homma.cli.lazy_group import LazyGroup
from homma.errors import HommaError, SettingError
from homma.renamed_settings import current_flag

DEFAULT_FILE: Final = Path("homma.toml")
#: The commands and their summaries. Each command is in the module of its name in `verbs`.
COMMANDS: Final = {
    "up": "Run the whole pipeline on this machine.",
    "down": "Stop the `homma up` that uses the data folder.",
    "status": "Show the running processes, their CPU, memory, rates and lag.",
    "generate": "Send synthetic ticks to Kafka until you press Ctrl-C.",
    "replay": "Send recorded ticks to Kafka.",
    "feeds": "List, show and try feed definitions.",
    "ingest": "Make ticks of the records of other topics, exactly once.",
    "aggregate": "Build candles from the ticks in Kafka, exactly once.",
    "flink": "Build the same candles with Apache Flink.",
    "land": "Write ticks and candles to Iceberg tables, exactly once.",
    "serve": "Serve live charts to browsers and an API to programs.",
    "tail": "Show live candles until you press Ctrl-C.",
    "candles": "Show candles from the lake.",
    "ticks": "Show ticks from the lake.",
    "verify": "Compare candles with those recomputed from ticks.",
    "repair": "Replace wrong candles with recomputed ones.",
    "backfill": "Load recorded ticks into the lake, and publish their candles.",
    "doctor": "Check this machine and Kafka.",
    "render": "Write or check the files rendered from the code.",
}


@click.group(
    cls=LazyGroup, summaries=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option("--config", type=click.Path(path_type=Path), help="file of settings  [homma.toml]")
@click.version_option(package_name="homma")
@click.pass_context
def homma(context: click.Context, config: Path | None) -> None:
    """Real-time candlesticks from ticks.

    \b
    Example:
      homma up                 run the whole pipeline on this machine
      homma tail m1 BNBUSD     show the newest candles in the terminal
    """
    # The table of settings imports polars, which `homma --help` does not need.
    from homma.cli.options import CONFIG, check_environment, read_file  # noqa: PLC0415

    check_environment(os.environ)
    path = config or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    settings, properties = read_file(path) if path else ({}, {})
    context.default_map = dict.fromkeys(homma.commands, settings)
    context.obj = properties
    context.meta[CONFIG] = path


def main() -> None:
    """Run a command, and exit with 0, 1, 2 or 130 as docs/reference/commands.md says."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s: %(message)s"
    )
    # librdkafka recovers from what it logs, or homma gets an exception.
    logging.getLogger("homma.kafka").setLevel(logging.CRITICAL)
    # pyiceberg logs each table that it opens.
    logging.getLogger("pyiceberg").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", "Producer abort_transaction failed during close")
    try:
        sys.exit(homma.main(standalone_mode=False) or 0)
    except click.NoSuchOption as error:
        current = current_flag(error.option_name)
        if current:
            problem = f"{error.option_name} has been renamed"
            sys.exit(report_error(SettingError(problem, f"use {current} instead")))
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except HommaError as error:
        sys.exit(report_error(error))
