"""The usual scene: a certificate for api.example.com, three regional origins, a configuration for them."""

import copy

from . import faults
from .client import HOST
from .origin import Origin
from .proxy import TOKEN

REGIONS = ("us-east-1", "eu-west-1", "ap-southeast-1")

# Country codes whose nearest of the three regions leaves no doubt.
VIEWERS = {"DE": "eu-west-1", "FR": "eu-west-1", "US": "us-east-1", "CA": "us-east-1", "BR": "us-east-1",
           "JP": "ap-southeast-1", "SG": "ap-southeast-1", "AU": "ap-southeast-1"}  # fmt: skip

# Probes fast enough for tests, so that a verdict changes within a second.
QUICK = {"interval": "400ms", "interval_transitional": "100ms", "interval_down": "200ms", "timeout": "400ms",
         "connect_timeout": "300ms", "fall": 2, "rise": 2}  # fmt: skip
# One probe at the start and then none: what happens afterwards is the traffic's own doing.
ONCE = {"interval": "1h", "interval_transitional": "1h", "interval_down": "1h"}


def quick(**changes):
    from .clock import SLOW

    probe = dict(QUICK, **changes)
    if SLOW > 1:  # an instrumented edge on two busy cores must not time its own probes out
        probe.update(interval="1s", interval_transitional="500ms", interval_down="1s", timeout="900ms",
                     connect_timeout="800ms")  # fmt: skip
        probe.update(changes)
    return probe


class Scene:
    """Certificates and three origins. `config()` is a full configuration of an edge in front of them."""

    def __init__(self, authority, *, tls=True, regions=REGIONS):
        self.authority = authority
        self.edge_identity = authority.leaf(HOST, "*.example.com", "example.com")
        self.origin_identity = authority.leaf("127.0.0.1", "127.0.0.2", "127.0.0.3", "localhost", "*.origins.test")
        self.origins = {name: Origin(name, self.origin_identity if tls else None) for name in regions}

    def __getitem__(self, name):
        return self.origins[name]

    def __iter__(self):
        return iter(self.origins.values())

    def stop(self):
        for origin in self:
            origin.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def forget(self):
        for origin in self:
            origin.forget()

    def renew(self):
        """As new: nothing is recorded, and every origin answers normally."""
        self.forget()
        for origin in self:
            origin.answer = faults.normally

    def requests(self):
        """Everything that reached any origin, probes apart."""
        return [request for origin in self for request in origin.requests]

    def attempts(self):
        return sum(origin.attempts for origin in self)

    def origin_config(self, name, **changes):
        return {"url": self[name].url, "region": name, "ca": str(self.authority.file), "health": dict(ONCE), **changes}

    def config(self, *, health=None, site=None, **changes):
        """`health` goes into each origin, `site` into the one site; other keys replace top-level ones."""
        config = {
            "workers": 2,
            "listeners": [{"address": "127.0.0.1:0", "protocol": "https"}],
            "tls": {"certificates": [self.certificate()]},
            "clients": {"trusted": [{"cidr": "127.0.0.1/32"}]},
            "origins": {name: self.origin_config(name) for name in self.origins},
            "sites": {
                "main": {
                    "hosts": [HOST],
                    "default": False,
                    "origins": list(self.origins),
                    "policy": "nearest",
                    "decision_header": True,
                }
            },
            "admin": {"listen": "127.0.0.1:0", "token": TOKEN},
            "log": {"access": "stdout", "format": "json", "level": "info"},
            "failback": {"hold": "0s", "ramp": "0s"},  # an origin is back as soon as its verdict says so
            "shutdown": {"grace": "0s", "drain": "2s"},
        }
        for origin in config["origins"].values():
            origin["health"].update(health or {})
        config["sites"]["main"].update(site or {})
        config.update(copy.deepcopy(changes))
        return config

    def certificate(self, identity=None):
        identity = identity or self.edge_identity
        return {"certificate": str(identity.certificate), "private_key": str(identity.private_key)}


def viewer(country, **more):
    """Fields of a CDN that says where its viewer is."""
    return [("CloudFront-Viewer-Country", country), *more.items()]
