"""An origin in its own process, so that a test can kill it with SIGKILL and start it again on the same port."""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from .clock import patient, wait_until
from .origin import Origin, normally

TESTS = Path(__file__).resolve().parents[1]


class OriginProcess:
    """Starts, kills and restarts `python3 -m support.origin_process`. The test keeps a socket bound to the port
    without listening, so the port stays ours while the process is dead, and connections to it are refused."""

    def __init__(self, region, identity, folder):
        self.region = region
        self.identity = identity
        self.record = Path(folder) / f"{region}-{os.getpid()}.requests"
        self.record.touch()
        self._placeholder = socket.socket()
        self._placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._placeholder.bind(("127.0.0.1", 0))
        self.port = self._placeholder.getsockname()[1]
        self._process = None
        self.start()

    @property
    def url(self):
        return f"{'https' if self.identity else 'http'}://127.0.0.1:{self.port}"

    def start(self):
        command = [sys.executable, "-m", "support.origin_process", "--region", self.region]
        command += ["--port", str(self.port), "--record", str(self.record)]
        if self.identity:
            command += ["--certificate", self.identity.certificate, "--private-key", self.identity.private_key]
        self._process = subprocess.Popen(command, cwd=TESTS, stdin=subprocess.DEVNULL)
        wait_until(self._answers, 20, f"the {self.region} process to listen")

    def _answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), patient(5)).close()
            return True
        except OSError:
            return False

    def signal(self, number):
        self._process.send_signal(number)

    def kill(self):
        self._process.kill()
        self._process.wait()

    def requests(self):
        """What was recorded, also by processes that were killed: one dictionary per request head."""
        lines = self.record.read_text().splitlines()
        return [json.loads(line) for line in lines]

    def stop(self):
        if self._process.poll() is None:
            self.kill()
        self._placeholder.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--region", required=True)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--record", required=True)
    options.add_argument("--certificate")
    options.add_argument("--private-key")
    given = options.parse_args()
    identity = None
    if given.certificate:
        from .ca import Identity

        identity = Identity(Path(given.certificate), Path(given.private_key))
    record = os.open(given.record, os.O_WRONLY | os.O_APPEND)

    def recording(request):
        line = {"method": request.method, "target": request.target, "id": request.id, "test": request.get("X-Test-Id")}
        os.write(record, (json.dumps(line) + "\n").encode())  # one write: whole even when we are killed
        normally(request)
        request.origin.requests.clear()

    Origin(given.region, identity, port=given.port, answer=recording)
    signal.pause()


if __name__ == "__main__":
    main()
