#!/bin/sh
# SPDX-License-Identifier: MIT
# A client in shell, with jq and the OpenBSD nc: `./client.sh ./rpc.sock METHOD [JSON]`.
set -eu

jq -cn --arg method "$2" --argjson params "${3:-null}" '{in: $method, params: $params}' |
  nc -NU "$1" |
  jq -c --arg method "$2" '
    if .out == "error" then error("\($method) failed: \(.result.message)") else .result end'
