# SPDX-License-Identifier: MIT
"""A client's urgent data (TCP's, and since Linux 5.15 a Unix socket's) is part of its frames, and stalls
none of them."""

import contextlib
import pathlib
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import handoff  # noqa: E402

FRAME = handoff.frame(b'{"in":"echo","params":"urgent"}')
MODELS = ("connection", "listener", "queue")


class UrgentData(handoff.TestCase):
    def serve(self, model: str, address: str = ":0") -> handoff.Server:
        return self.start(handoff.Server(handoff.tool("rpc-master"), "-l", address, "-n", "1",
                                         "--pass", model, "--", handoff.tool("rpc-worker")))

    def assert_answers(self, server: handoff.Server, start: int, end: int):
        """To a frame whose bytes from start to end are sent as urgent ones, the last of them being
        the urgent one."""
        with server.connect(timeout=5) as client:
            if start:
                client.socket.sendall(FRAME[:start])
            client.socket.send(FRAME[start:end], socket.MSG_OOB)
            if FRAME[end:]:
                client.socket.sendall(FRAME[end:])
            self.assertEqual(client.receive(), {"out": "echo", "result": "urgent"})

    def test_a_frame_with_an_urgent_byte_anywhere_in_it_is_answered(self):
        for model in MODELS:
            server = self.serve(model)
            for end in 1, 3, 4, 5, 14, len(FRAME) - 1, len(FRAME):
                for start in {0, end - 1}:
                    with self.subTest(model=model, start=start, end=end):
                        self.assert_answers(server, start, end)

    def test_a_unix_socket_has_urgent_bytes_too(self):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            try:
                ours.send(b"x", socket.MSG_OOB)
            except OSError as error:
                self.skipTest(f"this kernel has none: {error}")
        server = self.serve("connection", str(self.directory / "s"))
        for end in 1, 5, 14, len(FRAME):
            with self.subTest(end):
                self.assert_answers(server, end - 1, end)

    def test_what_a_client_adds_as_urgent_makes_a_frame_malformed_and_stalls_nothing(self):
        for model in MODELS:
            server = self.serve(model)
            with self.subTest(model), server.connect(timeout=5) as client:
                client.socket.sendall(FRAME[:10])
                client.socket.send(b"!", socket.MSG_OOB)
                client.socket.sendall(FRAME[10:])
                self.assertEqual(client.receive()["result"]["code"], -32700)

    def test_many_urgent_bytes_in_a_long_frame_lose_nothing(self):
        server = self.serve("connection")
        text = "".join(chr(ord("a") + i % 26) for i in range(100_000))
        frame = handoff.frame(f'{{"in":"echo","params":"{text}"}}'.encode())
        with server.connect(timeout=10) as client:
            for at in range(0, len(frame), 1000):
                flags = socket.MSG_OOB if at // 1000 % 3 == 0 else 0
                client.socket.setblocking(True)
                client.socket.send(frame[at:at + 1000], flags)
            self.assertEqual(client.receive(), {"out": "echo", "result": text})


class UrgentReplies(handoff.TestCase):
    """A server's urgent data to rpc-call."""

    def test_a_reply_with_an_urgent_byte_is_read_whole(self):
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            listener.settimeout(handoff.PATIENCE)
            port = listener.getsockname()[1]
            calling = handoff.subprocess.Popen(
                [handoff.tool("rpc-call"), "-t", "5", f"127.0.0.1:{port}", "x"],
                stdout=handoff.subprocess.PIPE, text=True)
            server = handoff.Connection(stack.enter_context(contextlib.closing(
                listener.accept()[0])))
            self.assertEqual(server.receive(), {"in": "x", "params": None})
            reply = handoff.frame(b'{"out":"x","result":"whole"}')
            server.socket.sendall(reply[:10])
            server.socket.send(reply[10:11], socket.MSG_OOB)
            server.socket.sendall(reply[11:])
            output, _ = calling.communicate(timeout=handoff.PATIENCE)
            self.assertEqual((calling.returncode, output), (0, '"whole"\n'))


if __name__ == "__main__":
    handoff.run_tests()
