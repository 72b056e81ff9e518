// A member of a group with franz-go, sarama or segmentio's kafka-go; see groups/README.md.
// usage: member CLIENT HOST:PORT GROUP TOPIC STRATEGY
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

var mutex sync.Mutex

func say(what map[string]any) {
	line, _ := json.Marshal(what)
	mutex.Lock()
	defer mutex.Unlock()
	fmt.Println(string(line))
}

func assigned(partitions []int32, generation int32) {
	if partitions == nil {
		partitions = []int32{}
	}
	say(map[string]any{"assigned": partitions, "generation": generation})
}

func processed(partition int32, first, last int64, generation int32) {
	say(map[string]any{"partition": partition, "first": first, "last": last, "generation": generation})
}

func note(err error) {
	if err != nil {
		say(map[string]any{"note": err.Error()})
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	clients := map[string]func(context.Context, string, string, string, string) error{
		"franz": franz, "sarama": saramaMember, "segmentio": segmentio,
	}
	a := os.Args
	if err := clients[a[1]](ctx, a[2], a[3], a[4], a[5]); err != nil {
		note(err)
		os.Exit(1)
	}
	say(map[string]any{"left": true})
}
