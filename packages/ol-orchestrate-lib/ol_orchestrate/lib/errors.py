"""The errors that pipelines raise on purpose.

```
PipelineError
├── BadInputError         the bytes are wrong; a retry reads the same bytes
│   └── SettingsError     a setting is invalid or missing
├── MissingObjectError    the object is not in the store
│   └── MissingBucketError the bucket or the folder of the store is not there
├── AccessRefusedError    the service requires credentials or a permission
├── SourceChangedError    the object changed, or does not match its own checksum, while it was read
│   └── SourceGoneError   the object was deleted while it was read
├── NoRoomError           a disk of this machine is full
├── ServiceError          the service failed or could not be reached; it may work later
└── PermanentServiceError the service's response stays the same until an operator changes a setting
```

Each message names the object, the place in it if that is known, and a remedy.
"""

from __future__ import annotations

from typing import ClassVar


class PipelineError(Exception):
    """An error that a run reports to its operator; the message is complete without a traceback."""

    is_transient: ClassVar[bool] = False
    """True if running again, with nothing changed, can succeed."""

    awaits_operator: ClassVar[bool] = False
    """True if it lasts until an operator mends a setting, a credential, a permission or a missing object.

    The input may be sound, so it is tried again now and then even if it stays the same.
    """


class BadInputError(PipelineError):
    """An input that is broken or forbidden until it is replaced."""


class SettingsError(BadInputError):
    """An invalid or missing setting, until an operator changes it."""

    awaits_operator = True


class MissingObjectError(PipelineError):
    """An object that should be in a store and is not; it may come back as the same version."""

    awaits_operator = True


class MissingBucketError(MissingObjectError):
    """A bucket that should be there and is not."""


class AccessRefusedError(PipelineError):
    """A service refused the credentials, or they lack a permission."""

    awaits_operator = True


class SourceChangedError(PipelineError):
    """A source whose bytes do not match the size or the checksum that its store announced."""

    is_transient = True


class SourceGoneError(SourceChangedError):
    """A source that was deleted while it was read; it may come back as the same version."""

    is_transient = False
    awaits_operator = True


class NoRoomError(PipelineError):
    """A disk of this machine without room for a temporary file."""

    is_transient = True


class ServiceError(PipelineError):
    """A service that failed or could not be reached."""

    is_transient = True


class PermanentServiceError(PipelineError):
    """A final response (`http_status`): a wrong region or address, an untrusted certificate, a broken protocol."""

    awaits_operator = True
