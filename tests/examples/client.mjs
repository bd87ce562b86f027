#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// A client in Node: `./client.mjs ./rpc.sock METHOD [JSON]`.
import net from "node:net";
import readline from "node:readline";

const [path, method, params = "null"] = process.argv.slice(2);
const server = net.connect(path);
server.write(JSON.stringify({ in: method, params: JSON.parse(params) }) + "\n");
for await (const line of readline.createInterface({ input: server })) {
  server.end();
  const { out, result } = JSON.parse(line);
  if (out === "error") throw new Error(`${method} failed: ${result.message}`);
  console.log(JSON.stringify(result));
}
