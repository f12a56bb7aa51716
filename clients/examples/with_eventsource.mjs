// Follows everything by Server-Sent Events, with the package `eventsource`.

import { EventSource } from "eventsource";

const server = process.argv[2] ?? "http://localhost:8080";
const source = new EventSource(server + "/v1/stream");

// Messages have names, so `onmessage` gets none of them.
const names = ["hello", "subscribed", "snapshot", "ready", "delta", "trade", "state", "market",
  "gap", "error", "heartbeat", "closing"];
for (const name of names) {
  source.addEventListener(name, (event) => {
    // A lost connection is an "error", too, one without data.
    if (event.data === undefined) return;
    const message = JSON.parse(event.data);
    console.log(message.type, message.token_id ?? "");
    // It would come back by itself, with the last id that it saw.
    if (message.type === "closing") source.close();
  });
}
source.onerror = (error) => console.error("no connection:", error.message);
