"""A small hub on this machine: real HTTP, the paths and headers of the large one, and troubles on order."""

import hashlib
import json
import re
import socket
import struct
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RESOLVE = re.compile(r"/(datasets/)?([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)")
API = re.compile(r"/api/(datasets|models)/([\w.-]+/[\w.-]+)(?:/(revision|tree)/([^/?]+))?(?:\?.*)?")


class Hub:
    """Repositories, each at a single commit; troubles wait in a queue for the request that they befall."""

    def __init__(self):
        self.repos = {}  # ("datasets" or "models", name): {file: bytes}
        self.commits = {}  # the same: the commit; COMMIT where it isn't here
        self.large = set()  # files that are named by their SHA-256
        self.claims = {}  # file: the SHA-256 that the hub claims, where it isn't the content's
        self.troubles = []  # (method, file, trouble): the first that fits a request befalls it
        self.seen = []  # (method, file or path, Range)
        self.url = None

    def add(self, kind, repo, files, commit=COMMIT):
        self.repos[kind, repo], self.commits[kind, repo] = files, commit

    def befall(self, method, file, trouble, times=1):
        """`trouble`: {"status": 503, "headers": {…}}, {"cut": bytes}, {"reset": bytes} or {"portal": True}."""
        self.troubles += [(method, file, trouble)] * times

    def due(self, method, file):
        for i, (of, on, trouble) in enumerate(self.troubles):
            if (of, on) == (method, file):
                del self.troubles[i]
                return trouble
        return {}

    @contextmanager
    def running(self):
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Asked", (Handler,), {"hub": self}))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        if api := API.fullmatch(self.path):
            return self.api(*api.groups())
        if not (asked := RESOLVE.fullmatch(self.path)):
            return self.refuse(404, "EntryNotFound")
        kind, repo, revision, file = asked.groups()
        kind = "datasets" if kind else "models"
        self.hub.seen.append((self.command, file, self.headers.get("Range")))
        if trouble := self.hub.due(self.command, file):
            if "status" in trouble:
                return self.send(trouble["status"], b"", trouble.get("headers", {}))
            if "portal" in trouble:
                return self.send(200, b"<html>Please log in to this network</html>", {})
        if (kind, repo) not in self.hub.repos:
            return self.refuse(401, "RepoNotFound")
        commit = self.hub.commits[kind, repo]
        if revision not in ("main", commit):
            return self.refuse(404, "RevisionNotFound")
        if file not in self.hub.repos[kind, repo]:
            return self.refuse(404, "EntryNotFound", commit)
        self.file(file, self.hub.repos[kind, repo][file], commit, trouble)

    def file(self, name, content, commit, trouble):
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        headers = {"ETag": f'"{git}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if name in self.hub.large:
            claimed = self.hub.claims.get(name, hashlib.sha256(content).hexdigest())
            headers |= {"X-Linked-ETag": f'"{claimed}"', "X-Linked-Size": str(len(content))}
        status, total = 200, len(content)
        if wanted := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            status, content = 206, content[int(wanted[1]) :]
            headers["Content-Range"] = f"bytes {wanted[1]}-{total - 1}/{total}"
        self.send(status, content, headers, trouble)

    def send(self, status, content, headers, trouble=None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        stop = (trouble or {}).get("cut", (trouble or {}).get("reset"))
        self.wfile.write(content[:stop])
        if stop is not None:
            if "reset" in trouble:  # the connection dies without a goodbye
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.wfile.flush()
            self.close_connection = True

    def refuse(self, status, code, commit=None):
        headers = {"X-Error-Code": code, "X-Error-Message": code}
        self.send(status, b"", headers | ({"X-Repo-Commit": commit} if commit else {}))

    def api(self, kind, repo, what, revision):
        """What the hub says of a repository at a revision, or the list of its files."""
        self.hub.seen.append((self.command, self.path, None))
        if (kind, repo) not in self.hub.repos:
            return self.refuse(401, "RepoNotFound")
        commit, files = self.hub.commits[kind, repo], self.hub.repos[kind, repo]
        if revision not in (None, "main", commit):
            return self.refuse(404, "RevisionNotFound")
        if what == "tree":
            found = [
                {"type": "file", "path": name, "size": len(content), "oid": "0"} for name, content in files.items()
            ]
        else:
            found = {"id": repo, "sha": commit, "tags": [], "siblings": [{"rfilename": name} for name in files]}
        self.send(200, json.dumps(found).encode(), {"Content-Type": "application/json"})
