"""The proxies that stand in the middle. Ours has the defaults that users get. nginx, HAProxy and, beside them, `tuned`
(ours once more) are told the same: checks every second (300 ms while a verdict changes or is down), a connect timeout of
1 s, an answer timeout of 2 s, 3 failures down, 2 successes up, nothing unsafe repeated. nginx and HAProxy get what their
manuals offer for this beyond that; docs/fault-suite.md prints these settings."""

import os
import signal
import socket
import ssl
import subprocess
import time

from support.clock import SLOW
from support.proxy import TOKEN, Edge, run

from .stage import REGIONS

HOST = "api.example.com"
LIBFAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"

class Nearhop:
    name = "nearhop"

    def __init__(self, stage):
        environment = {}
        if stage.fault.clock:
            stage.clock = stage.folder / "clock"
            stage.clock.write_text("+0\n")
            environment = {"LD_PRELOAD": LIBFAKETIME, "FAKETIME_TIMESTAMP_FILE": str(stage.clock),
                           "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                           "DONT_FAKE_MONOTONIC": "1"}  # fmt: skip
        self.edge = Edge(stage.folder / "edge", self.config(stage), ca=stage.authority.file, environment=environment)
        self.port = int(self.edge.https.rpartition(":")[2])

    def config(self, stage):
        """The defaults, and what the stage is made of: addresses, certificates, names, where the log goes."""
        identity = stage.authority.leaf(HOST)
        config = {
            "workers": 2,  # as many as the others have, whatever the machine has
            "listeners": [{"address": "127.0.0.1:0", "protocol": "https"}],
            "tls": {"certificates": [{"certificate": str(identity.certificate), "private_key": str(identity.private_key)}]},
            "clients": {"trusted": [{"cidr": "127.0.0.1/32"}]},  # the load says where its clients are
            "origins": {},
            "sites": {"main": {"hosts": [HOST], "default": True, **stage.fault.site}},
            "admin": {"listen": "127.0.0.1:0", "token": TOKEN},
            "log": {"access": str(stage.folder / "access.log"), "format": "json", "level": "info"},
            "shutdown": {"grace": "0s", "drain": "2s"},  # when the row is over
        }  # fmt: skip
        for region, origin in stage.origins.items():
            name = f"{region}.origins.test" if stage.resolver else "127.0.0.1"
            config["origins"][region] = {"url": f"https://{name}:{origin.port}", "region": region,
                                         "ca": str(stage.authority.file)}  # fmt: skip
        if stage.resolver:
            config["dns"] = {"servers": [stage.resolver.server]}
        if stage.control:
            config["isolation"] = {"control": f"dns://{stage.control.server}"}
        return config

    def ready(self):
        return self.edge.admin("/readyz").status == 200

    def check(self):
        assert self.edge.process.poll() is None, f"the edge ended:\n{self.edge.log.text()}"

    def attempts(self, region):
        """Every attempt that ended, whatever came of it."""
        return self.edge.metrics().sum("nearhop_attempts_total", origin=region)

    def verdicts(self):
        """How often verdicts changed, the first ones apart."""
        return max(0, int(self.edge.metrics().sum("nearhop_verdict_changes_total")) - len(REGIONS))

    def stop(self):
        self.edge.stop()


class Tuned(Nearhop):
    """As quick and as incautious as the others are told to be."""

    name = "tuned"

    def config(self, stage):
        config = super().config(stage)
        config["health"] = {"interval": "1s", "interval_transitional": "300ms", "interval_down": "300ms",
                            "timeout": "2s", "connect_timeout": "1s", "fall": 3, "rise": 2}  # fmt: skip
        # As hair-triggered as three failures in two seconds (nginx) at a hundred requests a second.
        config["passive"] = {"ejection": "2s", "ejection_max": "10s", "ratio_percent": "2%", "ratio_minimum": 20,
                             "ratio_window": "2s"}  # fmt: skip
        config["failback"] = {"hold": "0s", "ramp": "0s"}
        config["failover"] = {"tls_timeout": "1s"}
        config["limits"] = {"origin_body_timeout": "2s"}
        config["sites"]["main"]["head_timeout"] = "2s"
        if stage.resolver:
            config["dns"].update(min_ttl="1s", timeout="500ms")
        return config


def knows(site):
    """Whether this binary takes those keys of a site."""
    yaml = (
        "listeners: [{address: '127.0.0.1:0', protocol: http, plain: serve}]\norigins: {us-east-1: 'https://a.test'}\n"
        "sites: {main: {default: true, " + ", ".join(f"{key}: {value}" for key, value in site.items()) + "}}\n"
    )
    return run("check", "/dev/stdin", input=yaml, stdin=None).returncode == 0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Other:
    """A proxy that writes no event log of ours."""

    def __init__(self, stage):
        self.folder = stage.folder / self.name
        self.folder.mkdir()
        identity = stage.authority.leaf(HOST)
        self.pem = self.folder / "edge.pem"
        self.pem.write_bytes(identity.certificate.read_bytes() + identity.private_key.read_bytes())
        self.file = self.folder / "configuration"
        for last in (False, False, True):  # it cannot bind port 0, so a port may be taken before it is ours
            self.port = free_port()
            self.file.write_text(self.config(stage))
            self.output = open(self.folder / "output", "wb")
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=self.output,
                                            stderr=self.output, start_new_session=True)  # fmt: skip
            if self._started():
                return
            self.stop()
            assert not last, f"{self.name}: {(self.folder / 'output').read_text()}"

    def _started(self):
        deadline = time.monotonic() + 15 * SLOW
        while time.monotonic() < deadline and self.process.poll() is None:
            if self._answers():
                return True
            time.sleep(0.05)
        return False

    def _answers(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain:
                with context.wrap_socket(plain, server_hostname=HOST) as stream:
                    stream.sendall(b"GET /small HTTP/1.1\r\nHost: %s\r\nX-Id: start\r\nConnection: close\r\n\r\n" % HOST.encode())
                    return stream.recv(4096).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def check(self):
        assert self.process.poll() is None, f"{self.name} ended: {(self.folder / 'output').read_text()}"

    def stop(self):
        """The session that we started, as a whole: nothing in it is worth a graceful end."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.output.close()


class Haproxy(Other):
    name = "haproxy"

    def command(self):
        return ["/usr/sbin/haproxy", "-db", "-f", str(self.file)]

    def config(self, stage):
        lines, resolvers = [], ""
        if stage.fault.dns:
            resolvers = f"""
resolvers dns
  nameserver test {stage.resolver.server}
  resolve_retries 2
  timeout resolve 1s
  timeout retry 500ms
  hold valid 1s
  hold obsolete 5s
  hold other 1h
  hold refused 1h
  hold nx 1h
  hold timeout 1h"""
        for region, origin in stage.origins.items():
            name = f"{region}.origins.test"
            tls = f"ssl verify required ca-file {stage.authority.file} sni str({name}) check-sni {name} verifyhost {name}"
            for number in range(origin.addresses):
                address = f"127.0.0.{number + 1}"
                if stage.fault.dns and number > 0:
                    continue
                if stage.fault.dns:
                    address, tls = name, tls + " resolvers dns init-addr libc,none resolve-prefer ipv4"
                lines.append(f"  server {region}-{number} {address}:{origin.port} {tls}")
        return f"""
global
  nbthread 2
  maxconn 4000
defaults
  mode http
  no log
  option http-keep-alive
  option redispatch 1
  retries 3
  retry-on all-retryable-errors
  http-reuse safe
  timeout connect 1s
  timeout client 60s
  timeout server 2s
  timeout check 2s
  timeout http-keep-alive 60s
  timeout queue 2s{resolvers}
frontend edge
  bind 127.0.0.1:{self.port} ssl crt {self.pem} alpn h2,http/1.1
  default_backend origins
backend origins
  balance roundrobin
  http-request disable-l7-retry if METH_POST
  option httpchk
  http-check send meth GET uri /health ver HTTP/1.1 hdr Host {HOST}
  default-server check inter 1s fastinter 300ms downinter 300ms rise 2 fall 3 observe layer7 error-limit 5 on-error mark-down
""" + "\n".join(lines) + "\n"  # fmt: skip


class Nginx(Other):
    name = "nginx"

    def command(self):
        return ["/usr/sbin/nginx", "-p", str(self.folder), "-c", str(self.file)]

    def config(self, stage):
        servers = "\n".join(
            f"    server 127.0.0.{number + 1}:{origin.port} max_fails=3 fail_timeout=2s;"
            for origin in stage.origins.values()
            for number in range(origin.addresses)
        )
        return f"""
daemon off;
worker_processes 2;
worker_rlimit_nofile 10000;
pid {self.folder}/pid;
error_log {self.folder}/error.log crit;
{"user root;" if os.geteuid() == 0 else ""}
events {{ worker_connections 4000; }}
http {{
  access_log off;
  client_body_temp_path {self.folder}/body;
  proxy_temp_path {self.folder}/proxy;
  fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
  keepalive_timeout 60s;
  keepalive_requests 1000000;
  upstream origins {{
    zone origins 256k;
{servers}
    keepalive 64;
    keepalive_requests 1000000;
  }}
  server {{
    listen 127.0.0.1:{self.port} ssl http2;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {self.pem};
    ssl_certificate_key {self.pem};
    location / {{
      proxy_pass https://origins;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_connect_timeout 1s;
      proxy_read_timeout 2s;
      proxy_send_timeout 2s;
      proxy_next_upstream error timeout invalid_header http_502 http_503 http_504;
      proxy_next_upstream_tries 3;
      proxy_buffers 16 16k;
      proxy_ssl_session_reuse on;
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate {stage.authority.file};
      proxy_ssl_name eu-west-1.origins.test;
      proxy_ssl_server_name on;
      proxy_ssl_protocols TLSv1.2 TLSv1.3;
    }}
  }}
}}
"""


CONTENDERS = {kind.name: kind for kind in (Nearhop, Tuned, Haproxy, Nginx)}
