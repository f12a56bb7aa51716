"""Reads recordings with the public reader of MCAP, and says what is in them as JSON.

Each file is read twice: by its index, where it has one, and from its beginning. What has
a schema is held against it.
"""

import hashlib
import json
import sys

import jsonschema
from mcap.exceptions import McapError
from mcap.reader import NonSeekingReader, make_reader


def read(path, make):
    """Messages and the SHA-256 of all their data, by topic; and what went wrong."""
    topics = {}
    validators = {}
    error = None
    with open(path, "rb") as file:
        try:
            messages = make(file, validate_crcs=True).iter_messages(log_time_order=False)
            for schema, channel, message in messages:
                count, digest = topics.get(channel.topic, (0, hashlib.sha256()))
                digest.update(message.data)
                topics[channel.topic] = (count + 1, digest)
                if schema is not None:
                    if schema.id not in validators:
                        kind = jsonschema.Draft202012Validator
                        validators[schema.id] = kind(json.loads(schema.data))
                    validators[schema.id].validate(json.loads(message.data))
        except (McapError, EOFError) as cause:
            error = type(cause).__name__
    found = {topic: [count, digest.hexdigest()] for topic, (count, digest) in topics.items()}
    return {"topics": found, "error": error}


for path in sys.argv[1:]:
    both = {"indexed": read(path, make_reader), "streaming": read(path, NonSeekingReader)}
    print(json.dumps(both))
