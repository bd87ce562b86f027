# SPDX-License-Identifier: MIT
"""The messages of the channel between a master and a worker, full form, handoff-wire(7)."""

import os
import struct

HELLO, READY, CONNECTION, STARTED, REFUSED, FINISHED, RETURN, LISTENER, QUEUE, DRAIN, LEAVE, \
    REQUESTS, LEDGER = range(1, 14)


def message(kind: int, payload: bytes = b"", count: int = 0, flags: int = 0,
            version: int = 1) -> bytes:
    return struct.pack("<2sBBHH", b"HO", version, kind, count, flags) + payload


def hello(credits: int, calls: int = 1, flags: int = 0, pid: int | None = None,
          version: int = 1) -> bytes:
    """A HELLO of this process, unless another is named."""
    return message(HELLO, struct.pack("<III", os.getpid() if pid is None else pid, credits, calls),
                   flags=flags, version=version)
