"""The addresses of an Open edX API, and the OAuth client for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import httpx

from ol_orchestrate.lib.addresses import refuse_credentials
from ol_orchestrate.lib.errors import AccessRefusedError, SettingsError
from ol_orchestrate.lib.redaction import remember_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class ApiCredentials:
    """An OAuth client of one Open edX deployment; its `repr` shows the addresses only.

    Attributes:
        client_id: The OAuth client's id.
        client_secret: The OAuth client's secret.
        url: The API's address, such as `https://discovery.edx.org`, without a trailing slash.
        token_url: The address that issues tokens; `{url}/oauth2/access_token` if empty.
        studio_url: Studio's address, for deployments that export courses.
    """

    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    url: str
    token_url: str = ""
    studio_url: str = ""

    def __post_init__(self) -> None:
        """Bring the addresses into their usual form, and keep id and secret out of all texts that are shown.

        Raises:
            SettingsError: An address is not plain `http(s)://host[:port][/path]`.
        """
        remember_secrets(self.client_id, self.client_secret)
        url = service_address("API", self.url)
        object.__setattr__(self, "url", url)
        object.__setattr__(self, "token_url", service_address("token", self.token_url or f"{url}/oauth2/access_token"))
        if self.studio_url:
            object.__setattr__(self, "studio_url", service_address("Studio", self.studio_url))

    @classmethod
    def from_secret(cls, path: str, secret: Mapping[str, Any]) -> Self:
        """Read a secret with the fields `id`, `secret` and `url`, and optionally `studio_url` and `token_url`.

        Raises:
            AccessRefusedError: A field is missing or empty; the message names it and `path`.
        """
        missing = [name for name in ("id", "secret", "url") if not secret.get(name)]
        if missing:
            message = f"The secret {path} has no {' and no '.join(missing)}: write it there, then run again"
            raise AccessRefusedError(message)
        values = {
            name: str(secret.get(name) or "").strip() for name in ("id", "secret", "url", "studio_url", "token_url")
        }
        return cls(
            client_id=values["id"],
            client_secret=values["secret"],
            url=values["url"],
            token_url=values["token_url"],
            studio_url=values["studio_url"],
        )

    @classmethod
    def from_environ(cls, prefix: str, environ: Mapping[str, str]) -> Self | None:
        """Read `{prefix}_URL`, `_TOKEN_URL`, `_CLIENT_ID` and `_CLIENT_SECRET`; return `None` if none of them is set.

        Raises:
            AccessRefusedError: Some of the four are set and others are not.
        """
        names = {part: f"{prefix}_{part}" for part in ("URL", "TOKEN_URL", "CLIENT_ID", "CLIENT_SECRET")}
        values = {part: environ.get(name, "").strip() for part, name in names.items()}
        if not any(values.values()):
            return None
        unset = [names[part] for part, value in values.items() if not value]
        if unset:
            message = f"{' and '.join(unset)} not set, while other {prefix}_ variables are: set all four or none"
            raise AccessRefusedError(message)
        return cls(
            client_id=values["CLIENT_ID"],
            client_secret=values["CLIENT_SECRET"],
            url=values["URL"],
            token_url=values["TOKEN_URL"],
        )


def service_address(name: str, url: str) -> str:
    """Return the address without a trailing slash.

    Raises:
        SettingsError: It is not plain `http(s)://host[:port][/path]`; the message shows no part that can be secret.
    """
    refuse_credentials(url, f"The {name} address")
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        parts = httpx.URL()
    if parts.scheme not in {"http", "https"} or not parts.host:
        message = f"The {name} address has another form than https://host[:port][/path]: give it in this form"
        raise SettingsError(message)
    return url.rstrip("/")
