"""Stands in for the nix-daemon worker of one build.

Reads one JSON command a line, answers with one JSON line. `announce` runs a hook as a child, as Nix
does; `start` makes the sandbox as Nix 2.8 does (namespaces, the shared store folder, pivot_root, the
build user), with an agent in it as first process; `agent` has the agent run Python code.

The agent needs nothing of the sandbox's files: it is a fork, with its modules loaded.
"""
import base64  # noqa: F401  loaded for the agent
import ctypes  # noqa: F401
import errno
import json
import mmap  # noqa: F401
import os
import pty
import select
import shutil  # noqa: F401
import signal
import socket
import stat  # noqa: F401
import struct  # noqa: F401
import subprocess  # noqa: F401
import sys
import time
import traceback

import kernel
from boundary import ANNOUNCE, Channel

BUILDER_UID, BUILDER_GID = 30001, 30000
SANDBOX_UID, SANDBOX_GID = 1000, 100
PR_SET_DUMPABLE = 4


def announce(command):
    """What `airlock hook pre-build` does; a child of ours, since airlock-fs looks at its parent."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setuid(command.get("uid", 0))
            channel = Channel(command["socket"])
            folder = os.open(command["folder"], os.O_PATH)
            channel.send(ANNOUNCE, strings=[command["derivation"]],
                         fd=None if command.get("no_folder") else folder)
            reply = channel.receive()
            answer = {"kind": reply.kind, "text": reply.strings[0]} if reply else {"kind": 0}
        except OSError as error:
            answer = {"kind": -1, "text": str(error)}
        os.write(write_end, json.dumps(answer).encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as answers:
        answer = json.loads(answers.read())
    os.waitpid(child, 0)
    return answer


def run_as_agent(requests):
    """The first process: runs what it is told until it is killed."""
    kept = []  # what the code wants to live on
    while True:
        line = requests.readline()
        if not line:
            os._exit(0)
        scope = {**globals(), "kept": kept}
        try:
            exec(compile(json.loads(line), "<agent>", "exec"), scope)
            answer = {"result": scope.get("result")}
        except OSError as error:
            answer = {"errno": errno.errorcode.get(error.errno, str(error.errno)),
                      "text": str(error)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        requests.write(json.dumps(answer) + "\n")
        requests.flush()


def enter_sandbox(command, synchronise):
    """From clone to exec, in the order of Nix 2.8.0."""
    os.read(synchronise, 1)  # the maps of our user namespace are written
    root, store = command["root"], command["root"] + command["store"]
    kernel.mount(None, "/", None, kernel.MS_PRIVATE | kernel.MS_REC)
    kernel.mount(root, root, None, kernel.MS_BIND)
    kernel.mount(store, store, None, kernel.MS_BIND)
    kernel.mount(None, store, None, kernel.MS_SHARED)
    for source, target in command["binds"]:
        kernel.mount(source, root + target, None, kernel.MS_BIND | kernel.MS_REC)
    kernel.mount("none", root + "/proc", "proc", 0)
    kernel.unshare(kernel.CLONE_NEWNS)
    os.chdir(root)
    os.mkdir("real-root", 0)
    kernel.pivot_root(".", "real-root")
    os.chroot(".")
    kernel.umount("real-root", kernel.MNT_DETACH)
    os.rmdir("real-root")
    os.setgid(SANDBOX_GID if command["user_namespace"] else BUILDER_GID)
    os.setuid(SANDBOX_UID if command["user_namespace"] else BUILDER_UID)
    # A builder gets here by exec, which makes its /proc/self its own again.
    kernel.libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


class Worker:
    def __init__(self):
        self.first = 0
        self.agent = None
        self.log = None

    def start(self, command):
        command.setdefault("user_namespace", True)
        if os.getgroups():
            os.setgroups([])
        for _, target in command["binds"] + [("", "/proc")]:
            os.makedirs(command["root"] + target, exist_ok=True)
        ours, theirs = socket.socketpair()
        wait_end, go_end = os.pipe()
        self.log, terminal = pty.openpty()
        os.set_blocking(self.log, False)
        flags = kernel.CLONE_NEWPID | kernel.CLONE_NEWNS
        if command["user_namespace"]:
            flags |= kernel.CLONE_NEWUSER
        pid = kernel.clone(flags)
        if pid == 0:
            ours.close()
            os.close(go_end)
            os.dup2(terminal, 2)
            requests = theirs.makefile("rw")
            try:
                enter_sandbox(command, wait_end)
                requests.write("{}\n")
                requests.flush()
                run_as_agent(requests)
            except BaseException:
                requests.write(json.dumps({"error": traceback.format_exc()}) + "\n")
                requests.flush()
            os._exit(1)
        theirs.close()
        os.close(wait_end)
        os.close(terminal)
        if flags & kernel.CLONE_NEWUSER:
            for name, text in [("uid_map", f"{SANDBOX_UID} {BUILDER_UID} 1"),
                               ("setgroups", "deny"),
                               ("gid_map", f"{SANDBOX_GID} {BUILDER_GID} 1")]:
                with open(f"/proc/{pid}/{name}", "w") as file:
                    file.write(text)
        os.write(go_end, b".")
        os.close(go_end)
        self.first = pid
        self.agent = ours.makefile("rw")
        answer = json.loads(self.agent.readline() or '{"error": "the sandbox did not start"}')
        return {"pid": pid, **answer}

    def run(self, command):
        what = command["do"]
        if what == "announce":
            return announce(command)
        if what == "start":
            return self.start(command)
        if what == "agent":
            self.agent.write(json.dumps(command["code"]) + "\n")
            self.agent.flush()
            line = self.agent.readline()
            return json.loads(line) if line else {"gone": True}
        if what == "log":
            try:
                return {"text": os.read(self.log, 65536).decode(errors="replace")}
            except OSError:
                return {"text": ""}
        if what == "finish":  # the builder exits by itself
            self.agent.close()
            os.waitpid(self.first, 0)
            return {}
        if what == "reap":
            deadline = time.monotonic() + command["seconds"]
            while time.monotonic() < deadline:
                pid, status = os.waitpid(self.first, os.WNOHANG)
                if pid:
                    return {"signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}
                time.sleep(0.01)
            return {"signal": None}
        raise ValueError(what)


def main():
    worker = Worker()
    for line in sys.stdin:
        try:
            answer = worker.run(json.loads(line))
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)
    if worker.first:
        try:
            os.kill(worker.first, signal.SIGKILL)
        except ProcessLookupError:
            pass


if __name__ == "__main__":
    main()
