"""OpenPGP messages: sound ones, and each way to break one or to lack a key."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ol_orchestrate.lib.errors import SettingsError
from ol_orchestrate.lib.openpgp import Decryptor, KeyRing, OpenPgpError, PrivateKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ol_orchestrate.testing.openpgp_keys import GnuPG

ADA, EVE = "ada@example.org", "eve@example.org"
CONTENT = b"id\tname\n1\tAda\n" * 50_000


@pytest.fixture(scope="module")
def ada(gnupg: GnuPG) -> Iterator[Decryptor]:
    with KeyRing(PrivateKeys(gnupg.private_key(ADA))) as ring:
        yield ring.decryptor


def in_pieces(data: bytes, size: int = 10_000) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="as-by-default"),
        pytest.param(["--armor"], id="as-text"),
        pytest.param(["--compress-algo", "none"], id="not-packed"),
        pytest.param(["--recipient", EVE], id="for-two-keys"),
        pytest.param(["--throw-keyids"], id="for-an-unnamed-key"),
        pytest.param(["--sign", "--local-user", EVE], id="signed-by-somebody-unknown"),
    ],
)
def test_content_of_a_message_comes_out(arguments: list[str], gnupg: GnuPG, ada: Decryptor) -> None:
    message = gnupg.message(CONTENT, ADA, *arguments)
    assert b"".join(ada.decrypt(in_pieces(message))) == CONTENT


def test_an_empty_content_is_one(gnupg: GnuPG, ada: Decryptor) -> None:
    assert list(ada.decrypt([gnupg.message(b"", ADA)])) == []


@pytest.mark.parametrize("at", [30, 5_000, -1])
def test_no_flipped_byte_goes_unnoticed(at: int, gnupg: GnuPG, ada: Decryptor) -> None:
    message = bytearray(gnupg.message(CONTENT, ADA, "--compress-algo", "none"))
    message[at] ^= 1
    with pytest.raises(OpenPgpError):
        list(ada.decrypt(in_pieces(bytes(message))))


@pytest.mark.parametrize("size", [40, 200, 50_000])
def test_a_message_that_breaks_off_is_an_error(size: int, gnupg: GnuPG, ada: Decryptor) -> None:
    message = gnupg.message(CONTENT, ADA, "--compress-algo", "none")
    with pytest.raises(OpenPgpError):
        list(ada.decrypt(in_pieces(message[:size])))


def test_a_message_without_integrity_protection_is_refused(gnupg: GnuPG, ada: Decryptor) -> None:
    message = gnupg.message(CONTENT, ADA, "--rfc2440", "--disable-mdc", "--cipher-algo", "CAST5")
    with pytest.raises(OpenPgpError, match="no integrity protection"):
        list(ada.decrypt([message]))


def test_a_message_for_another_key_names_that_key(gnupg: GnuPG, ada: Decryptor) -> None:
    listing = gnupg.run("--with-colons", "--list-keys", EVE).decode()
    key = next(line.split(":")[4] for line in listing.splitlines() if line.startswith("sub"))
    with pytest.raises(OpenPgpError, match=f"for key {key}, and there is no private key"):
        list(ada.decrypt([gnupg.message(CONTENT, EVE)]))


@pytest.mark.parametrize("content", [b"", b"text", bytes(500), b"\x84\x5e\x03" + bytes(200)])
def test_what_is_no_message_is_an_error(content: bytes, ada: Decryptor) -> None:
    with pytest.raises(OpenPgpError):
        list(ada.decrypt([content]))


def test_a_signed_message_in_clear_is_not_taken_for_an_encrypted_one(gnupg: GnuPG, ada: Decryptor) -> None:
    message = gnupg.run("--local-user", ADA, "--sign", stdin=CONTENT)
    with pytest.raises(OpenPgpError, match="no OpenPGP message that is encrypted"):
        list(ada.decrypt([message]))


def test_a_message_for_a_passphrase_is_an_error(gnupg: GnuPG, ada: Decryptor) -> None:
    message = gnupg.run("--passphrase", "sesame", "--symmetric", stdin=CONTENT)
    with pytest.raises(OpenPgpError, match="encrypted for a key"):
        list(ada.decrypt([message]))


def test_a_message_in_a_message_is_an_error(gnupg: GnuPG, ada: Decryptor) -> None:
    with pytest.raises(OpenPgpError, match="holds another OpenPGP message"):
        list(ada.decrypt([gnupg.message(gnupg.message(CONTENT, ADA), ADA)]))


@pytest.mark.parametrize("rest", [b"rest", b"message"])
def test_what_follows_a_message_is_an_error(rest: bytes, gnupg: GnuPG, ada: Decryptor) -> None:
    message = gnupg.message(CONTENT, ADA)
    with pytest.raises(OpenPgpError):
        list(ada.decrypt([message, message if rest == b"message" else rest]))


def test_a_bomb_ends_before_it_fills_memory(gnupg: GnuPG, ada: Decryptor) -> None:
    message = gnupg.message(bytes(100 << 20), ADA, "--compress-algo", "zlib", "--compress-level", "9")
    content = ada.decrypt([message])
    with pytest.raises(OpenPgpError, match="250 times"):
        deque(content, maxlen=0)
    assert sum(map(len, content)) == 0


class TestSignatures:
    @pytest.fixture
    def ring(self, gnupg: GnuPG) -> Iterator[KeyRing]:
        """Ada's keys, and the public one of Eve."""
        with KeyRing(PrivateKeys(gnupg.private_key(ADA) + gnupg.public_key(EVE))) as ring:
            yield ring

    def test_right_one_by_a_known_key_is_as_good_as_none(self, gnupg: GnuPG, ring: KeyRing) -> None:
        message = gnupg.message(CONTENT, ADA, "--sign", "--local-user", EVE)
        assert b"".join(ring.decryptor.decrypt(in_pieces(message))) == CONTENT
        assert ring.unchecked_signers() == {}

    def test_wrong_one_by_a_known_key_fails_the_message(self, gnupg: GnuPG, ring: KeyRing) -> None:
        message = gnupg.changed_after_signing(CONTENT, EVE, ADA)
        with pytest.raises(OpenPgpError, match=r"its signature by key [0-9A-F]{16} is wrong"):
            list(ring.decryptor.decrypt(in_pieces(message)))

    def test_one_by_a_key_that_nobody_has_is_counted(self, gnupg: GnuPG) -> None:
        message = gnupg.message(CONTENT, ADA, "--sign", "--local-user", EVE)
        with KeyRing(PrivateKeys(gnupg.private_key(ADA))) as ring:
            for _ in range(2):
                assert b"".join(ring.decryptor.decrypt(in_pieces(message))) == CONTENT
            assert ring.unchecked_signers() == {gnupg.fingerprint(EVE)[-16:]: 2}


