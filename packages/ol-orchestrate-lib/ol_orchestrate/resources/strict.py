"""Resources that take no argument they do not know."""

from typing import ClassVar

from pydantic import ConfigDict


class Strict:
    """A base to name first: an argument that a resource lacks is an error, not dropped as Dagster does.

    The error does not repeat values, as one of them may be a secret.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", hide_input_in_errors=True)
