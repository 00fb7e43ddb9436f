"""A client of HashiCorp Vault or OpenBao that logs in when needed, and reads key-value secrets.

A `VaultClient` holds the address of Vault and the login method. The credentials stay in the environment variables and
files that Vault's own programs use, and are read at the first use of a secret. No error message quotes a response or a
request, as either can hold a secret. `ol_orchestrate.lib.redaction` learns of each secret, of the credentials too, and
takes them out of all texts that are shown.
"""

from __future__ import annotations

import json
import os
from base64 import b64encode
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ol_orchestrate.lib.addresses import origin_of, refuse_credentials
from ol_orchestrate.lib.errors import (
    AccessRefusedError,
    MissingObjectError,
    PermanentServiceError,
    PipelineError,
    ServiceError,
    SettingsError,
)
from ol_orchestrate.lib.http_status import (
    error_of_status,
    is_transient,
    is_untrusted_certificate,
    with_proxy_variables,
)
from ol_orchestrate.lib.redaction import remember_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import hvac
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3 import Retry

TIMEOUT = (5, 15)
"""Seconds of each attempt to connect, and to wait for the next bytes of a response."""

RETRIES = 2
"""Further attempts after a failed connection or a transient response."""

PUBLIC_FIELDS = frozenset({"type", "project_id", "universe_domain"})
"""Fields of a Google service account that are no secrets, and occur in names of buckets and services."""

KUBERNETES_TOKEN_PATH = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""The file in which Kubernetes puts the token of a pod's service account."""

BAD_REQUEST, TOO_MANY_REQUESTS = HTTPStatus.BAD_REQUEST, HTTPStatus.TOO_MANY_REQUESTS

READ_BY_HVAC = {BAD_REQUEST, TOO_MANY_REQUESTS, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}
"""Refusals that mean different things for a login and for a secret."""

STS_URL = "https://sts.amazonaws.com/"
"""The address to which Vault forwards the signed request, unless it is configured with another one."""


NOT_PERMITTED = (
    "nothing is mounted there, or its policies do not let it read this. "
    "Correct the path, or grant `read` (with kv version 2 on `{mount}/data/{name}`)"
)


NO_VAULT = "the server is no Vault, by its response. Check VAULT_ADDR"


class AuthMethod(StrEnum):
    """Ways to log in, and the environment variables or files that are read for it."""

    TOKEN = "token"  # noqa: S105 - a name
    """`VAULT_TOKEN`, else `~/.vault-token`, which `vault login` writes."""
    KUBERNETES = "kubernetes"
    """The token of the pod's service account, or the file at `jwt_path`."""
    AWS_IAM = "aws-iam"
    """The credentials that AWS's own clients would use."""
    JWT = "jwt"
    """`VAULT_JWT`, else the file at `jwt_path`."""
    APPROLE = "approle"
    """`VAULT_ROLE_ID` and `VAULT_SECRET_ID`; the latter may be missing if the role asks for none."""
    GITHUB = "github"
    """`VAULT_AUTH_GITHUB_TOKEN`, a personal access token."""

    @property
    def default_mount(self) -> str:
        """The path below `auth/` where Vault mounts the method if it is told no other."""
        return "aws" if self is AuthMethod.AWS_IAM else self.value