class TestKeys:
    def test_all_keys_of_one_export_are_used(self, gnupg: GnuPG) -> None:
        exported = gnupg.private_key(ADA) + gnupg.private_key(EVE)
        with KeyRing(PrivateKeys(exported)) as ring:
            for name in (ADA, EVE):
                assert b"".join(ring.decryptor.decrypt([gnupg.message(b"x", name)])) == b"x"
            assert len(ring.check()) == 2

    @pytest.mark.parametrize(
        "join",
        [
            pytest.param(lambda ada, eve, _: ada.strip() + eve, id="text-without-a-line-end-between"),
            pytest.param(lambda ada, _, binary: ada + binary, id="binary-after-text"),
            pytest.param(lambda ada, _, binary: binary + ada, id="text-after-binary"),
            pytest.param(lambda ada, eve, _: b"\xef\xbb\xbf# old\n" + ada + b"# new\n\xef\xbb\xbf" + eve, id="marks"),
        ],
    )
    def test_all_keys_are_found_however_they_were_joined(
        self, join: Callable[[bytes, bytes, bytes], bytes], gnupg: GnuPG
    ) -> None:
        binary = gnupg.run("--export-secret-keys", EVE)
        with KeyRing(PrivateKeys(join(gnupg.private_key(ADA), gnupg.private_key(EVE), binary))) as ring:
            assert len(ring.check()) == 2

    def test_a_key_that_cannot_be_read_is_told_beside_one_that_can(self, gnupg: GnuPG) -> None:
        ada = gnupg.private_key(ADA)
        with pytest.raises(SettingsError, match=f"no private key .* from byte {len(ada):,} on"):
            KeyRing(PrivateKeys(ada + gnupg.private_key(EVE)[:200]))

    def test_messages_for_an_expired_and_for_a_rotated_subkey_are_read(self, gnupg: GnuPG) -> None:
        gnupg.make_key("rota", made="20200101T000000", expires="never")
        before = gnupg.message(b"before", "rota")
        gnupg.add_subkey("rota", made="20210101T000000", expires="1y")
        during = gnupg.message(b"during", "rota", "--faked-system-time", "20210601T000000")
        assert before.startswith(during[:2])
        with KeyRing(PrivateKeys(gnupg.private_key("rota"))) as ring:
            assert b"".join(ring.decryptor.decrypt([before])) == b"before"
            assert b"".join(ring.decryptor.decrypt([during])) == b"during"

    def test_a_passphrase_opens_a_key_and_a_wrong_one_does_not(self, gnupg: GnuPG) -> None:
        right = "open sesame"
        gnupg.make_key("locked", passphrase=right)
        exported, message = gnupg.private_key("locked", right), gnupg.message(b"x", "locked")
        with KeyRing(PrivateKeys(exported, right)) as ring:
            assert b"".join(ring.decryptor.decrypt([message])) == b"x"
            ring.check()
        for passphrase in ("wrong", "wrong\ntoo", None):
            with KeyRing(PrivateKeys(exported, passphrase)) as ring:
                with pytest.raises(OpenPgpError, match="passphrase is wrong or missing"):
                    list(ring.decryptor.decrypt([message]))
                with pytest.raises(SettingsError, match="passphrase is wrong or missing"):
                    ring.check()

    def test_keys_with_passphrases_of_their_own_open_their_messages(self, gnupg: GnuPG) -> None:
        exported, messages = gnupg.private_key(ADA), {ADA: gnupg.message(CONTENT, ADA)}
        for name, expires in (("first", "1y"), ("second", "never")):
            gnupg.make_key(name, passphrase=f"{name} sesame", made="20210101T000000", expires=expires)
            exported += gnupg.private_key(name, f"{name} sesame")
            messages[name] = gnupg.message(CONTENT, name, "--faked-system-time", "20210601T000000", "--throw-keyids")
        with KeyRing(PrivateKeys(exported, "first sesame\r\nsecond sesame\n")) as ring:
            for message in reversed(messages.values()):
                assert b"".join(ring.decryptor.decrypt(in_pieces(message))) == CONTENT
            assert len(ring.check()) == 2

    @pytest.mark.parametrize("exported", [b"", b"text", b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n"])
    def test_what_is_no_private_key_is_an_error(self, exported: bytes) -> None:
        with pytest.raises(SettingsError, match="no private key"):
            KeyRing(PrivateKeys(exported))

    def test_a_public_key_is_no_private_one(self, gnupg: GnuPG) -> None:
        with pytest.raises(SettingsError, match="no private key"):
            KeyRing(PrivateKeys(gnupg.run("--armor", "--export", ADA)))

    def test_keys_are_gone_with_their_ring_and_show_nowhere(self, gnupg: GnuPG) -> None:
        keys = PrivateKeys(gnupg.private_key(ADA), "sesame")
        with KeyRing(keys) as ring:
            home = Path(ring.decryptor.home)
            assert home.stat().st_mode & 0o077 == 0
            assert "sesame" not in repr(keys) + repr(ring.decryptor)
        assert not home.exists()

    def test_keys_of_a_killed_process_are_gone_with_the_next_ring(self, gnupg: GnuPG, tmp_path: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="k-") as folder:
            (tmp_path / "key").write_bytes(gnupg.private_key(ADA))
            script = (
                "import os, sys; from ol_orchestrate.lib.openpgp import *\n"
                "ring = KeyRing(PrivateKeys(open(sys.argv[1], 'rb').read())); os.kill(os.getpid(), 9)"
            )
            environment = {**os.environ, "TMPDIR": folder}
            subprocess.run([sys.executable, "-c", script, tmp_path / "key"], env=environment, check=False)  # noqa: S603
            assert list(Path(folder).rglob("*.key"))
            script = "import sys; from ol_orchestrate.lib.private_folders import *; PrivateFolder('x-').close()"
            subprocess.run([sys.executable, "-c", script], env=environment, check=True)  # noqa: S603
            assert not list(Path(folder).rglob("*.key"))

    def test_without_gnupg_the_message_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(SettingsError, match="install gpg"):
            KeyRing(PrivateKeys(b"-----BEGIN PGP"))
