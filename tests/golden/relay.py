#!/usr/bin/env python3
"""Runs a command whose Nix store is a relay to the real daemon, and keeps what each side said.

relay.py DAEMON-SOCKET PREFIX COMMAND...   NIX_REMOTE and RELAY name the relay's socket for COMMAND; each connection
                                           becomes PREFIX.client and PREFIX.daemon (a second one PREFIX-2, …)
relay.py --stdio [IGNORED]...              stdin and stdout as a connection to $RELAY: what ssh-ng:// runs as nix-daemon
"""
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import threading


def connect(path):
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(path)
    return peer


def pump(source, sink, end):
    """Copies until source ends, then ends sink; returns what was copied."""
    copied = b""
    while piece := source(65536):
        copied += piece
        try:
            sink(piece)
        except OSError:
            break
    try:
        end()
    except OSError:
        pass
    return copied


def relay(client, daemon, prefix):
    said = {}

    def one_way(name, source, sink):
        said[name] = pump(source.recv, sink.sendall, lambda: sink.shutdown(socket.SHUT_WR))

    back = threading.Thread(target=one_way, args=("daemon", daemon, client))
    back.start()
    one_way("client", client, daemon)
    back.join()
    for name, data in said.items():
        with open(f"{prefix}.{name}", "wb") as file:
            file.write(data)


def serve(listener, stop, daemon_socket, prefix):
    waiting = selectors.DefaultSelector()
    waiting.register(listener, selectors.EVENT_READ, True)
    waiting.register(stop, selectors.EVENT_READ, False)
    relays = []
    while all(key.data for key, _ in waiting.select()):
        client, _ = listener.accept()
        name = prefix if not relays else f"{prefix}-{len(relays) + 1}"
        relays.append(threading.Thread(target=relay, args=(client, connect(daemon_socket), name)))
        relays[-1].start()
    for thread in relays:
        thread.join()


def record(daemon_socket, prefix, command):
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = os.path.join(folder, "socket")
        listener.bind(path)
        listener.listen()
        stop, told = socket.socketpair()
        server = threading.Thread(target=serve, args=(listener, told, daemon_socket, prefix))
        server.start()
        done = subprocess.run(command, check=False,
                              env=dict(os.environ, NIX_REMOTE=f"unix://{path}", RELAY=path))
        stop.close()
        server.join()
        return done.returncode


def stdio():
    peer = connect(os.environ["RELAY"])
    up = threading.Thread(
        target=pump,
        args=(lambda n: os.read(0, n), peer.sendall, lambda: peer.shutdown(socket.SHUT_WR)),
        daemon=True,  # ssh-ng's client closes no pipe that it does not read
    )
    up.start()
    pump(peer.recv, lambda piece: os.write(1, piece), lambda: None)


if __name__ == "__main__":
    if sys.argv[1] == "--stdio":
        stdio()
    else:
        sys.exit(record(sys.argv[1], sys.argv[2], sys.argv[3:]))
