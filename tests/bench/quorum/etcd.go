package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// etcd's clients share connections, 32 to one, as its own benchmark recommends; each puts to a key of its own.
type etcdTarget struct {
	client *clientv3.Client
	key    string
	value  string
}

var (
	etcdMu      sync.Mutex
	etcdClients = map[int]*clientv3.Client{}
)

func openEtcd(o *options, number int) (target, error) {
	etcdMu.Lock()
	defer etcdMu.Unlock()
	c := etcdClients[number/32]
	if c == nil {
		var err error
		c, err = clientv3.New(clientv3.Config{Endpoints: o.at, DialTimeout: 5 * time.Second})
		if err != nil {
			return nil, err
		}
		etcdClients[number/32] = c
	}
	return &etcdTarget{client: c, key: fmt.Sprintf("client-%d", number), value: strings.Repeat("x", o.bytes)}, nil
}

func (t *etcdTarget) commit(ctx context.Context) error {
	_, err := t.client.Put(ctx, t.key, t.value)
	return err
}

func (t *etcdTarget) close() {}
