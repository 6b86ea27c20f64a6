"""The proxies that are compared: how each is configured for the same job, started on one core and stopped.

The job: TLS 1.3 with an ECDSA P-256 certificate, HTTP/1.1 keep-alive on both sides, bodies streamed, the origin told
who the client is (X-Forwarded-For, X-Forwarded-Proto), the origin's certificate verified where it is TLS. nginx and
HAProxy get what their manuals offer for speed (README.md says what was tried); nearhop runs as it comes, with
geography, metrics and health checks of three origins on.
"""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

REGIONS = ("us-east-1", "eu-west-1", "ap-southeast-1")
ORIGIN_NAME = "origin.bench.test"  # in the origin's certificate, beside 127.0.0.1


@dataclass
class Job:
    """What a proxy has to do in one scenario."""

    folder: Path  # for configuration and logs
    certificate: Path  # of the edge: PEM, certificate and key in one file
    ca: Path  # verifies the origin
    ports: list  # of the origin: three
    origin_tls: bool = False
    logged: bool = False
    http2: bool = False
    extra: list = field(default_factory=list)  # lines for this proxy, from the command line


def nearhop_config(job, port):
    scheme = "https" if job.origin_tls else "http"
    lines = [
        "workers: 1",
        f"listen: 127.0.0.1:{port}",
        f"tls: {{certificate: {job.certificate}, private_key: {job.certificate}}}",
        "clients: {trusted: [{cidr: 127.0.0.1/32}]}",  # so that each request is located by its X-Forwarded-For
        "admin: {listen: 127.0.0.1:0}",
        f"log: {{access: {job.folder / 'access.log' if job.logged else 'off'}}}",
        "origins:",
    ]
    for region, origin_port in zip(REGIONS, job.ports):
        ca = f", ca: {job.ca}" if job.origin_tls else ""
        lines.append(f"  {region}: {{url: \"{scheme}://127.0.0.1:{origin_port}\"{ca}}}")
    return "\n".join(lines + job.extra) + "\n"


# Least CPU per GiB among the settings that README.md lists.
NGINX_BUFFERS = "proxy_buffers 4 32k; proxy_buffer_size 8k; proxy_busy_buffers_size 64k; proxy_max_temp_file_size 0;"


def nginx_config(job, port, buffers=NGINX_BUFFERS):
    scheme = "https" if job.origin_tls else "http"
    log = f"{job.folder}/access.log combined buffer=64k flush=1s" if job.logged else "off"
    origin_tls = f"""
      proxy_ssl_session_reuse on;
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate {job.ca};
      proxy_ssl_name {ORIGIN_NAME};
      proxy_ssl_server_name on;
      proxy_ssl_protocols TLSv1.3;""" if job.origin_tls else ""
    return f"""
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {job.folder}/pid;
error_log {job.folder}/error.log error;
{"user root;" if os.geteuid() == 0 else ""}
events {{ worker_connections 16000; }}
http {{
  access_log {log};
  tcp_nodelay on;
  keepalive_timeout 300s;
  keepalive_requests 1000000000;
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_session_cache shared:bench:20m;
  ssl_session_tickets on;
  client_body_temp_path {job.folder}/body;
  proxy_temp_path {job.folder}/proxy;
  fastcgi_temp_path {job.folder}/f; uwsgi_temp_path {job.folder}/u; scgi_temp_path {job.folder}/s;
  client_body_buffer_size 64k;
  {" ".join(job.extra)}
  upstream origin {{
    server 127.0.0.1:{job.ports[0]};
    keepalive {1024 if job.http2 else 64};
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
  }}
  server {{
    listen 127.0.0.1:{port} ssl{' http2' if job.http2 else ''} backlog=4096;
    ssl_certificate {job.certificate};
    ssl_certificate_key {job.certificate};
    client_max_body_size 0;
    location / {{
      proxy_pass {scheme}://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_request_buffering off;
      {buffers}{origin_tls}
    }}
  }}
}}
"""


