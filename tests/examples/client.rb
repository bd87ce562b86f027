#!/usr/bin/env ruby
# SPDX-License-Identifier: MIT
# A client in Ruby: `./client.rb ./rpc.sock METHOD [JSON]`.
require "json"
require "socket"

path, method, params = ARGV
UNIXSocket.open(path) do |server|
  server.puts({ in: method, params: JSON.parse(params || "null") }.to_json)
  reply = JSON.parse(server.gets)
  abort "#{method} failed: #{reply["result"]["message"]}" if reply["out"] == "error"
  puts reply["result"].to_json
end