@dataclass(kw_only=True, eq=False)
class VaultClient:
    """Reads secrets; connects and logs in at the first one, and again when its token has expired.

    Safe to use from several threads.

    Attributes:
        address: An address such as `https://vault.example.org:8200`; `None` if no Vault is configured.
        namespace: A namespace of Vault Enterprise or OpenBao.
        cacert: A file with the certificates to trust, in PEM; `None` for the usual ones.
        role: The role to log in to; Kubernetes needs one.
        mount: The path of the login method below `auth/`; `None` for its default.
        jwt_path: A file with a JSON web token, for the methods Kubernetes and JWT.
    """

    address: str | None
    namespace: str | None = None
    cacert: str | None = None
    auth_method: AuthMethod = AuthMethod.TOKEN
    role: str | None = None
    mount: str | None = None
    jwt_path: str | None = None
    _client: hvac.Client | None = field(default=None, init=False, repr=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    def read(self, path: str) -> dict[str, Any]:
        """Read the newest version of a secret.

        Args:
            path: The path as on the command line: the mount and the secret's name, without `data/`.

        Returns:
            The secret's fields.

        Raises:
            AccessRefusedError: The login is refused or impossible, or does not permit reading this secret.
            MissingObjectError: There is no such secret.
            SettingsError: The engine that is mounted there is no key-value store.
            PermanentServiceError: The server redirects, or speaks another protocol.
            ServiceError: Vault cannot be reached, or fails.
        """
        refuse_credentials(self.address or "", "VAULT_ADDR")
        path = path.strip("/")
        with self._lock, self._errors(path):
            fields = self._fields(path)
        remember_secrets(*_secrets_in(fields))
        return fields

    def _fields(self, path: str) -> dict[str, Any]:
        """Read the secret's fields, after a login if there was none yet or the token has expired."""
        from hvac.exceptions import Forbidden  # noqa: PLC0415 - 0.2 s that a location without Vault need not spend

        if self._client is None:
            self._client = self._logged_in()
        try:
            return self._read(self._client, path)
        except Forbidden:
            if self._token_is_valid(self._client):
                raise AccessRefusedError(f"the login is good, but {NOT_PERMITTED}") from None
        self._client = self._logged_in()
        return self._read(self._client, path)

    def _read(self, client: hvac.Client, path: str) -> dict[str, Any]:
        """Read the secret's fields, in one request for the mount and one for the secret."""
        mount = _part(client.read(f"sys/internal/ui/mounts/{quote(path)}"), "data")
        folder, kind = _part(mount, "path"), _part(mount, "type")
        if kind not in {"kv", "generic"}:
            message = f"{folder} is a mount of type {kind}, not of type kv. Correct the path"
            raise SettingsError(message)
        has_versions = (mount.get("options") or {}).get("version") == "2"
        name = path.removeprefix(folder)
        response = client.read(quote(f"{folder}data/{name}" if has_versions else f"{folder}{name}"))
        if response is None:
            version = 2 if has_versions else 1
            message = (
                f"there is no such secret on the mount {folder} (kv version {version}). Write it, or correct the path"
            )
            raise MissingObjectError(message)
        fields = _part(response, "data", "data") if has_versions else _part(response, "data")
        if not isinstance(fields, dict):
            raise PermanentServiceError(NO_VAULT)
        return fields

    def _token_is_valid(self, client: hvac.Client) -> bool:
        """True if Vault still knows the token, so that a refusal is for a missing permission."""
        from hvac.exceptions import Forbidden  # noqa: PLC0415

        try:
            client.read("auth/token/lookup-self")
        except Forbidden:
            return False
        return True

    def _logged_in(self) -> hvac.Client:
        """Return a client with a new token."""
        from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest, Unauthorized  # noqa: PLC0415

        client = self._connection()
        if self.auth_method is AuthMethod.TOKEN:
            client.token = _variable("VAULT_TOKEN", or_file=Path("~/.vault-token"))
            return client
        try:
            response = client.write_data(f"auth/{quote(self._mount)}/login", data=self._login_request())
        except (Forbidden, InvalidPath, InvalidRequest, Unauthorized) as error:
            message = f"the login is refused ({type(error).__name__}). Check its method, mount, role and credentials"
            raise AccessRefusedError(message) from None
        client.token = _part(response, "auth", "client_token")
        remember_secrets(client.token)
        return client

    def _connection(self) -> hvac.Client:
        import hvac  # noqa: PLC0415
        from requests import Session  # noqa: PLC0415
        from urllib3 import Retry  # noqa: PLC0415

        scheme, separator, _ = (self.address or "").partition("://")
        if not separator or scheme not in {"https", "http"}:
            raise AccessRefusedError(
                "no usable address is set. Set VAULT_ADDR, for example to https://vault.example.org:8200"
            )
        if self.cacert and not Path(self.cacert).exists():
            raise AccessRefusedError(f"the file {self.cacert} does not exist. Correct VAULT_CACERT")
        retries = Retry(
            RETRIES,
            other=0,  # an untrusted certificate stays untrusted
            allowed_methods=None,  # all: a login that is sent twice only makes a second token
            status_forcelist=[status for status in range(400, 600) if is_transient(status)],
            backoff_factor=0.25,
            backoff_jitter=0.25,
            raise_on_status=False,
            respect_retry_after_header=False,  # it has no upper bound
        )
        session = Session()
        session.verify = self.cacert or True
        session.hooks["response"].append(_raise_for_errors)
        session.mount(f"{scheme}://", _adapter(retries))
        # With None in place of an empty token, hvac would look for one by itself.
        # No redirect is followed, since requests would send Vault's token along to any host.
        return hvac.Client(
            self.address, token="", session=session, timeout=TIMEOUT, namespace=self.namespace, allow_redirects=False
        )

    @property
    def _mount(self) -> str:
        return self.mount or self.auth_method.default_mount

    def _login_request(self) -> dict[str, str]:
        """Return the fields of a login request."""
        role = {"role": self.role} if self.role else {}
        match self.auth_method:
            case AuthMethod.KUBERNETES:
                return {**role, "jwt": _content(Path(self.jwt_path or KUBERNETES_TOKEN_PATH))}
            case AuthMethod.JWT:
                return {**role, "jwt": _variable("VAULT_JWT", or_file=Path(self.jwt_path) if self.jwt_path else None)}
            case AuthMethod.APPROLE:
                secret_id = {"secret_id": _variable("VAULT_SECRET_ID")} if "VAULT_SECRET_ID" in os.environ else {}
                return {"role_id": _variable("VAULT_ROLE_ID"), **secret_id}
            case AuthMethod.GITHUB:
                return {"token": _variable("VAULT_AUTH_GITHUB_TOKEN")}
            case _:
                return {**role, **_signed_caller_identity_request()}

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        """Name the secret, the address and the login in each error.

        The texts of hvac and requests are left out, as they quote responses, headers and addresses.
        """
        from hvac.exceptions import Forbidden, RateLimitExceeded, VaultError  # noqa: PLC0415
        from requests import RequestException  # noqa: PLC0415

        login = f"login by {self.auth_method}" + (f" as {self.role}" if self.role else "")
        if self.auth_method is not AuthMethod.TOKEN:
            login += f" at auth/{self._mount}"
        kind: type[PipelineError] = ServiceError
        try:
            yield
        except PipelineError as error:
            kind, problem = type(error), str(error)
        except Forbidden:
            kind = AccessRefusedError
            problem = f"the token has expired or is unknown (`vault login` makes a new one), or {NOT_PERMITTED}"
        except RequestException as error:
            remedy = with_proxy_variables("Check VAULT_ADDR and the network")
            problem = f"it cannot be reached ({type(error).__name__}). {remedy}"
            if is_untrusted_certificate(error):
                kind = AccessRefusedError
                problem = "its certificate is not trusted. Set VAULT_CACERT to a file with the certificates to trust"
        except RateLimitExceeded:
            problem = "it allows no more requests for now. Run again later"
        except (AttributeError, TypeError, ValueError, RecursionError):  # raised by hvac for JSON in another form
            kind = PermanentServiceError
            problem = NO_VAULT
        except VaultError as error:
            kind = PermanentServiceError
            problem = f"it refuses the request ({type(error).__name__}). Check the path and VAULT_ADDR"
        else:
            return
        where = f"Vault at {self.address}" if self.address else "Vault"
        raise kind(f"Secret {path} of {where} ({login}): {problem}") from None


def _adapter(retries: Retry) -> HTTPAdapter:
    """Return an adapter that also asks again after a response that broke off, which `Retry` does not see."""
    from requests import ConnectionError  # noqa: A004, PLC0415
    from requests.adapters import HTTPAdapter  # noqa: PLC0415
    from requests.exceptions import ChunkedEncodingError  # noqa: PLC0415

    class Adapter(HTTPAdapter):
        def send(self, *request: Any, **options: Any) -> requests.Response:  # noqa: ANN401 - as its base class
            for _ in range(RETRIES):
                response = super().send(*request, **options)
                try:
                    response.content  # noqa: B018 - reads it
                except (ConnectionError, ChunkedEncodingError):
                    response.close()
                else:
                    return response
            return super().send(*request, **options)

    return Adapter(max_retries=retries)


def _raise_for_errors(response: requests.Response, **_: object) -> None:
    """Raise the errors of responses that hvac ignores, or of which it does not tell final ones from transient ones.

    Raises:
        PermanentServiceError: The response is a redirect or otherwise final.
        ServiceError: Vault failed, at the last attempt too.
    """
    status = response.status_code
    if status in range(300, 400):
        response.close()
        target = origin_of(response.headers.get("Location", ""))
        message = f"it redirects to {target}, and the token is not sent there. Set VAULT_ADDR to Vault's own address"
        raise PermanentServiceError(message)
    if status not in READ_BY_HVAC and status >= BAD_REQUEST:
        response.close()
        hint = "Check that it is up and unsealed" if is_transient(status) else "Check VAULT_ADDR"
        raise error_of_status(status)(f"it failed (status {status}). {hint}")


def field_of(secret: Mapping[str, Any], name: str, path: str) -> str:
    """Return a field of a secret; in the name of a field in another one, a dot is between the two.

    Args:
        secret: The secret's fields.
        name: The field's name, such as `token`, or `learn.token`.
        path: The path of the secret, for the error.

    Raises:
        AccessRefusedError: The secret has no such field, or the field is no text.
    """
    found: Any = secret.get(name)
    if found is None:
        found = secret
        for part in name.split("."):
            found = found.get(part) if isinstance(found, dict) else None
    if not isinstance(found, str) or not found:
        raise AccessRefusedError(f"The secret {path} has no field {name} with a text: write it there, then run again")
    return found


def _secrets_in(fields: Mapping[str, Any]) -> Iterator[object]:
    """Yield all values of a secret that may not be shown, those of fields in other fields too."""
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _secrets_in(value)
        elif not _is_public(name, value):
            yield value


def _is_public(name: str, value: object) -> bool:
    """True if a field of a secret may be shown: an address, which errors name, or one of `PUBLIC_FIELDS`."""
    return name in PUBLIC_FIELDS or (isinstance(value, str) and value.startswith(("https://", "http://")))


def _part(response: object, *names: str) -> Any:  # noqa: ANN401 - JSON
    """Return the part of a response below these names.

    Raises:
        PermanentServiceError: The response has no such part, so the server is not Vault.
    """
    for name in names:
        if not isinstance(response, dict) or name not in response:
            raise PermanentServiceError(NO_VAULT)
        response = response[name]
    return response


def _variable(name: str, *, or_file: Path | None = None) -> str:
    """Read a secret from an environment variable, else from a file, if one is named.

    Raises:
        AccessRefusedError: Neither holds a secret.
    """
    value = os.environ.get(name, "").strip()
    if value:
        return _sendable(value, name)
    if or_file:
        return _content(or_file, instead_of=name)
    raise AccessRefusedError(f"{name} is not set. Set it, or choose another VAULT_AUTH_METHOD")


def _content(path: Path, *, instead_of: str = "VAULT_JWT_PATH") -> str:
    """Read a secret from a file.

    Raises:
        AccessRefusedError: The file does not exist, is empty, or holds no token.
    """
    try:
        value = path.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError, RuntimeError) as error:  # RuntimeError if the home folder is unknown
        message = (
            f"{path} cannot be read ({type(error).__name__}). Set {instead_of}, or choose another VAULT_AUTH_METHOD"
        )
        raise AccessRefusedError(message) from None
    return _sendable(value, str(path))