def haproxy_config(job, port):
    origin_tls = f" ssl verify required ca-file {job.ca} sni str({ORIGIN_NAME}) verifyhost {ORIGIN_NAME}"
    log = "log stdout format raw local0 info" if job.logged else ""
    return f"""
global
  nbthread 1
  maxconn 7000
  {log}
  tune.ssl.cachesize 20000
  {chr(10).join(job.extra)}
defaults
  mode http
  {"log global" if job.logged else "no log"}
  {"option httplog" if job.logged else ""}
  option http-keep-alive
  option forwardfor
  http-reuse always
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  timeout http-keep-alive 300s
frontend edge
  bind 127.0.0.1:{port} ssl crt {job.certificate} curves X25519:P-256 backlog 4096{' alpn h2,http/1.1' if job.http2 else ''}
  http-request set-header X-Forwarded-Proto https
  default_backend origin
backend origin
  server origin 127.0.0.1:{job.ports[0]} pool-max-conn {1024 if job.http2 else 64}{origin_tls if job.origin_tls else ""}
"""


@dataclass
class Contender:
    program: str
    command: callable  # program path, configuration file, folder -> argument list
    config: callable
    suffix: str = "conf"


KINDS = {
    "nearhop": Contender("nearhop", lambda program, file, folder: [program, "run", "--config", file], nearhop_config,
                         "yaml"),
    # Not a proxy: what TLS and the kernel alone cost. For scenarios with plain origins and kept connections.
    "floor": Contender("bench_floor", lambda program, file, folder: [program, *Path(file).read_text().split()],
                       lambda job, port: f"--port {port} --origin {job.ports[0]} --certificate {job.certificate} "
                       + " ".join(job.extra)),
    "nginx": Contender("nginx", lambda program, file, folder: [program, "-p", folder, "-c", file], nginx_config),
    "nginx-default": Contender("nginx", lambda program, file, folder: [program, "-p", folder, "-c", file],
                               lambda job, port: nginx_config(job, port, buffers="")),
    "haproxy": Contender("haproxy", lambda program, file, folder: [program, "-db", "-f", file], haproxy_config),
}


def find_program(name):
    """Debian keeps servers in sbin, which not every shell searches."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def descendants(pid):
    """The process and all its children, as /proc knows them."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*"):
            try:
                found += [int(child) for child in (task / "children").read_text().split()]
            except OSError:
                pass  # ended meanwhile
    return found


class Proxy:
    """One running proxy; a context manager, so that none outlives its measurement."""

    def __init__(self, kind, program, job, core):
        self.kind, self.job = kind, job
        job.folder.mkdir(parents=True)
        self.port = free_port()
        contender = KINDS[kind]
        file = job.folder / f"{kind}.{contender.suffix}"
        file.write_text(contender.config(job, self.port))
        self.output = open(job.folder / "output", "wb")
        self.process = subprocess.Popen(
            contender.command(program, str(file), str(job.folder)),
            stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output, start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}))

    def __enter__(self):
        try:
            self._await_answer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # The whole session that we started, at once: nothing in it has state worth a graceful end.
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.output.close()

    def _await_answer(self):
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.kind} ended with {self.process.returncode}:\n{self.said()}")
            try:
                if self._answers():
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise RuntimeError(f"{self.kind} does not answer:\n{self.said()}")

    def _answers(self):
        """A whole request through it: a port alone may be open before the worker process exists."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as plain:
            with context.wrap_socket(plain, server_hostname="bench.example") as stream:
                stream.sendall(b"GET /health HTTP/1.1\r\nHost: bench.example\r\nConnection: close\r\n\r\n")
                return stream.recv(4096).startswith(b"HTTP/1.1 200")

    def said(self):
        texts = [file.read_text(errors="replace")[-2000:] for file in
                 (self.job.folder / "output", self.job.folder / "error.log") if file.exists()]
        return "\n".join(texts)

    def pids(self):
        return descendants(self.process.pid)

    def rss_bytes(self):
        """Resident memory of all processes, summed; exact (smaps_rollup), not the kernel's batched counters."""
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Rss:"):
                    total += int(line.split()[1]) * 1024
        return total
