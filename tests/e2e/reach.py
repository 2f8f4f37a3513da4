"""What of the given names this process gets at: a socket it can connect to, a file it can read, a folder in which it sees anything.

usage: reach.py NAME...

Prints those, one a line, and then that it has looked, so that nothing is not taken for it. A name that begins with @ is an
abstract socket's.
"""

import errno
import os
import socket
import stat
import sys


def connects(address):
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        with socket.socket(socket.AF_UNIX, kind) as client:
            client.settimeout(10)
            try:
                client.connect(address)
                return True
            except OSError as error:
                if error.errno != errno.EPROTOTYPE:
                    return False
    return False


def reached(name):
    if name.startswith("@"):
        return connects("\0" + name[1:])
    try:
        if stat.S_ISSOCK(os.stat(name).st_mode):
            return connects(name)
        if os.path.isdir(name):
            return bool(os.listdir(name))
        with open(name, "rb") as file:
            file.read(1)
        return True
    except OSError:
        return False


for each in sys.argv[1:]:
    if reached(each):
        print(each)
print("looked")
