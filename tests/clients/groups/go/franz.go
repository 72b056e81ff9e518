package main

import (
	"context"
	"sort"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// franz polls with rebalances blocked, so that the generation cannot change while a batch is processed.
func franz(ctx context.Context, broker, group, topic, strategy string) error {
	balancers := map[string]kgo.GroupBalancer{"range": kgo.RangeBalancer(), "cooperative-sticky": kgo.CooperativeStickyBalancer()}
	owned := map[int32]bool{}
	tell := func(c *kgo.Client) {
		list := []int32{}
		for p := range owned {
			list = append(list, p)
		}
		sort.Slice(list, func(i, j int) bool { return list[i] < list[j] })
		_, generation := c.GroupMetadata()
		assigned(list, generation)
	}
	change := func(to bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, c *kgo.Client, partitions map[string][]int32) {
			for _, p := range partitions[topic] {
				if to {
					owned[p] = true
				} else {
					delete(owned, p)
				}
			}
			tell(c)
		}
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.Balancers(balancers[strategy]), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), kgo.SessionTimeout(3*time.Second), kgo.HeartbeatInterval(300*time.Millisecond),
		kgo.RebalanceTimeout(10*time.Second), kgo.MetadataMaxAge(2*time.Second), kgo.MetadataMinAge(time.Second),
		kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)), kgo.OnPartitionsLost(change(false)))
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		poll, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		fetches := c.PollRecords(poll, 100)
		cancel()
		_, generation := c.GroupMetadata()
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if n := len(p.Records); n > 0 {
				processed(p.Partition, p.Records[0].Offset, p.Records[n-1].Offset, generation)
			}
		})
		if fetches.NumRecords() > 0 {
			note(c.CommitUncommittedOffsets(context.Background()))
		}
		c.AllowRebalance()
	}
	c.CloseAllowingRebalance()
	return nil
}
