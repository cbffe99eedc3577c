"""Signing: images with C2PA manifests, signed by a signer made on the spot, whom nobody trusts."""

import datetime
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.declaring import GENERATED, saved

Certificate = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]
CREATED = [{"label": "c2pa.actions", "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": GENERATED}]}}]


def certificate(common: str, issuer: Certificate | None) -> Certificate:
    """A certificate that C2PA accepts as sound; nobody trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = [
        x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Some Studio"),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        for name in (common, "root")
    ]
    signer = issuer[1] if issuer else key
    start = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
    usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
    builder = (
        x509.CertificateBuilder(names[1], names[0], key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36_500))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=issuer is not None,
                key_cert_sign=issuer is None,
                crl_sign=issuer is None,
                encipher_only=False,
                decipher_only=False,
                **usage,
            ),
            critical=True,
        )
    )
    if issuer:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(signer, hashes.SHA256()), key


@contextmanager
def made_signer() -> Iterator[c2pa.Signer]:
    """A signer with a chain of two certificates."""
    root = certificate("root", None)
    leaf, key = certificate("leaf", root)
    chain = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in (leaf, root[0]))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    info = c2pa.C2paSignerInfo(alg=c2pa.C2paSigningAlg.ES256, sign_cert=chain, private_key=secret, ta_url=None)
    with c2pa.Signer.from_info(info) as made:
        yield made


def signed(
    signer: c2pa.Signer,
    format_: str,
    maker: str = "tiny painter",
    *,
    assertions: list[dict[str, Any]] | None = None,
    plain: bytes = b"",
    url: str = "",
) -> bytes:
    """An image with a manifest, which by default says that it was generated; with an address, one kept there, too."""
    manifest = {"claim_generator_info": [{"name": maker, "version": "1.0"}], "assertions": assertions or CREATED}
    out = io.BytesIO()
    with c2pa.Builder(manifest) as builder:
        if url:
            builder.set_remote_url(url)
        builder.sign(signer, f"image/{format_}", io.BytesIO(plain or saved(format_)), out)
    return out.getvalue()
