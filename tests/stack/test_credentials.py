import stat
from pathlib import Path

import pytest
from cryptography import x509

from homma.errors import StackError
from homma.stack.servers.certificates import ensure_certificates
from homma.stack.servers.credentials import (
    Credentials,
    ensure_credentials,
    ensure_secrets,
    read_credentials,
    write_private,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_login_is_created_once_and_stored(tmp_path: Path) -> None:
    assert read_credentials(tmp_path) is None
    login = ensure_credentials(tmp_path)
    assert mode(tmp_path / "credentials.env") == 0o600
    assert len(login.access_key) == 20
    assert len(login.secret_key) > 40
    assert ensure_credentials(tmp_path) == login == read_credentials(tmp_path)
    (tmp_path / "other").mkdir()
    assert ensure_credentials(tmp_path / "other") != login


def test_the_file_can_be_sourced_by_a_shell(tmp_path: Path) -> None:
    login = ensure_credentials(tmp_path)
    assert (tmp_path / "credentials.env").read_text() == (
        f"AWS_ACCESS_KEY_ID={login.access_key}\nAWS_SECRET_ACCESS_KEY={login.secret_key}\n"
    )


def test_a_user_can_supply_the_login(tmp_path: Path) -> None:
    write_private(tmp_path / "credentials.env", "AWS_SECRET_ACCESS_KEY=b=c\nAWS_ACCESS_KEY_ID=a\n")
    assert ensure_credentials(tmp_path) == Credentials("a", "b=c")


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o601])
def test_a_file_that_others_can_access_is_refused(tmp_path: Path, bits: int) -> None:
    ensure_credentials(tmp_path)
    (tmp_path / "credentials.env").chmod(bits)
    with pytest.raises(StackError, match="by others; run `chmod 600"):
        read_credentials(tmp_path)
    with pytest.raises(StackError, match="by others; run `chmod 600"):
        ensure_credentials(tmp_path)


def test_a_file_that_lacks_a_name_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "keys.env"
    write_private(path, "ONE=1\nTWO=\n")
    with pytest.raises(StackError, match=r"keys\.env has no value for TWO"):
        ensure_secrets(path, {"ONE": lambda: "new", "TWO": lambda: "new"})
    assert path.read_text() == "ONE=1\nTWO=\n"


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="cannot be written"):
        ensure_credentials(tmp_path / "none")


def test_certificates_are_created_once_with_a_private_key_file(tmp_path: Path) -> None:
    ensure_certificates(tmp_path / "tls")
    files = {path.name: path.read_bytes() for path in (tmp_path / "tls").iterdir()}
    assert set(files) == {"ca.pem", "cert.pem", "key.pem"}
    assert mode(tmp_path / "tls") == 0o700
    authority = x509.load_pem_x509_certificate(files["ca.pem"])
    x509.load_pem_x509_certificate(files["cert.pem"]).verify_directly_issued_by(authority)
    ensure_certificates(tmp_path / "tls")
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "tls").iterdir()}
    (tmp_path / "tls" / "key.pem").chmod(0o644)
    with pytest.raises(StackError, match=r"key\.pem can be read"):
        ensure_certificates(tmp_path / "tls")


def test_incomplete_certificates_are_created_again(tmp_path: Path) -> None:
    ensure_certificates(tmp_path)
    before = (tmp_path / "key.pem").read_bytes()
    (tmp_path / "ca.pem").unlink()
    ensure_certificates(tmp_path)
    assert (tmp_path / "key.pem").read_bytes() != before
