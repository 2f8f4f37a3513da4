#!/usr/bin/env python3
"""A client of an older protocol, for what no command of this Nix sends: ask.py MINOR PATH DERIVATION SHELL.

It says everything at once, hangs up, and reads what the daemon answers to the end. For golden recordings only.
"""
import os
import socket
import struct
import sys


def u64(*numbers):
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def string(text):
    data = text.encode()
    return u64(len(data)) + data + b"\0" * (-len(data) % 8)


def strings(*texts):
    return u64(len(texts)) + b"".join(map(string, texts))


def nar(content):
    return b"".join(map(string, ["nix-archive-1", "(", "type", "regular", "contents", content, ")"]))


def framed(data):
    return u64(len(data)) + data + u64(0)


def greeting(minor):
    return u64(0x6E697863, 1 << 8 | minor) + (u64(0) if minor >= 38 else b"") + u64(0, 0)


def set_options():
    return u64(19, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0) + strings()


def questions(minor, path, derivation):
    base = os.path.basename(path)
    yield u64(1) + string(path)
    yield u64(1) + string("/nix/store/" + "0" * 32 + "-nothing")
    for op in [3, 4, 5, 6, 18, 21, 33, 26]:
        yield u64(op) + string(path)
    for op in [22, 28]:
        yield u64(op) + string(derivation)
    yield u64(29) + string(base[:32])
    yield u64(29) + string("0" * 32)
    infos = u64(1) + string(path) + (string("") if minor >= 22 else b"")
    yield u64(30) + infos
    yield u64(31) + strings(path) + (u64(0) if minor >= 27 else b"")
    yield u64(32) + strings(path)
    yield u64(40) + strings(derivation + ("!out" if minor >= 30 else ""))
    if minor >= 22:
        yield u64(41) + string(derivation)


def changes(minor, path, derivation, shell):
    yield u64(8) + string("golden-text") + string("some text") + strings(path)
    if minor >= 25:
        yield u64(7) + string("golden-flat") + string("fixed:sha256") + strings() + u64(0) + framed(b"flat")
    else:
        yield u64(7) + string("golden-flat") + u64(1, 0) + string("sha256") + nar("flat")
        yield u64(7) + string("golden-tree") + u64(0, 1) + string("sha256") + nar("tree")
    yield u64(9) + strings(derivation + ("!out" if minor >= 30 else "")) + u64(0)
    yield u64(10) + string(path)
    yield u64(11) + string(path)
    yield u64(13)
    if minor < 25:  # the same in all, and long
        yield u64(16) + string(path) + u64(0)
    yield u64(37) + string(path) + strings()
    yield resolved(derivation, shell)
    yield u64(20, 1) + strings() + u64(0, 0, 0, 0, 0)


def resolved(derivation, shell):
    """BuildDerivation of what has been built: its output is the path without .drv's own hash."""
    out = os.environ["GOLDEN_OUT"]
    environment = {"builder": shell + "/bin/sh", "name": "golden", "out": out, "system": "x86_64-linux"}
    pairs = u64(len(environment)) + b"".join(string(k) + string(v) for k, v in environment.items())
    return (u64(36) + string(derivation) + u64(1) + b"".join(map(string, ["out", out, "", ""])) + strings(shell)
            + string("x86_64-linux") + string(shell + "/bin/sh") + strings("-c", "true") + pairs + u64(0))


def main():
    minor, path, derivation, shell = int(sys.argv[1]), *sys.argv[2:5]
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.connect(os.environ["RELAY"])
        daemon.sendall(greeting(minor) + set_options())
        daemon.sendall(b"".join(questions(minor, path, derivation)))
        daemon.sendall(b"".join(changes(minor, path, derivation, shell)))
        # An error, in the form of this protocol.
        daemon.sendall(u64(5) + string("/nix/store/" + "0" * 32 + "-nothing"))
        daemon.shutdown(socket.SHUT_WR)
        while daemon.recv(65536):
            pass


main()
