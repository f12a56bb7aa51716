"""A name server that says 127.0.0.1 of one name, and that there is no other. With --up it brings up the
loopback device of a new network instead. For packaging/try-image."""

import fcntl
import socket
import struct
import sys

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def answer(question: bytes, name: bytes) -> bytes:
    end = question.index(b"\0", 12) + 5
    asked = question[12:end]
    kind = struct.unpack("!H", asked[-4:-2])[0]
    is_known = asked[:-4].lower() == name
    records = b"\xc0\x0c\0\x01\0\x01\0\0\0\x05\0\x04\x7f\0\0\x01" if is_known and kind == 1 else b""
    flags = 0x8580 if is_known else 0x8583
    return question[:2] + struct.pack("!HHHHH", flags, 1, bool(records), 0, 0) + asked + records


def serve(name: str) -> None:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 53))
        while True:
            question, client = server.recvfrom(4096)
            server.sendto(answer(question, labels), client)


if __name__ == "__main__":
    up() if sys.argv[1] == "--up" else serve(sys.argv[1])
