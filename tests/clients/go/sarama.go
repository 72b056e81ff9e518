package main

import (
	"context"
	"fmt"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"
)

func saramaConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.Return.Successes = true
	c.Producer.MaxMessageBytes = 1048588
	c.Producer.Flush.Frequency = 5 * time.Millisecond
	c.Consumer.MaxWaitTime = 200 * time.Millisecond
	return c
}

func saramaProduce(broker string, rs []*kgo.Record, c *sarama.Config) error {
	p, err := sarama.NewSyncProducer([]string{broker}, c)
	if err != nil {
		return err
	}
	defer p.Close()
	var all []*sarama.ProducerMessage
	for _, r := range rs {
		m := &sarama.ProducerMessage{Topic: r.Topic, Partition: r.Partition, Value: sarama.ByteEncoder(r.Value)}
		if r.Key != nil {
			m.Key = sarama.ByteEncoder(r.Key)
		}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value})
		}
		all = append(all, m)
	}
	return p.SendMessages(all)
}

func saramaConsume(ctx context.Context, broker, topic string, n int) ([]*kgo.Record, error) {
	c, err := sarama.NewConsumer([]string{broker}, saramaConfig())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	all := make(chan *sarama.ConsumerMessage)
	for p := int32(0); p < partitions; p++ {
		one, err := c.ConsumePartition(topic, p, sarama.OffsetOldest)
		if err != nil {
			return nil, err
		}
		defer one.AsyncClose()
		go func() {
			for m := range one.Messages() {
				select {
				case all <- m:
				case <-ctx.Done():
				}
			}
		}()
	}
	var got []*kgo.Record
	for len(got) < n {
		select {
		case m := <-all:
			r := &kgo.Record{Partition: m.Partition, Offset: m.Offset, Key: m.Key, Value: m.Value}
			for _, h := range m.Headers {
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(h.Key), Value: h.Value})
			}
			got = append(got, r)
		case <-ctx.Done():
			return nil, fmt.Errorf("%d records read: %w", len(got), ctx.Err())
		}
	}
	return got, nil
}

func saramaTrip(broker, topic string, codec sarama.CompressionCodec, acks sarama.RequiredAcks, idempotent bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	admin, err := sarama.NewClusterAdmin([]string{broker}, saramaConfig())
	if err != nil {
		return err
	}
	defer admin.Close()
	if err := admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}, false); err != nil {
		return err
	}
	c := saramaConfig()
	c.Producer.Compression, c.Producer.RequiredAcks, c.Producer.Idempotent = codec, acks, idempotent
	if idempotent {
		c.Net.MaxOpenRequests = 1
	}
	sent := records(topic)
	if err := saramaProduce(broker, sent, c); err != nil {
		return err
	}
	got, err := saramaConsume(ctx, broker, topic, len(sent))
	if err != nil {
		return err
	}
	return compare(sent, got)
}

