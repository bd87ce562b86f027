// SPDX-License-Identifier: MIT

// A client in Go: `go run client.go ./rpc.sock METHOD JSON`.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
)

func main() {
	server, err := net.Dial("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	request := map[string]any{"in": os.Args[2], "params": json.RawMessage(os.Args[3])}
	var reply struct {
		Out    string
		Result json.RawMessage
	}
	if err := json.NewEncoder(server).Encode(request); err != nil {
		log.Fatal(err)
	}
	if err := json.NewDecoder(server).Decode(&reply); err != nil {
		log.Fatal(err)
	}
	if reply.Out == "error" {
		log.Fatalf("%s failed: %s", os.Args[2], reply.Result)
	}
	fmt.Println(string(reply.Result))
}
