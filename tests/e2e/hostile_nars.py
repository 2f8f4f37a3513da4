"""Archives that Nix itself would never send: hostile_nars.py FOLDER. Each is one fault in an otherwise
sound folder; or what has the content of a plain file, and is something else."""

import os
import struct
import sys


def string(text):
    raw = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(-len(raw) % 8)


def file(content):
    return string("(") + string("type") + string("regular") + string("contents") + string(content) + string(")")


def program(content):
    return string("(") + string("type") + string("regular") + string("executable") + string("") + string("contents") + string(content) + string(")")


def entry(name, node):
    return string("entry") + string("(") + string("name") + string(name) + string("node") + node + string(")")


def folder(*entries):
    return string("(") + string("type") + string("directory") + b"".join(entries) + string(")")


def nested(depth):
    node = file("bottom")
    for _ in range(depth):
        node = folder(entry("d", node))
    return node


archives = {
    "plain": file("content"),
    "executable": program("content"),
    "symlink": string("(") + string("type") + string("symlink") + string("target") + string("content") + string(")"),
    "folder": folder(entry("content", file("content"))),
    "sound": folder(entry("a", file("one")), entry("b", file("two"))),
    "slash": folder(entry("a/b", file("x"))),
    "dotdot": folder(entry("..", file("x"))),
    "dot": folder(entry(".", file("x"))),
    "nul": folder(entry(b"a\0b", file("x"))),
    "empty": folder(entry("", file("x"))),
    "duplicate": folder(entry("a", file("one")), entry("a", file("two"))),
    "order": folder(entry("b", file("one")), entry("a", file("two"))),
    "deep": nested(2000),
    "padding": folder(entry("a", file("one"))).replace(b"one\0", b"one\1"),
    "truncated": folder(entry("a", file("one")))[:-16],
}
for name, node in archives.items():
    with open(os.path.join(sys.argv[1], name), "wb") as out:
        out.write(string("nix-archive-1") + node)
