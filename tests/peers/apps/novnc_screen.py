"""A stand-in for a VNC server, as RFC 6143 has it: novnc_screen.py PORT (0: a free one). It shows one picture, and prints what it is told.

Version 3.8, no password, raw pixels. Each key and cut text is printed as one JSON object.
"""

import json
import socketserver
import struct
import sys

WIDTH, HEIGHT = 320, 200
FORMAT = struct.pack(">BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
NAME = b"a screen of the tests"
# Lengths of the client's messages that have no variable part, with their type.
LENGTHS = {0: 20, 3: 10, 4: 8, 5: 6}


class Screen(socketserver.StreamRequestHandler):
    def take(self, count):
        taken = self.rfile.read(count)
        if len(taken) < count:
            raise EOFError
        return taken

    def handle(self):
        self.wfile.write(b"RFB 003.008\n")
        assert self.take(12) == b"RFB 003.008\n"
        self.wfile.write(b"\x01\x01")
        assert self.take(1) == b"\x01"
        self.wfile.write(bytes(4))
        self.take(1)
        self.wfile.write(struct.pack(">HH", WIDTH, HEIGHT) + FORMAT + struct.pack(">I", len(NAME)) + NAME)
        try:
            while True:
                self.message(self.take(1)[0])
        except EOFError:
            print(json.dumps({"left": True}), flush=True)

    def message(self, kind):
        if kind == 2:
            _, count = struct.unpack(">BH", self.take(3))
            self.take(4 * count)
        elif kind == 6:
            _, _, _, length = struct.unpack(">BBBi", self.take(7))
            print(json.dumps({"cut": self.take(abs(length)).decode("latin-1")}), flush=True)
        else:
            rest = self.take(LENGTHS[kind] - 1)
            if kind == 3 and not rest[0]:
                self.show()
            elif kind == 4 and rest[0]:
                print(json.dumps({"key": struct.unpack(">I", rest[3:])[0]}), flush=True)

    def show(self):
        """The whole picture in the colour #12AB34, 256,000 bytes. noVNC asks for red in the first byte."""
        head = struct.pack(">BxHHHHHi", 0, 1, 0, 0, WIDTH, HEIGHT, 0)
        self.wfile.write(head + b"\x12\xab\x34\x00" * (WIDTH * HEIGHT))


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


server = Server(("127.0.0.1", int(sys.argv[1])), Screen)
print("listening", server.server_address[1], flush=True)
server.serve_forever()
