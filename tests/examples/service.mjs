#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// Methods in Node, several calls at a time: `rpc-worker -l :8080 -K 'text.*=./service.mjs'`.
import { createInterface } from "node:readline";

const methods = { "text.upper": async (text) => text.toUpperCase(),
                  "text.join": async (...words) => words.join("-") };

createInterface({ input: process.stdin }).on("line", async (line) => {
  const { in: name, params, id } = JSON.parse(line);
  let reply;
  try { reply = { out: name, result: await methods[name](...params) }; }
  catch (error) { reply = { out: "error", result: { code: -32602, message: String(error) } }; }
  console.log(JSON.stringify({ ...reply, id }));
});
