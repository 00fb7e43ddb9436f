"""The `edxorg` command, and the same as `python -m edxorg`."""

from edxorg.commands import stopping


def main() -> None:
    """Load the command and run it; a signal ends it with one line from the first moment."""
    stopping.leave_at_signals()
    from edxorg.commands.main import main as run  # noqa: PLC0415 - takes a while

    run()


if __name__ == "__main__":
    main()
