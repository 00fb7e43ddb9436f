"""Frames of bytes between a process and its workers."""

from __future__ import annotations

import socket
import struct
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ABORT = b"\0the rest of this stream cannot be read\0"
"""The frame that ends a stream of blocks which cannot be read to its end."""

BYTES_AHEAD = 4 << 20
"""A worker stops receiving while so many bytes wait for it; a single frame may go beyond."""


class Frames:
    """Whole frames of bytes over one end of a socket pair.

    `multiprocessing` has the same, but takes several times as long to receive a frame larger than a socket's buffer.
    """

    _LENGTH = struct.Struct(">Q")
    _LONG = 16 << 10

    def __init__(self, end: socket.socket) -> None:
        """Take over one end, which `close` closes."""
        self._socket = end

    def send(self, data: bytes) -> None:
        """Send the next frame."""
        length = self._LENGTH.pack(len(data))
        if len(data) < self._LONG:
            self._socket.sendall(length + data)
        else:
            self._socket.sendall(length)
            self._socket.sendall(data)

    def receive(self) -> bytes:
        """Return the next frame.

        Raises:
            EOFError: The other end is closed.
        """
        (length,) = self._LENGTH.unpack(self._exactly(self._LENGTH.size))
        return self._exactly(length)

    def _exactly(self, size: int) -> bytes:
        pieces: list[bytes] = []
        while size:
            piece = self._socket.recv(size, socket.MSG_WAITALL)
            if not piece:
                raise EOFError
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Inbox:
    """Frames that a worker has received before it asks for them, by a thread of their own.

    Without it a sender would wait for a busy worker to read, and meanwhile the other workers for the sender.
    """

    def __init__(self, frames: Frames, at_end: Callable[[], None]) -> None:
        """Begin to receive.

        Args:
            frames: The frames to receive.
            at_end: Called in the thread as soon as the other end is closed, even if frames are still waiting.
        """
        self._source = frames
        self._at_end = at_end
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._is_over = False
        self._changed = threading.Condition()
        threading.Thread(target=self._fill, daemon=True, name="inbox").start()

    def _fill(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                frame = self._source.receive()
                with self._changed:
                    self._waiting.append(frame)
                    self._size += len(frame)
                    del frame
                    self._changed.notify_all()
                    while self._size > BYTES_AHEAD:
                        self._changed.wait()
        self._at_end()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def receive(self) -> bytes:
        """Return the next frame.

        Raises:
            EOFError: The other end is closed.
        """
        with self._changed:
            while not self._waiting:
                if self._is_over:
                    raise EOFError
                self._changed.wait()
            frame = self._waiting.popleft()
            self._size -= len(frame)
            self._changed.notify_all()
            return frame
