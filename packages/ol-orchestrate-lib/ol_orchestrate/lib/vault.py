"""Secrets out of HashiCorp Vault or OpenBao: one login when it is needed, and reads of key-value secrets.

A `VaultClient` knows where Vault is and how to log in. What it logs in with stays where Vault's own programs look for
it, in environment variables and files, and is read at the first use of a secret. No message of an error repeats
anything of Vault's answers or of what was sent: either can hold a secret. What is read as a secret, to log in or from
Vault, is remembered, so that it is taken out of all that is shown (`ol_orchestrate.lib.redaction`).
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
    BadInputError,
    MissingObjectError,
    PermanentServiceError,
    PipelineError,
    ServiceError,
)
from ol_orchestrate.lib.http_status import error_of_status, is_transient, is_untrusted_certificate
from ol_orchestrate.lib.redaction import remember_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

    import hvac
    import requests

TIMEOUT = (5, 15)
"""Seconds to connect, and to wait for the next bytes of an answer; for each attempt."""

RETRIES = 2
"""How often a request is sent again after a failed connection or an answer that may pass."""

PUBLIC_FIELDS = frozenset({"type", "project_id", "universe_domain"})
"""Fields of a Google service account that are no secrets, and occur in names of buckets and services."""

KUBERNETES_TOKEN_PATH = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""Where a pod finds the token of its service account."""

BAD_REQUEST, TOO_MANY_REQUESTS = HTTPStatus.BAD_REQUEST, HTTPStatus.TOO_MANY_REQUESTS

READ_BY_HVAC = {BAD_REQUEST, TOO_MANY_REQUESTS, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}
"""Refusals that mean different things for a login and for a secret."""

STS_URL = "https://sts.amazonaws.com/"
"""Where Vault sends the signed request on, unless it was told of another endpoint."""


NOT_PERMITTED = (
    "nothing is mounted there, or its policies do not let it read this. "
    "Correct the path, or grant `read` (with kv version 2 on `{mount}/data/{name}`)"
)