// What an operator's program asks through sarama's ClusterAdmin: each answer is checked.
func saramaAdmin(broker string) error {
	a, err := sarama.NewClusterAdmin([]string{broker}, saramaConfig())
	if err != nil {
		return err
	}
	defer a.Close()
	const topic = "sarama-admin"
	hour, minute := "3600000", "60000"
	if err := a.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1,
		ConfigEntries: map[string]*string{"retention.ms": &hour}}, false); err != nil {
		return fmt.Errorf("CreateTopic: %w", err)
	}
	if err := a.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1}, false); err == nil {
		return fmt.Errorf("a topic was created twice")
	}
	if err := a.CreatePartitions(topic, 5, nil, false); err != nil {
		return fmt.Errorf("CreatePartitions: %w", err)
	}
	meta, err := a.DescribeTopics([]string{topic})
	if err != nil || len(meta) != 1 || len(meta[0].Partitions) != 5 {
		return fmt.Errorf("DescribeTopics: %v, %v", meta, err)
	}
	if err := a.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{
		"segment.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &minute}}, false); err != nil {
		return fmt.Errorf("IncrementalAlterConfig: %w", err)
	}
	entries, err := a.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic,
		ConfigNames: []string{"retention.ms", "segment.ms"}})
	if err != nil || len(entries) != 2 {
		return fmt.Errorf("DescribeConfig: %v, %v", entries, err)
	}
	for _, e := range entries {
		if want := map[string]string{"retention.ms": hour, "segment.ms": minute}[e.Name]; e.Value != want || e.Default {
			return fmt.Errorf("DescribeConfig: %s is %s, not %s", e.Name, e.Value, want)
		}
	}
	topics, err := a.ListTopics()
	if d, is := topics[topic]; err != nil || !is || d.NumPartitions != 5 || d.ReplicationFactor != 1 {
		return fmt.Errorf("ListTopics: %v, %v", topics[topic], err)
	}
	brokers, controller, err := a.DescribeCluster()
	if err != nil || len(brokers) != 1 || brokers[0].ID() != controller {
		return fmt.Errorf("DescribeCluster: %v, controller %d, %v", brokers, controller, err)
	}
	dirs, err := a.DescribeLogDirs([]int32{controller})
	if err != nil || len(dirs[controller]) == 0 {
		return fmt.Errorf("DescribeLogDirs: %v, %v", dirs, err)
	}
	if moves, err := a.ListPartitionReassignments(topic, []int32{0, 1}); err != nil || len(moves[topic]) != 0 {
		return fmt.Errorf("ListPartitionReassignments: %v, %v", moves, err)
	}
	if quotas, err := a.DescribeClientQuotas([]sarama.QuotaFilterComponent{
		{EntityType: sarama.QuotaEntityUser, MatchType: sarama.QuotaMatchAny}}, false); err != nil || len(quotas) != 0 {
		return fmt.Errorf("DescribeClientQuotas: %v, %v", quotas, err)
	}
	if users, err := a.DescribeUserScramCredentials(nil); err != nil || len(users) != 0 {
		return fmt.Errorf("DescribeUserScramCredentials: %v, %v", users, err)
	}
	if err := saramaOffsets(a, broker, topic); err != nil {
		return err
	}
	if err := a.DeleteTopic(topic); err != nil {
		return fmt.Errorf("DeleteTopic: %w", err)
	}
	return nil
}

// Records are written, some deleted; offsets of a group without members are committed, shown and deleted with it.
func saramaOffsets(a sarama.ClusterAdmin, broker, topic string) error {
	const group = "sarama-simple"
	client, err := sarama.NewClient([]string{broker}, saramaConfig())
	if err != nil {
		return err
	}
	defer client.Close()
	var rs []*kgo.Record
	for i := 0; i < 10; i++ {
		rs = append(rs, &kgo.Record{Topic: topic, Value: []byte(fmt.Sprint(i))})
	}
	if err := saramaProduce(broker, rs, saramaConfig()); err != nil {
		return fmt.Errorf("Produce: %w", err)
	}
	if err := a.DeleteRecords(topic, map[int32]int64{0: 4}); err != nil {
		return fmt.Errorf("DeleteRecords: %w", err)
	}
	oldest, err1 := client.GetOffset(topic, 0, sarama.OffsetOldest)
	newest, err2 := client.GetOffset(topic, 0, sarama.OffsetNewest)
	if err1 != nil || err2 != nil || oldest != 4 || newest != 10 {
		return fmt.Errorf("GetOffset: %d to %d, %v, %v", oldest, newest, err1, err2)
	}
	m, err := sarama.NewOffsetManagerFromClient(group, client)
	if err != nil {
		return err
	}
	p, err := m.ManagePartition(topic, 0)
	if err != nil {
		return fmt.Errorf("ManagePartition: %w", err)
	}
	p.MarkOffset(7, "seven")
	m.Commit()
	p.Close()
	m.Close()
	offsets, err := a.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0}})
	if err != nil || offsets.GetBlock(topic, 0) == nil || offsets.GetBlock(topic, 0).Offset != 7 || offsets.GetBlock(topic, 0).Metadata != "seven" {
		return fmt.Errorf("ListConsumerGroupOffsets: %v, %v", offsets, err)
	}
	groups, err := a.ListConsumerGroups()
	if _, is := groups[group]; err != nil || !is {
		return fmt.Errorf("ListConsumerGroups: %v, %v", groups, err)
	}
	described, err := a.DescribeConsumerGroups([]string{group})
	if err != nil || len(described) != 1 || described[0].State != "Empty" {
		return fmt.Errorf("DescribeConsumerGroups: %v, %v", described, err)
	}
	if err := a.DeleteConsumerGroup(group); err != nil {
		return fmt.Errorf("DeleteConsumerGroup: %w", err)
	}
	return nil
}
