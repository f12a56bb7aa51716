// Follows everything over the WebSocket, with the package `ws`.

import WebSocket from "ws";

const server = process.argv[2] ?? "http://localhost:8080";
const socket = new WebSocket(server.replace(/^http/, "ws") + "/v1/ws");

socket.on("open", () => {
  socket.send(JSON.stringify({ op: "subscribe", id: 1 }));
});
socket.on("message", (text) => {
  const message = JSON.parse(text);
  console.log(message.type, message.token_id ?? "");
});
socket.on("close", (code) => console.log("closed with", code));
