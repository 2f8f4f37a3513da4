"""The messages of fusefs/boundary/message.hpp, for stand-ins of hooks and airlockd."""
import array
import os
import socket
import struct

ANNOUNCE, SETTLED, STATUS = 1, 2, 3
ANNOUNCED, REFUSED, DONE, STATUS_IS = 10, 11, 12, 13
SESSION_OPENED, SESSION_ENDED, SESSION_SETTLED, SESSION_CLOSED, WELCOME = 20, 21, 22, 23, 24
SESSION_RESUMED, RESUMPTION_OVER = 25, 26
SESSION_READY, SESSION_REFUSED, REVEAL, GRANT, VERIFY, CONDEMN = 30, 31, 32, 33, 34, 35
SUCCEEDED, FAILED = 40, 41


def encode(kind, session=0, request=0, strings=()):
    packet = struct.pack("<IIQQI", 1, kind, session, request, len(strings))
    for text in strings:
        raw = text if isinstance(text, bytes) else text.encode()
        packet += struct.pack("<I", len(raw)) + raw
    return packet


class Message:
    def __init__(self, packet, fd):
        _, self.kind, self.session, self.request, count = struct.unpack_from("<IIQQI", packet)
        self.fd = fd
        self.strings = []
        at = 28
        for _ in range(count):
            (size,) = struct.unpack_from("<I", packet, at)
            self.strings.append(packet[at + 4:at + 4 + size].decode())
            at += 4 + size

    def __repr__(self):
        return f"message {self.kind} session {self.session:x} request {self.request} {self.strings}"


class Channel:
    """One end of the boundary; everything it does has a time limit."""

    def __init__(self, path, timeout=20):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(timeout)
        self.socket.connect(path)

    def send(self, kind, session=0, request=0, strings=(), fd=None):
        rights = [] if fd is None else [
            (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        self.socket.sendmsg([encode(kind, session, request, strings)], rights)

    def send_raw(self, packet):
        self.socket.send(packet)

    def receive(self):
        """The next message; None when the other end is gone."""
        try:
            packet, rights, _, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(4))
        except ConnectionResetError:
            return None
        fd = None
        for _, _, data in rights:
            fd = array.array("i", data[:4])[0]
        return Message(packet, fd) if packet else None

    def close(self):
        self.socket.close()


def close_message(message):
    if message is not None and message.fd is not None:
        os.close(message.fd)
