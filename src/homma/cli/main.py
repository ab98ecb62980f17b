"""`homma`: verbs, and how errors become one sentence and an exit status."""

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Final

import click

from homma.cli.exit_codes import INTERRUPTED, told
from homma.cli.options import check_environment, read_file
from homma.cli.verbs import Verbs
from homma.errors import HommaError, SettingError
from homma.renamed_settings import current_flag

DEFAULT_FILE: Final = Path("homma.toml")
#: Each is a module of this package and a command in it.
VERBS: Final = (
    "up",
    "down",
    "status",
    "generate",
    "replay",
    "aggregate",
    "flink",
    "land",
    "serve",
    "tail",
    "candles",
    "ticks",
    "verify",
    "repair",
    "backfill",
    "doctor",
    "render",
)


@click.group(commands=Verbs(VERBS), context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(path_type=Path), help="settings, default homma.toml")
@click.version_option(package_name="homma")
@click.pass_context
def homma(context: click.Context, config: Path | None) -> None:
    """Real-time candlesticks from ticks.

    \b
    Example:
      homma up                 all of it on this machine
      homma tail m1 BNBUSD     the newest candles in the terminal
    """
    check_environment(os.environ)
    path = config or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    settings, properties = read_file(path) if path else ({}, {})
    context.default_map = dict.fromkeys(homma.commands, settings)
    context.obj = properties


def main() -> None:
    """Run, and end with the status that the contract names."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s: %(message)s"
    )
    # What librdkafka complains of it mends itself, or it comes as an exception.
    logging.getLogger("homma.kafka").setLevel(logging.CRITICAL)
    # It tells of each table that it opens.
    logging.getLogger("pyiceberg").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", "Producer abort_transaction failed during close")
    try:
        sys.exit(homma.main(standalone_mode=False) or 0)
    except click.NoSuchOption as error:
        current = current_flag(error.option_name)
        if current:
            former = f"{error.option_name} has a new name"
            sys.exit(told(SettingError(former, f"write {current} instead")))
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except HommaError as error:
        sys.exit(told(error))
