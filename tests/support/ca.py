"""A certificate authority of our own: good leaves, and every kind of bad one."""

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, as PEM files."""

    certificate: Path
    private_key: Path

    def serve(self, tls1_2_only=False):
        """An OpenSSL context for a test origin."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.private_key)
        if tls1_2_only:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context

    def serial(self):
        return x509.load_pem_x509_certificate(self.certificate.read_bytes()).serial_number


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


_USAGE = {False: ExtendedKeyUsageOID.SERVER_AUTH, True: ExtendedKeyUsageOID.CLIENT_AUTH}


KINDS = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


def _alternative(name):
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Authority:
    """Signs leaves into `folder`. `self.file` is what the edge or a client verifies with."""

    def __init__(self, folder, name="Nearhop Test CA"):
        self.folder = Path(folder)
        self._count = 0
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        now = datetime.datetime.now(datetime.timezone.utc)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 30 * DAY)
            .not_valid_after(now + 365 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.file = self.folder / f"{name.replace(' ', '-').lower()}.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def leaf(self, *names, begins=-1, ends=90, self_signed=False, client=False, subject=None, kind="P-256"):
        """A leaf for `names` (host names, addresses or URIs; none: it has its common name alone), valid from `begins` to
        `ends` days from now. `client`: to be shown by a client. `kind`: of its key."""
        key = KINDS[kind]()
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subject or names[0]))
            .issuer_name(_name(subject or names[0]) if self_signed else self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins * DAY)
            .not_valid_after(now + ends * DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([_USAGE[client]]), critical=False)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        if not self_signed:  # Python 3.13 verifies strictly
            issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
            builder = builder.add_extension(issuer, critical=False)
        signer = key if self_signed else self._key
        certificate = builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256())
        self._count += 1
        stem = (names[0] if names else subject).replace("*", "any").replace("/", "-")
        return self._write(f"leaf-{self._count}-{stem}", certificate, key)

    def ocsp(self, identity, *, begins=-1, ends=1, signer=None):
        """An OCSP response in a file: the certificate is good from `begins` to `ends` days from now."""
        now = datetime.datetime.now(datetime.timezone.utc)
        leaf = x509.load_pem_x509_certificate(identity.certificate.read_bytes())
        signer = signer or self
        response = (
            ocsp.OCSPResponseBuilder()
            .add_response(leaf, self._certificate, hashes.SHA1(), ocsp.OCSPCertStatus.GOOD, now + begins * DAY,
                          now + ends * DAY, None, None)  # fmt: skip
            .responder_id(ocsp.OCSPResponderEncoding.HASH, signer._certificate)
            .sign(signer._key, hashes.SHA256())
        )
        self._count += 1
        file = self.folder / f"ocsp-{self._count}.der"
        file.write_bytes(response.public_bytes(serialization.Encoding.DER))
        return file

    def expired(self, *names):
        return self.leaf(*names, begins=-20, ends=-1)

    def self_signed(self, *names):
        return self.leaf(*names, self_signed=True)

    def _write(self, stem, certificate, key):
        files = Identity(self.folder / f"{stem}.crt", self.folder / f"{stem}.key")
        files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files.private_key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return files
