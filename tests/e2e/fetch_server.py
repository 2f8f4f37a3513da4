"""What lock files name, on a loopback HTTPS server: files, redirects, and git repositories through git's own backend.

usage: fetch_server.py FOLDER CERTIFICATE

Serves FOLDER; writes the port to FOLDER/../port when it listens, that of the same without TLS to FOLDER/../plain-port, and
every request's path to FOLDER/../requests. What is below /slow/ takes a second; how many of those there were at once, at
most, is in FOLDER/../most-slow.
"""

import http.server
import os
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse

folder, certificate = os.path.abspath(sys.argv[1]), sys.argv[2]
notes = os.path.dirname(folder)


slow = threading.Lock()


class Handler(http.server.SimpleHTTPRequestHandler):
    slow_now = 0
    most_slow = 0

    def __init__(self, *arguments):
        super().__init__(*arguments, directory=folder)

    def log_message(self, *_):
        pass

    def note(self):
        with open(os.path.join(notes, "requests"), "a", encoding="ascii") as file:
            file.write(f"{self.path}\n")

    def do_GET(self):
        self.note()
        url = urllib.parse.urlsplit(self.path)
        if url.path.startswith("/git/"):
            self.run_git(b"")
        elif url.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", urllib.parse.parse_qs(url.query)["to"][0])
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif url.path.startswith("/slow/"):
            with slow:
                Handler.slow_now += 1
                Handler.most_slow = max(Handler.most_slow, Handler.slow_now)
                write("most-slow", str(Handler.most_slow))
            time.sleep(1)
            with slow:
                Handler.slow_now -= 1
            self.path = self.path[len("/slow") :]
            super().do_GET()
        else:
            super().do_GET()

    def do_POST(self):
        self.note()
        self.run_git(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def run_git(self, body):
        url = urllib.parse.urlsplit(self.path)
        variables = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": os.path.join(folder, "git"),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": url.path[len("/git") :],
            "QUERY_STRING": url.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        if self.headers.get("Content-Encoding"):
            variables["HTTP_CONTENT_ENCODING"] = self.headers["Content-Encoding"]
        answer = subprocess.run(["git", "http-backend"], input=body, env=variables, stdout=subprocess.PIPE, check=True)
        head, _, content = answer.stdout.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        status = [value for name, value in fields if name == "Status"]
        self.send_response(int(status[0].split()[0]) if status else 200)
        for name, value in fields:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def write(name, text):
    with open(os.path.join(notes, name + ".new"), "w", encoding="ascii") as file:
        file.write(text)
    os.rename(os.path.join(notes, name + ".new"), os.path.join(notes, name))


plain = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=plain.serve_forever, daemon=True).start()
write("plain-port", str(plain.server_port))
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate)
server.socket = context.wrap_socket(server.socket, server_side=True)
write("port", str(server.server_port))
server.serve_forever()
