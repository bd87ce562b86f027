# SPDX-License-Identifier: MIT
"""A worker's end of the channel, handoff-wire(7), in the hands of a test: what all of them share."""

import array
import os
import socket
import struct

import handoff

HELLO, READY, CONNECTION, STARTED, REFUSED, FINISHED, RETURN, LISTENER, QUEUE, DRAIN, LEAVE, \
    REQUESTS = range(1, 13)


class Channel:
    """Says HELLO and READY. What is received is for those who derive from it."""

    def __init__(self, channel: socket.socket, credits: int):
        self.channel = channel
        self.channel.settimeout(handoff.PATIENCE)
        self.drained = False
        self.send(HELLO, struct.pack("<III", os.getpid(), credits, 1))
        self.send(READY)

    def send(self, kind: int, payload: bytes = b"", count: int = 0, descriptors=()):
        packet = struct.pack("<2sBBHH", b"HO", 1, kind, count, 0) + payload
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        self.channel.sendmsg([packet], rights if descriptors else [])

    def send_ids(self, kind: int, *ids: int):
        self.send(kind, struct.pack(f"<{len(ids)}Q", *ids), len(ids))

    def receive_message(self) -> tuple[bytes, list[int], int, int]:
        """The next packet, its descriptors, type and count."""
        packet, descriptors, _, _ = socket.recv_fds(self.channel, 128 * 1024, 64)
        assert packet, "the end of the channel"
        magic, version, kind, count, _ = struct.unpack("<2sBBHH", packet[:8])
        assert (magic, version) == (b"HO", 1), packet
        self.drained = self.drained or kind == DRAIN
        return packet, descriptors, kind, count


def connect(path) -> socket.socket:
    """To the named socket where workers join."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel.connect(str(path))
    return channel
