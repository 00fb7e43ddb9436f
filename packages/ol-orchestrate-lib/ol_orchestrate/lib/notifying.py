"""Messages to operators, by the service that they read: Slack, mail and a hundred others, each by its address."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ol_orchestrate.lib.errors import ServiceError, SettingsError
from ol_orchestrate.lib.redaction import redact, remember_secrets

if TYPE_CHECKING:
    from apprise import Apprise


def notify(address: str, title: str, body: str) -> None:
    """Send a message; waits some seconds at most.

    Args:
        address: An address as the library `apprise` writes them, such as `slack://…` or `mailto://…`, a webhook as
            Slack shows it, or any `https://` address, which gets JSON with the field `text`. It is a secret.
        title: One line.
        body: Plain text.

    Raises:
        SettingsError: No service has such addresses.
        ServiceError: The service did not take the message.
    """
    import apprise  # noqa: PLC0415 - loads a hundred services, which only a message needs

    service = service_of(address)
    capture = apprise.LogCapture(level=logging.WARNING, fmt="%(message)s")  # type: ignore[no-untyped-call]
    with capture as log:
        taken = service.notify(body=body, title=title, body_format=apprise.NotifyFormat.TEXT)
        said = " ".join(log.getvalue().split())
    if not taken:
        raise ServiceError(redact(f"{address.partition(':')[0]} did not take the message: {said or 'no answer'}"))


def service_of(address: str) -> Apprise:
    """Return the service that has an address; sends nothing.

    Raises:
        SettingsError: No service has such addresses.
    """
    import apprise  # noqa: PLC0415 - loads a hundred services, which only messages need

    remember_secrets(address, _path_parts(address))
    service = apprise.Apprise()
    if not service.add(address) and not service.add(_as_json(address)):
        raise SettingsError(
            f"an address of {len(address)} characters is none that messages can be sent to: it begins with https://, "
            "slack://, mailto:// or another scheme of https://github.com/caronc/apprise"
        )
    return service


def _path_parts(address: str) -> list[str]:
    try:
        return [part for part in urlsplit(address).path.split("/") if part]
    except ValueError:
        return []  # It is no URL, so nothing can be sent to it.


def _as_json(address: str) -> str:
    """Return the address of a plain webhook as the library has them, its message in the field `text`."""
    scheme, separator, rest = address.partition("://")
    if not separator or scheme not in {"http", "https"}:
        return address
    mark = "&" if "?" in rest else "?"
    return f"json{scheme.removeprefix('http')}://{rest}{mark}:message=text"
