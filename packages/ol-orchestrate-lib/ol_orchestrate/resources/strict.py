"""A base of resources that refuse unknown arguments."""

from typing import ClassVar

from pydantic import ConfigDict


class Strict:
    """The first base of a resource: it makes an unknown argument an error, where Dagster drops it.

    The error does not repeat values, as one of them may be a secret.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", hide_input_in_errors=True)
