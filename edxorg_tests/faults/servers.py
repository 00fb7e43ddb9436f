"""The real servers, which all rounds share, and what is in Vault."""

from __future__ import annotations

import json
import secrets
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree as ET

import hvac
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from edxorg_tests.support.forwarding import ask
from ol_orchestrate.testing.loopback_certificates import certify_loopback
from ol_orchestrate.testing.openpgp_keys import home_of_gnupg
from ol_orchestrate.testing.servers import fake_gcs, moto, openbao, without_configuration_of_the_developer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ol_orchestrate.testing.openpgp_keys import GnuPG

MOUNT = "secret-data"
GPG_SECRET = "pipelines/edx/gpg"  # noqa: S105 - a path
RECIPIENT = "ada@example.org"


@dataclass(frozen=True)
class Servers:
    """The addresses of the servers, and the way into Vault.

    Attributes:
        s3: Moto.
        gcs: The emulator.
        vault: OpenBao.
        login: Variables with the credentials for Vault; `vault_token` is its owner's.
        google_key: The private key of a service account.
        certificate: A certificate that nobody trusts, and its key.
    """

    s3: str
    gcs: str
    vault: str
    vault_token: str = field(repr=False)
    login: Mapping[str, str] = field(repr=False)
    certificate: Path
    google_key: str = field(repr=False)
    gnupg: GnuPG


@contextmanager
def running(folder: Path) -> Iterator[Servers]:
    """Run all servers until the block ends."""
    with ExitStack() as stack:
        for name in ("gcloud", "moto", "gcs", "openbao"):
            (folder / name).mkdir()
        stack.enter_context(without_configuration_of_the_developer(folder / "gcloud"))
        s3 = stack.enter_context(moto(folder / "moto"))
        gcs = stack.enter_context(fake_gcs(folder / "gcs"))
        vault = stack.enter_context(openbao(folder / "openbao"))
        gnupg = stack.enter_context(home_of_gnupg(RECIPIENT))
        certify_loopback(folder / "untrusted.pem")
        yield Servers(
            s3=s3.endpoint_url,
            gcs=gcs.endpoint_url,
            vault=vault.address,
            vault_token=vault.token,
            login=_furnish(vault.address, vault.token, gnupg),
            certificate=folder / "untrusted.pem",
            google_key=_private_key(),
            gnupg=gnupg,
        )


def _furnish(address: str, token: str, gnupg: GnuPG) -> dict[str, str]:
    """Put the secrets into Vault; return the variables of a login that may read them."""
    client = hvac.Client(address, token=token)
    try:
        client.sys.enable_secrets_engine("kv", path=MOUNT, options={"version": "1"})
        client.sys.enable_auth_method("approle")
        client.sys.create_or_update_policy("edx", f'path "{MOUNT}/*" {{ capabilities = ["read"] }}')
        client.auth.approle.create_or_update_approle("edxorg", token_policies=["edx"])
        private_key = {"private_key": gnupg.private_key(RECIPIENT).decode()}
        client.secrets.kv.v1.create_or_update_secret(GPG_SECRET, private_key, mount_point=MOUNT)
        return {
            "VAULT_AUTH_METHOD": "approle",
            "VAULT_ROLE_ID": client.auth.approle.read_role_id("edxorg")["data"]["role_id"],
            "VAULT_SECRET_ID": client.auth.approle.generate_secret_id("edxorg")["data"]["secret_id"],
        }
    finally:
        client.adapter.close()


def keep_in_vault(servers: Servers, path: str, fields: Mapping[str, str]) -> None:
    """Write a secret."""
    client = hvac.Client(servers.vault, token=servers.vault_token)
    client.secrets.kv.v1.create_or_update_secret(path, fields, mount_point=MOUNT)
    client.adapter.close()


def _private_key() -> str:
    made = rsa.generate_private_key(65537, 2048)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return made.private_bytes(*form).decode()


class Folder:
    """A folder in place of a bucket."""

    def __init__(self, path: Path) -> None:
        path.mkdir(exist_ok=True)
        self.path = path
        self.name = path.name

    @property
    def url(self) -> str:
        return f"file://{self.path}"

    def put(self, key: str, content: bytes) -> None:
        """Write an object."""
        path = self.path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def objects(self) -> dict[str, bytes]:
        """Return all objects."""
        return {
            path.relative_to(self.path).as_posix(): path.read_bytes() for path in self.path.rglob("*") if path.is_file()
        }


class Bucket:
    """A bucket, reached without any proxy and without the product's own clients."""

    def __init__(self, server: str, scheme: str) -> None:
        self._address = urlsplit(server).netloc
        self.scheme = scheme
        self.name = f"bucket-{secrets.token_hex(6)}"
        if scheme == "s3":
            self._ask("PUT", f"/{self.name}")
        else:
            self._ask("POST", "/storage/v1/b?project=testing", json.dumps({"name": self.name}).encode())

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.name}"

    def put(self, key: str, content: bytes) -> None:
        """Write an object."""
        if self.scheme == "s3":
            self._ask("PUT", f"/{self.name}/{quote(key)}", content)
        else:
            name = quote(key, safe="")
            self._ask("POST", f"/upload/storage/v1/b/{self.name}/o?uploadType=media&name={name}", content)

    def objects(self) -> dict[str, bytes]:
        """Return all objects."""
        return {key: self._ask("GET", f"/{self.name}/{quote(key)}") for key in self._keys()}

    def _keys(self) -> list[str]:
        if self.scheme == "s3":
            listed = ET.fromstring(self._ask("GET", f"/{self.name}?list-type=2"))  # noqa: S314 - of our server
            return [each.text or "" for each in listed.iter() if each.tag.endswith("}Key") or each.tag == "Key"]
        listed = json.loads(self._ask("GET", f"/storage/v1/b/{self.name}/o"))
        return [each["name"] for each in listed.get("items", [])]

    def _ask(self, method: str, target: str, body: bytes | None = None) -> bytes:
        headers = {"Content-Type": "application/json", "Authorization": "AWS testing:unchecked"}
        return ask(self._address, method, target, body, headers)