def _sendable(value: str, source: str) -> str:
    """Return the value, if an HTTP header can hold it.

    Raises:
        AccessRefusedError: The value is empty, or has characters that no token has.
    """
    if not value or not value.isascii() or not value.isprintable():
        raise AccessRefusedError(f"the content of {source} is no token or key: put one line of ASCII there")
    remember_secrets(value)
    return value


def _signed_caller_identity_request() -> dict[str, str]:
    """Sign a request `GetCallerIdentity`, which Vault forwards to AWS to learn the identity of the signer.

    The format is that of the login at https://developer.hashicorp.com/vault/api-docs/auth/aws.

    Raises:
        AccessRefusedError: This process has no credentials of AWS.
    """
    from botocore.auth import SigV4Auth  # noqa: PLC0415
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    from botocore.session import Session  # noqa: PLC0415

    try:
        credentials = Session().get_credentials()
        keys = credentials.get_frozen_credentials() if credentials else None
    except (BotoCoreError, ClientError) as error:
        message = f"the AWS credentials cannot be used ({type(error).__name__}). Check AWS_PROFILE and its files"
        raise AccessRefusedError(message) from None
    if keys is None:
        raise AccessRefusedError(
            "this process has no AWS credentials. Set AWS_PROFILE, or run on a machine with a role attached"
        )
    remember_secrets(keys.secret_key, keys.token or "")
    body = "Action=GetCallerIdentity&Version=2011-06-15"
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8", "Host": "sts.amazonaws.com"}
    request = AWSRequest("POST", STS_URL, headers, body)
    SigV4Auth(keys, "sts", "us-east-1").add_auth(request)
    signed = json.dumps({name: [value] for name, value in request.headers.items()})
    return {
        "iam_http_request_method": "POST",
        "iam_request_url": b64encode(STS_URL.encode()).decode(),
        "iam_request_body": b64encode(body.encode()).decode(),
        "iam_request_headers": b64encode(signed.encode()).decode(),
    }
