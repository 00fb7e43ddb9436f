"""Looks for input that breaks a parser's promises: `uv run --group fuzz python -m edxorg_tests.fuzz PARSER`.

New inputs are kept in `.fuzz/PARSER`, where the next call goes on. What is found is written to `.fuzz/PARSER-crash-…`:
mend the parser, and move the file to `edxorg_tests/fuzz/corpus/PARSER`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

CORPUS: Final = Path(__file__).parent / "corpus"
KEPT: Final = Path(".fuzz")

LONGEST: Final = 4096
"""Bytes of an input; the models that parsers are compared with take time that grows with the square of it."""

SECONDS_OF_ONE: Final = 20
"""An input that takes longer is one that was looked for."""


@click.command(help=__doc__)
@click.argument("parser", type=click.Choice(sorted(path.name for path in CORPUS.iterdir())))
@click.option("--minutes", type=float, default=60, show_default=True)
def main(parser: str, minutes: float) -> None:
    """Fuzz one parser."""
    try:
        import atheris  # noqa: PLC0415 - only in the group `fuzz`
    except ImportError as error:
        raise click.ClickException(f"{error}: run with `uv run --group fuzz`, on Linux, where it has wheels") from None
    with atheris.instrument_imports(include=["edxorg", "ol_orchestrate"]):
        from edxorg_tests.fuzz.properties import PROPERTIES  # noqa: PLC0415 - to be instrumented

    kept = KEPT / parser
    kept.mkdir(parents=True, exist_ok=True)
    time = [f"-max_total_time={max(1, round(60 * minutes))}", f"-timeout={SECONDS_OF_ONE}"]
    told = ["-verbosity=0", "-print_final_stats=1", f"-artifact_prefix={kept}-"]
    options = [str(kept), str(CORPUS / parser), f"-max_len={LONGEST}", *time, *told]
    atheris.Setup([sys.argv[0], *options], PROPERTIES[parser])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
