"""The errors that pipelines raise on purpose.

```
PipelineError
├── BadInputError         the bytes are not what they should be; a retry reads the same bytes
│   └── SettingsError     a setting that cannot be used
├── MissingObjectError    nothing is stored there
├── AccessRefusedError    the service knows us, or should, and says no
├── SourceChangedError    the object changed, or does not match its own checksum, while it was read
├── ServiceError          the service failed or could not be reached; it may work later
└── PermanentServiceError the service's answer is final until an operator changes a setting (`lib/http_status.py`)
```

Each message names the object, the place in it where that is known, and what the reader can do.
"""

from __future__ import annotations

from typing import ClassVar


class PipelineError(Exception):
    """Something that a run reports to people; the message is complete without a traceback."""

    is_transient: ClassVar[bool] = False
    """Whether running again, with nothing changed by anyone, can succeed."""


class BadInputError(PipelineError):
    """An input that is broken or forbidden; it stays so until somebody replaces it."""


class SettingsError(BadInputError):
    """A setting that cannot be used, or that is none; it stays so until an operator changes it."""


class MissingObjectError(PipelineError):
    """An object that should be in a store and is not."""


class AccessRefusedError(PipelineError):
    """A service refused: no permission, or credentials that it does not accept."""


class SourceChangedError(PipelineError):
    """A source whose bytes are not those that its store announced."""

    is_transient = True


class ServiceError(PipelineError):
    """A service that failed, or that no connection could be made to."""

    is_transient = True


class PermanentServiceError(PipelineError):
    """A service whose answer stays the same: a wrong region or address, an untrusted certificate, a broken protocol."""
