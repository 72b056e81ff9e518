package main

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"
)

// consume reads one partition for as long as its generation lasts.
func consume(g *kafka.Generation, broker, topic string, a kafka.PartitionAssignment) func(context.Context) {
	return func(ctx context.Context) {
		r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{broker}, Topic: topic, Partition: a.ID, MaxWait: 200 * time.Millisecond,
			MinBytes: 1, MaxBytes: 1 << 20})
		defer r.Close()
		if a.Offset < 0 {
			a.Offset = kafka.FirstOffset
		}
		if err := r.SetOffset(a.Offset); err != nil {
			note(err)
			return
		}
		for {
			m, err := r.ReadMessage(ctx)
			if err != nil {
				if !errors.Is(err, context.Canceled) && !errors.Is(err, kafka.ErrGenerationEnded) {
					note(err)
				}
				return
			}
			processed(int32(m.Partition), m.Offset, m.Offset, g.ID)
			if m.Offset%20 == 0 || m.Offset+1 >= m.HighWaterMark {
				note(g.CommitOffsets(map[string]map[int]int64{topic: {m.Partition: m.Offset + 1}}))
			}
		}
	}
}

func segmentio(ctx context.Context, broker, group, topic, strategy string) error {
	members, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{ID: group, Brokers: []string{broker}, Topics: []string{topic},
		GroupBalancers: []kafka.GroupBalancer{kafka.RangeGroupBalancer{}}, SessionTimeout: 3 * time.Second,
		HeartbeatInterval: 300 * time.Millisecond, RebalanceTimeout: 10 * time.Second, JoinGroupBackoff: 200 * time.Millisecond,
		StartOffset: kafka.FirstOffset})
	if err != nil {
		return err
	}
	for {
		g, err := members.Next(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return members.Close()
			}
			note(err)
			continue
		}
		list := []int32{}
		for _, a := range g.Assignments[topic] {
			list = append(list, int32(a.ID))
			g.Start(consume(g, broker, topic, a))
		}
		assigned(list, g.ID)
	}
}
