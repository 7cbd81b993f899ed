"""The command line: one lazily imported module a command, and the one place where errors become exit codes."""

from __future__ import annotations

import sys
from importlib import import_module

import click
from typing_extensions import override

from monitor.errors import DriftlineError

_COMMANDS = (
    "demo",
    "init",
    "check-config",
    "run",
    "collect",
    "monitor",
    "api",
    "proxy",
    "baseline",
    "check",
    "skew",
    "attribute",
    "backtest",
    "evaluate",
    "versions",
    "findings",
    "quality",
    "mark",
    "alerts",
    "silence",
    "retrain",
    "notify",
    "gpu",
    "token",
    "dlq",
    "audit",
)
_USAGE_EXIT = 2
_INTERRUPTED_EXIT = 130


class _Lazy(click.Group):
    """A group whose commands are modules of `monitor.commands`, imported when they are asked for."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which a new user meets them."""
        return list(_COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None where there is none of this name."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"monitor.commands.{cmd_name.replace('-', '_')}").command
        return command


@click.command(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done or nothing flagged, 2 bad input or usage, 3 flagged or not blessed, 4 insufficient evidence, "
    "5 a server or disk did not answer in time, 70 an internal check failed.",
)
@click.version_option(package_name="driftline", message="driftline %(version)s")
def command() -> None:
    """Watch TensorFlow models in production: what moved, how sure that is, and what was done.

    \b
    Start here:
      driftline demo --fast                            real flights, real drift, a model retrained, in minutes
      driftline check --reference train.parquet --current now.parquet
      driftline init .  &&  driftline run                       next to your Kafka
    """


def main() -> None:
    """Run the command line; a foreseen error is one line on standard error and an exit code."""
    try:
        code = command.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(_USAGE_EXIT)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(_INTERRUPTED_EXIT)
    except DriftlineError as error:
        click.echo(f"driftline: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        sys.stderr.close()
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
