"""`python -m edxorg`: the same as the `edxorg` command."""

from edxorg.commands import main

main()
