"""Prints the frames about one token, by way of the sockets that carried it.

The channel `socket` is the index of tokens: each file says at its beginning what every
open socket carries, and then what changes. Frames of other sockets are not read.
"""

import json
import sys

from mcap.reader import make_reader


def frames_about(path, token):
    """Topic, time of arrival and data of each frame of one file that names the token."""
    with open(path, "rb") as file:
        reader = make_reader(file)
        carried = set()
        for _, _, message in reader.iter_messages(topics=["socket"]):
            event = json.loads(message.data)
            if token in event.get("tokens", []):
                carried.add(str(event["socket"]))
        topics = [channel.topic for channel in reader.get_summary().channels.values()]
        topics = [
            topic
            for topic in topics
            if topic.startswith("frames/") and topic.rsplit("/", 1)[1] in carried
        ]
        if not topics:  # The reader takes no topics for all.
            return
        for _, channel, message in reader.iter_messages(topics=topics):
            if f'"{token}"'.encode() in message.data:
                yield channel.topic, message.log_time, message.data


if __name__ == "__main__":
    for topic, at, data in frames_about(sys.argv[1], sys.argv[2]):
        print(json.dumps({"at": at, "topic": topic, "data": json.loads(data)}))
