"""Certificates for the components of one server to authenticate each other.

One authority, whose key is discarded at once, and one certificate for both ends of a connection.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from homma.stack.servers.credentials import read_private, write_private

AUTHORITY: Final = "ca.pem"
CERTIFICATE: Final = "cert.pem"
KEY: Final = "key.pem"
#: They never expire, because nothing renews them and they are used on this machine only.
_FROM: Final = datetime(2000, 1, 1, tzinfo=UTC)
_UNTIL: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_BOTH_ENDS: Final = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


def ensure_certificates(folder: Path) -> None:
    """Create the three files if they are missing. Raises StackError if others can read the key."""
    # The authority's file is written last: if it exists, the others do.
    if (folder / AUTHORITY).exists():
        read_private(folder / KEY)
        return
    authority = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_private(folder / KEY, private.decode())
    usage = x509.ExtendedKeyUsage(_BOTH_ENDS)
    leaf = _unsigned("homma", key.public_key(), is_authority=False).add_extension(usage, False)
    write_private(folder / CERTIFICATE, _signed(leaf, authority))
    root = _unsigned("homma authority", authority.public_key(), is_authority=True)
    write_private(folder / AUTHORITY, _signed(root, authority))


def _unsigned(
    name: str, key: ec.EllipticCurvePublicKey, *, is_authority: bool
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name("homma authority"))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(is_authority, 0 if is_authority else None), True)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _signed(certificate: x509.CertificateBuilder, authority: ec.EllipticCurvePrivateKey) -> str:
    signed = certificate.sign(authority, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()
