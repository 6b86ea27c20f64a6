"""TLS as clients come with it: contexts for one version or with a certificate, and the authority of such
certificates."""

import ssl

import pytest

from .ca import Authority
from .client import trusting

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    """The authority of client certificates."""
    return Authority(tmp_path_factory.mktemp("clients"), "Clients CA")


def context_of(ca, identity=None, version=None, protocols=None):
    context = trusting(ca)
    if identity:
        context.load_cert_chain(identity.certificate, identity.private_key)
    if version:
        context.minimum_version = context.maximum_version = version
    if protocols:
        context.set_alpn_protocols(protocols)
    return context
