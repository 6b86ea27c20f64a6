"""Debian's Chromium without a window, driven over its DevTools protocol through two pipes: no port, no driver."""

import base64
import hashlib
import json
import os
import subprocess
import threading

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

from .clock import patient

BINARY = "/usr/bin/chromium"
# It runs as root in a sandbox that is not its own, and no network is there for what it would fetch by itself.
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
         "--remote-debugging-pipe")  # fmt: skip


class Chromium:
    """One browser with one page. `names` lead to 127.0.0.1, and the certificate in `identity` is trusted."""

    def __init__(self, folder, identity, names):
        certificate = load_pem_x509_certificate(identity.certificate.read_bytes())
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        rules = ", ".join(f"MAP {name} 127.0.0.1" for name in names)
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()

        def pipes():
            os.dup2(to_browser, 3)
            os.dup2(from_browser, 4)

        self.log = open(folder / "chromium.log", "wb")
        self.process = subprocess.Popen(
            [BINARY, *FLAGS, f"--user-data-dir={folder / 'chromium'}", f"--host-resolver-rules={rules}",
             f"--ignore-certificate-errors-spki-list={base64.b64encode(hashlib.sha256(key).digest()).decode()}",
             "about:blank"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, close_fds=False, preexec_fn=pipes,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self._answers = {}
        self._next = 0
        self._gone = False
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.send("Browser.close")
        except OSError:
            pass
        try:
            self.process.wait(patient(20))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._out)
        self.log.close()

    def send(self, method, session=None, **parameters):
        self._next += 1
        message = {"id": self._next, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        return self._next

    def result(self, number, seconds=30):
        with self._changed:
            assert self._changed.wait_for(lambda: number in self._answers or self._gone, patient(seconds)), "Chromium is silent"
            assert number in self._answers, "Chromium is gone"
            answer = self._answers.pop(number)
        assert "error" not in answer, answer
        return answer["result"]

    def call(self, method, session=None, **parameters):
        return self.result(self.send(method, session, **parameters))

    def open(self, url):
        """Navigates, and waits until the page is there."""
        self.call("Page.enable", self.session)
        answer = self.call("Page.navigate", self.session, url=url)
        assert "errorText" not in answer, answer
        self.evaluate("new Promise(done => document.readyState == 'complete' ? done() : addEventListener('load', done))")

    def begin(self, expression):
        """Evaluates in the page; `value(number)` waits for what its promise gives."""
        return self.send(
            "Runtime.evaluate", self.session, expression=expression, awaitPromise=True, returnByValue=True
        )

    def value(self, number, seconds=30):
        answer = self.result(number, seconds)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def evaluate(self, expression):
        return self.value(self.begin(expression))

    def _read(self):
        data = b""
        while piece := os.read(self._in, 65536):
            data += piece
            *messages, data = data.split(b"\0")
            with self._changed:
                for message in map(json.loads, messages):
                    if "id" in message:
                        self._answers[message["id"]] = message
                self._changed.notify_all()
        os.close(self._in)
        with self._changed:
            self._gone = True
            self._changed.notify_all()
