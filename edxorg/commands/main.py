"""The command and its subcommands; each is imported when it is called."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from importlib.metadata import version
from typing import Any, TextIO, cast

import click

from edxorg.commands import stopping
from ol_orchestrate.lib.errors import PipelineError, SettingsError
from ol_orchestrate.lib.redaction import redact

COMMANDS = {
    "demo": "Try everything on this machine: sample inputs, no credentials.",
    "sample": "Write sample inputs of any size.",
    "ingest": "Bring files into the landing zone.",
    "inspect": "Look at a file without writing anything.",
    "list": "Show the files at the source, and what has not come in.",
    "status": "Show what came in last, what failed, and what waits.",
    "query": "Ask what landed, in SQL.",
    "reload": "Bring history in again, the oldest first.",
    "report": "Write the report of an archive again.",
    "prune": "Delete superseded versions.",
    "doctor": "Check the settings and the connections.",
}


class _Commands(click.Group):
    """Knows the names of the commands, and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"edxorg.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


PACKAGES = ("edxorg", "ol-orchestrate-lib", "dagster")


def _show_versions(ctx: click.Context, _: click.Parameter, asked: bool) -> None:  # noqa: FBT001 - click's
    if asked:
        click.echo(", ".join(f"{package} {version(package)}" for package in PACKAGES))
        ctx.exit()


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_versions, help="Show versions."
)
@click.option("--settings", metavar="FILE", help="A YAML file of settings, such as a defs.yaml, as EDXORG_SETTINGS.")
def edxorg(settings: str | None) -> None:
    """Bring edX.org data into a data lake.

    \b
    First steps:
      edxorg demo                                   try everything, locally
      edxorg inspect mitx-2024-01-31.tar.gz         count what is in an archive
      edxorg ingest archive gs://bucket/COLD/mitx-2024-01-31.tar.gz \\
          --landing-zone s3://lake/edxorg-raw-data  bring it in

    Exit codes: 0 all delivered, or set aside and counted; 1 something failed; 2 usage error; 130 stopped.
    """  # noqa: D301 - \b is click's, for lines that are not to be joined
    if settings is not None:
        os.environ["EDXORG_SETTINGS"] = settings


class _Redacted:
    """A stream that passes each written text through `redact`, and drops it when the command was asked to stop."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return len(text) if stopping.requested() else self._stream.write(redact(text))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of the stream
        if name == "buffer":  # a way around `write`, which click takes if it finds one
            raise AttributeError(name)
        return getattr(self._stream, name)


def main() -> None:
    """Run the command. Its output, tracebacks included, is without the secrets that were read by then."""
    out, err = _Redacted(sys.stdout), _Redacted(sys.stderr)
    with stopping.stop_requests() as stops:
        try:
            with redirect_stdout(cast("TextIO", out)), redirect_stderr(cast("TextIO", err)):
                _main()
        except BaseException:
            if not stops.requested:
                raise
        stopped = stops.requested
    if stopped:
        stopping.ignore_signals()
        stopping.say_stopped()
        sys.exit(stops.exit_code())


def _main() -> None:
    """Run the command; an expected error is one line, without a traceback."""
    try:
        edxorg(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.exceptions.NoArgsIsHelpError as nothing_asked:
        click.echo(nothing_asked.format_message(), err=True)
        sys.exit(2)
    except click.ClickException as mistake:
        context = getattr(mistake, "ctx", None)
        more = f" (see {context.command_path} --help)" if context else ""
        click.echo(f"Error: {mistake.format_message()}{more}", err=True)
        sys.exit(2)
    except SettingsError as mistake:
        click.echo(f"Error: {mistake}", err=True)
        sys.exit(2)
    except click.Abort:  # click's name for an interrupt
        raise KeyboardInterrupt from None
    except PipelineError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except Exception:  # noqa: BLE001 - printed here, where secrets are taken out, instead of by the interpreter
        traceback.print_exc()
        sys.exit(1)