NO_VAULT = "what answers there is no Vault. Check VAULT_ADDR"


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
        address: For example `https://vault.example.org:8200`; `None` means that no Vault is configured.
        namespace: Of Vault Enterprise or OpenBao.
        cacert: A file with the certificates to trust, in PEM; `None` for the usual ones.
        auth_method: How to log in.
        role: The role to log in to; Kubernetes needs one.
        mount: Where the login method is mounted, below `auth/`; `None` for its usual place.
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
            path: As on the command line: the mount and the secret's name, without `data/`.

        Returns:
            The secret's fields.

        Raises:
            AccessRefusedError: The login is refused or impossible, or it does not permit to read this secret.
            MissingObjectError: There is no such secret.
            BadInputError: What is mounted there keeps no secrets.
            PermanentServiceError: What answers is not this Vault: it redirects, or speaks another protocol.
            ServiceError: Vault cannot be reached, or fails.
        """
        refuse_credentials(self.address or "", "VAULT_ADDR")
        path = path.strip("/")
        with self._lock, self._errors(path):
            fields = self._fields(path)
        remember_secrets([value for name, value in fields.items() if not _is_public(name, value)])
        return fields

    def _fields(self, path: str) -> dict[str, Any]:
        """The secret's fields; logs in if that was not done yet, or Vault has forgotten the token."""
        from hvac.exceptions import Forbidden  # noqa: PLC0415 - 0.2 s that only those with a Vault pay

        if self._client is None:
            self._client = self._logged_in()
        try:
            return self._read(self._client, path)
        except Forbidden:
            if self._token_is_good(self._client):
                raise AccessRefusedError(f"the login is good, but {NOT_PERMITTED}") from None
        self._client = self._logged_in()
        return self._read(self._client, path)

    def _read(self, client: hvac.Client, path: str) -> dict[str, Any]:
        """The secret's fields; one question for the mount, one for the secret."""
        mount = _part(client.read(f"sys/internal/ui/mounts/{quote(path)}"), "data")
        folder, kind = _part(mount, "path"), _part(mount, "type")
        if kind not in {"kv", "generic"}:
            message = f"{folder} is a mount of type {kind}, and secrets are on those of type kv. Correct the path"
            raise BadInputError(message)
        has_versions = (mount.get("options") or {}).get("version") == "2"
        name = path.removeprefix(folder)
        answer = client.read(quote(f"{folder}data/{name}" if has_versions else f"{folder}{name}"))
        if answer is None:
            version = 2 if has_versions else 1
            message = (
                f"there is no such secret on the mount {folder} (kv version {version}). Write it, or correct the path"
            )
            raise MissingObjectError(message)
        fields = _part(answer, "data", "data") if has_versions else _part(answer, "data")
        if not isinstance(fields, dict):
            raise PermanentServiceError(NO_VAULT)
        return fields

    def _token_is_good(self, client: hvac.Client) -> bool:
        """Whether Vault still knows the token; then what was refused is a matter of permission."""
        from hvac.exceptions import Forbidden  # noqa: PLC0415

        try:
            client.read("auth/token/lookup-self")
        except Forbidden:
            return False
        return True

    def _logged_in(self) -> hvac.Client:
        """A client with a new token."""
        from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest, Unauthorized  # noqa: PLC0415

        client = self._connection()
        if self.auth_method is AuthMethod.TOKEN:
            client.token = _variable("VAULT_TOKEN", or_file=Path("~/.vault-token"))
            return client
        try:
            answer = client.write_data(f"auth/{quote(self._mount)}/login", data=self._login_request())
        except (Forbidden, InvalidPath, InvalidRequest, Unauthorized) as error:
            message = f"the login is refused ({type(error).__name__}). Check its method, mount, role and credentials"
            raise AccessRefusedError(message) from None
        client.token = _part(answer, "auth", "client_token")
        remember_secrets(client.token)
        return client

    def _connection(self) -> hvac.Client:
        import hvac  # noqa: PLC0415
        from requests import Session  # noqa: PLC0415
        from requests.adapters import HTTPAdapter  # noqa: PLC0415
        from urllib3 import Retry  # noqa: PLC0415

        scheme, separator, _ = (self.address or "").partition("://")
        if not separator or scheme not in {"https", "http"}:
            raise AccessRefusedError("no address to ask. Set VAULT_ADDR, for example to https://vault.example.org:8200")
        if self.cacert and not Path(self.cacert).exists():
            raise AccessRefusedError(f"there is no file {self.cacert}. Correct VAULT_CACERT")
        retries = Retry(
            RETRIES,
            other=0,  # an untrusted certificate stays untrusted
            allowed_methods=None,  # all: a login that is sent twice only makes a second token
            status_forcelist=[
                status for status in range(400, 600) if is_transient(status) and status != TOO_MANY_REQUESTS
            ],
            backoff_factor=0.25,
            raise_on_status=False,
            respect_retry_after_header=False,  # it has no upper bound
        )
        session = Session()
        session.verify = self.cacert or True
        session.hooks["response"].append(_refuse_what_is_final)
        session.mount(f"{scheme}://", HTTPAdapter(max_retries=retries))
        # With None in place of an empty token, hvac would look for one by itself.
        # A redirect is never followed: requests would send Vault's token along, whatever host it leads to.
        return hvac.Client(
            self.address, token="", session=session, timeout=TIMEOUT, namespace=self.namespace, allow_redirects=False
        )

    @property
    def _mount(self) -> str:
        return self.mount or self.auth_method.default_mount

    def _login_request(self) -> dict[str, str]:
        """What the login method wants to be sent."""
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
        """Say in each error which secret, which address and which login it is about.

        Nothing is repeated of what hvac and requests say: they quote answers, headers and addresses.
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
            problem = f"it cannot be reached ({type(error).__name__}). Check VAULT_ADDR and the network"
            if is_untrusted_certificate(error):
                kind = AccessRefusedError
                problem = "its certificate is not trusted. Set VAULT_CACERT to a file with the certificates to trust"
        except RateLimitExceeded:
            problem = "it asks for fewer requests. Run again later"
        except (AttributeError, TypeError, ValueError, RecursionError):  # what hvac makes of JSON of other kinds
            kind = PermanentServiceError
            problem = NO_VAULT
        except VaultError as error:
            kind = PermanentServiceError
            problem = f"it refuses the request ({type(error).__name__}). Check the path and VAULT_ADDR"
        else:
            return
        where = f"Vault at {self.address}" if self.address else "Vault"
        raise kind(f"Secret {path} of {where} ({login}): {problem}") from None


def _refuse_what_is_final(response: requests.Response, **_: object) -> None:
    """Raise the errors of answers that hvac takes for no answer, or does not tell from those that may pass.

    Raises:
        PermanentServiceError: A redirect, or another answer that stays as it is.
        ServiceError: Vault failed, at the last attempt too.
    """
    status = response.status_code
    if status in range(300, 400):
        response.close()
        target = origin_of(response.headers.get("Location", ""))
        message = f"it redirects to {target}, where the token is not sent. Set VAULT_ADDR to the address that answers"
        raise PermanentServiceError(message)
    if status not in READ_BY_HVAC and status >= BAD_REQUEST:
        response.close()
        hint = "Check that it is up and unsealed" if is_transient(status) else "Check VAULT_ADDR"
        raise error_of_status(status)(f"it failed (status {status}). {hint}")


def _is_public(name: str, value: object) -> bool:
    """Whether a field of a secret may be shown: an address, which errors name, or one of `PUBLIC_FIELDS`."""
    return name in PUBLIC_FIELDS or (isinstance(value, str) and value.startswith(("https://", "http://")))


def _part(answer: object, *names: str) -> Any:  # noqa: ANN401 - JSON
    """A part of an answer of Vault's.

    Raises:
        PermanentServiceError: The answer is none of Vault's.
    """
    for name in names:
        if not isinstance(answer, dict) or name not in answer:
            raise PermanentServiceError(NO_VAULT)
        answer = answer[name]
    return answer


def _variable(name: str, *, or_file: Path | None = None) -> str:
    """A secret in an environment variable, else in a file, if one is named.

    Raises:
        AccessRefusedError: It is in neither.
    """
    value = os.environ.get(name, "").strip()
    if value:
        return _sendable(value, name)
    if or_file:
        return _content(or_file, instead_of=name)
    raise AccessRefusedError(f"{name} is not set. Set it, or choose another VAULT_AUTH_METHOD")


def _content(path: Path, *, instead_of: str = "VAULT_JWT_PATH") -> str:
    """A secret in a file.

    Raises:
        AccessRefusedError: There is no such file, or nothing in it.
    """
    try:
        value = path.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError, RuntimeError) as error:  # the last where nobody's home is known
        message = (
            f"{path} cannot be read ({type(error).__name__}). Set {instead_of}, or choose another VAULT_AUTH_METHOD"
        )
        raise AccessRefusedError(message) from None
    return _sendable(value, str(path))


def _sendable(value: str, source: str) -> str:
    """The value, if an HTTP header can hold it.

    Raises:
        AccessRefusedError: It is empty, or has characters that no token has.
    """
    if not value or not value.isascii() or not value.isprintable():
        raise AccessRefusedError(f"what is in {source} is no token or key: it has to be one line of ASCII")
    remember_secrets(value)
    return value


def _signed_caller_identity_request() -> dict[str, str]:
    """A signed `GetCallerIdentity`, which Vault puts to AWS to learn whose signature it is.

    The format is that of the login at https://developer.hashicorp.com/vault/api-docs/auth/aws.

    Raises:
        AccessRefusedError: There are no credentials of AWS here.
    """
    from botocore.auth import SigV4Auth  # noqa: PLC0415
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    from botocore.session import Session  # noqa: PLC0415

    try:
        credentials = Session().get_credentials()
        keys = credentials.get_frozen_credentials() if credentials else None
    except (BotoCoreError, ClientError) as error:
        raise AccessRefusedError(f"the AWS credentials cannot be used ({type(error).__name__})") from None
    if keys is None:
        raise AccessRefusedError("there are no AWS credentials here. Set AWS_PROFILE, or run where a role is attached")
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
