#!/bin/sh
# Follows everything by Server-Sent Events: a JSON object a line.
# The last one says why the server ended the connection.
server=${1:-http://localhost:8080}
curl --silent --show-error --fail --no-buffer "$server/v1/stream" | grep --line-buffered -o '{.*'
