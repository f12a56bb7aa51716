"""Follows tokens on a market socket by way of PyPI's `websockets`, and prints each frame.

    follow_venue.py WS_URL FRAMES TOKEN...

Each frame is printed as a JSON text on a line of its own, so that no byte of it is lost. It ends
after so many frames, or when none has come for ten seconds.
"""

import json
import sys

from websockets.sync.client import connect


def main() -> None:
    url, frames, *tokens = sys.argv[1:]
    left = int(frames)
    with connect(url, max_size=None, compression=None) as socket:
        socket.send(json.dumps({"type": "market", "assets_ids": tokens}))
        while left > 0:
            try:
                frame = socket.recv(timeout=10)
            except TimeoutError:
                break
            print(json.dumps(frame))
            left -= 1


if __name__ == "__main__":
    main()
