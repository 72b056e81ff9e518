// franz-go, sarama and segmentio/kafka-go: every codec and acks, idempotence, headers, null keys, 1 MB records, read back by
// assigned partitions; and the admin calls of the latter two. usage: roundtrip HOST:PORT. Prints TAP.
package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"os"
	"time"

	"github.com/IBM/sarama"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	partitions = 3
	count      = 400
)

func records(topic string) []*kgo.Record {
	rnd := rand.New(rand.NewSource(7))
	sizes := []int{0, 1, 10, 100, 1000, 10000}
	var out []*kgo.Record
	for i := 0; i < count; i++ {
		size := sizes[rnd.Intn(len(sizes))]
		if i == count/2 {
			size = 1000000
		}
		r := &kgo.Record{Topic: topic, Partition: int32(i % partitions), Value: make([]byte, size)}
		rnd.Read(r.Value[:size/2])
		if i%3 != 0 {
			r.Key = []byte(fmt.Sprintf("key-%d", i))
		}
		if i%5 == 0 {
			r.Headers = []kgo.RecordHeader{{Key: "h", Value: []byte(fmt.Sprint(i))}}
		}
		out = append(out, r)
	}
	return out
}

func produce(ctx context.Context, broker string, rs []*kgo.Record, opts ...kgo.Opt) error {
	opts = append(opts, kgo.SeedBrokers(broker), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(5*time.Millisecond),
		kgo.ProducerBatchMaxBytes(1048588))
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	return cl.ProduceSync(ctx, rs...).FirstErr()
}

func consume(ctx context.Context, broker, topic string, n int) ([]*kgo.Record, error) {
	offsets := map[int32]kgo.Offset{}
	for i := int32(0); i < partitions; i++ {
		offsets[i] = kgo.NewOffset().AtStart()
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	var got []*kgo.Record
	for len(got) < n {
		fs := cl.PollFetches(ctx)
		if errs := fs.Errors(); len(errs) > 0 {
			return nil, fmt.Errorf("%d records read: %w", len(got), errs[0].Err)
		}
		fs.EachRecord(func(r *kgo.Record) { got = append(got, r) })
	}
	return got, nil
}

func compare(sent, got []*kgo.Record) error {
	var at [partitions]int64
	by := map[int32][]*kgo.Record{}
	for _, r := range got {
		by[r.Partition] = append(by[r.Partition], r)
	}
	for _, s := range sent {
		if at[s.Partition] >= int64(len(by[s.Partition])) {
			return fmt.Errorf("partition %d: records are missing", s.Partition)
		}
		g := by[s.Partition][at[s.Partition]]
		if g.Offset != at[s.Partition] || !bytes.Equal(s.Key, g.Key) || (s.Key == nil) != (g.Key == nil) ||
			!bytes.Equal(s.Value, g.Value) || len(s.Headers) != len(g.Headers) {
			return fmt.Errorf("partition %d offset %d differs from what was sent", g.Partition, g.Offset)
		}
		for i := range s.Headers {
			if s.Headers[i].Key != g.Headers[i].Key || !bytes.Equal(s.Headers[i].Value, g.Headers[i].Value) {
				return fmt.Errorf("partition %d offset %d: other headers", g.Partition, g.Offset)
			}
		}
		at[s.Partition]++
	}
	return nil
}

func roundTrip(broker, topic string, opts ...kgo.Opt) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		return err
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
		return err
	}
	sent := records(topic)
	if err := produce(ctx, broker, sent, opts...); err != nil {
		return err
	}
	got, err := consume(ctx, broker, topic, len(sent))
	if err != nil {
		return err
	}
	return compare(sent, got)
}

func main() {
	// In the order of their numbers in the protocol.
	codecs := []struct {
		name  string
		codec kgo.CompressionCodec
	}{{"none", kgo.NoCompression()}, {"gzip", kgo.GzipCompression()}, {"snappy", kgo.SnappyCompression()},
		{"lz4", kgo.Lz4Compression()}, {"zstd", kgo.ZstdCompression()}}
	acks := []struct {
		name   string
		acks   kgo.Acks
		number int
	}{{"0", kgo.NoAck(), 0}, {"1", kgo.LeaderAck(), 1}, {"all", kgo.AllISRAcks(), -1}}
	number, bad := 0, 0
	test := func(name string, run func(topic string) error) {
		number++
		if err := run(fmt.Sprintf("go-%d", number)); err != nil {
			bad++
			fmt.Printf("not ok %d - %s: %v\n", number, name, err)
			return
		}
		fmt.Printf("ok %d - %s\n", number, name)
	}
	broker := os.Args[1]
	for i, c := range codecs {
		for _, a := range acks {
			name := c.name + " acks=" + a.name
			test("franz-go "+name, func(topic string) error {
				return roundTrip(broker, topic, kgo.ProducerBatchCompression(c.codec), kgo.RequiredAcks(a.acks), kgo.DisableIdempotentWrite())
			})
			test("sarama "+name, func(topic string) error {
				return saramaTrip(broker, topic, sarama.CompressionCodec(i), sarama.RequiredAcks(a.number), false)
			})
			if a.number == 0 {
				continue // kafka-go sends on several connections: what is not acknowledged may overtake
			}
			test("kafka-go "+name, func(topic string) error {
				return segmentioTrip(broker, topic, kafka.Compression(i), kafka.RequiredAcks(a.number))
			})
		}
	}
	test("franz-go zstd acks=all idempotent", func(topic string) error {
		return roundTrip(broker, topic, kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	})
	test("sarama zstd acks=all idempotent", func(topic string) error {
		return saramaTrip(broker, topic, sarama.CompressionZSTD, sarama.WaitForAll, true)
	})
	test("sarama's ClusterAdmin", func(string) error { return saramaAdmin(broker) })
	test("kafka-go's Client", func(string) error { return segmentioAdmin(broker) })
	fmt.Printf("1..%d\n", number)
	if bad > 0 {
		os.Exit(1)
	}
}
