package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

func segmentioProduce(ctx context.Context, broker string, rs []*kgo.Record, codec kafka.Compression, acks kafka.RequiredAcks) error {
	w := &kafka.Writer{Addr: kafka.TCP(broker), RequiredAcks: acks, Compression: codec, BatchTimeout: 5 * time.Millisecond,
		BatchBytes: 1048588, Balancer: kafka.BalancerFunc(func(m kafka.Message, _ ...int) int { return m.WriterData.(int) })}
	defer w.Close()
	var all []kafka.Message
	for _, r := range rs {
		m := kafka.Message{Topic: r.Topic, Key: r.Key, Value: r.Value, WriterData: int(r.Partition)}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, kafka.Header{Key: h.Key, Value: h.Value})
		}
		all = append(all, m)
	}
	return w.WriteMessages(ctx, all...)
}

func segmentioConsume(ctx context.Context, broker, topic string, sent []*kgo.Record) ([]*kgo.Record, error) {
	var want [partitions]int
	for _, r := range sent {
		want[r.Partition]++
	}
	var got []*kgo.Record
	for p := range want {
		r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{broker}, Topic: topic, Partition: p, MinBytes: 1, MaxBytes: 4 << 20,
			MaxWait: 200 * time.Millisecond})
		defer r.Close()
		for i := 0; i < want[p]; i++ {
			m, err := r.ReadMessage(ctx)
			if err != nil {
				return nil, fmt.Errorf("partition %d: %d records read: %w", p, i, err)
			}
			one := &kgo.Record{Partition: int32(m.Partition), Offset: m.Offset, Key: m.Key, Value: m.Value}
			for _, h := range m.Headers {
				one.Headers = append(one.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
			}
			got = append(got, one)
		}
	}
	return got, nil
}

func segmentioClient(broker string) *kafka.Client {
	return &kafka.Client{Addr: kafka.TCP(broker), Timeout: 30 * time.Second}
}

func segmentioCreate(ctx context.Context, broker, topic string, n int, settings ...kafka.ConfigEntry) error {
	a, err := segmentioClient(broker).CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{
		{Topic: topic, NumPartitions: n, ReplicationFactor: 1, ConfigEntries: settings}}})
	if err != nil {
		return err
	}
	return a.Errors[topic]
}

func segmentioTrip(broker, topic string, codec kafka.Compression, acks kafka.RequiredAcks) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := segmentioCreate(ctx, broker, topic, partitions); err != nil {
		return err
	}
	sent := records(topic)
	if err := segmentioProduce(ctx, broker, sent, codec, acks); err != nil {
		return err
	}
	got, err := segmentioConsume(ctx, broker, topic, sent)
	if err != nil {
		return err
	}
	return compare(sent, got)
}

// The requests of kafka.Client and kafka.Conn, most of them in versions that no other client here speaks.
func segmentioAdmin(broker string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	const topic, group = "segmentio-admin", "segmentio-simple"
	c := segmentioClient(broker)
	if err := segmentioCreate(ctx, broker, topic, 2, kafka.ConfigEntry{ConfigName: "retention.ms", ConfigValue: "3600000"}); err != nil {
		return fmt.Errorf("CreateTopics: %w", err)
	}
	if a, err := c.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: 3}}}); err != nil || a.Errors[topic] != nil {
		return fmt.Errorf("CreatePartitions: %v, %v", a, err)
	}
	meta, err := c.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	for err == nil && len(meta.Topics) == 1 && len(meta.Topics[0].Partitions) != 3 && ctx.Err() == nil {
		time.Sleep(100 * time.Millisecond) // the client keeps what it knew for a while
		meta, err = c.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	}
	if err != nil || len(meta.Topics) != 1 || len(meta.Brokers) != 1 {
		return fmt.Errorf("Metadata: %v, %v", meta, err)
	}
	if a, err := c.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, Configs: []kafka.IncrementalAlterConfigsRequestConfig{
			{Name: "segment.ms", Value: "60000", ConfigOperation: kafka.ConfigOperationSet}}}}}); err != nil || a.Resources[0].Error != nil {
		return fmt.Errorf("IncrementalAlterConfigs: %v, %v", a, err)
	}
	configs, err := c.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{"segment.ms"}}}})
	if err != nil || len(configs.Resources) != 1 || len(configs.Resources[0].ConfigEntries) != 1 ||
		configs.Resources[0].ConfigEntries[0].ConfigValue != "60000" {
		return fmt.Errorf("DescribeConfigs: %v, %v", configs, err)
	}
	var rs []*kgo.Record
	for i := 0; i < 10; i++ {
		rs = append(rs, &kgo.Record{Topic: topic, Value: []byte(fmt.Sprint(i))})
	}
	if err := segmentioProduce(ctx, broker, rs, 0, kafka.RequireAll); err != nil {
		return fmt.Errorf("Produce: %w", err)
	}
	ends, err := c.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {kafka.FirstOffsetOf(0), kafka.LastOffsetOf(0)}}})
	if err != nil || ends.Topics[topic][0].FirstOffset != 0 || ends.Topics[topic][0].LastOffset != 10 {
		return fmt.Errorf("ListOffsets: %v, %v", ends, err)
	}
	if a, err := c.OffsetCommit(ctx, &kafka.OffsetCommitRequest{GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{
		topic: {{Partition: 0, Offset: 7, Metadata: "seven"}}}}); err != nil || a.Topics[topic][0].Error != nil {
		return fmt.Errorf("OffsetCommit: %v, %v", a, err)
	}
	offsets, err := c.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {0, 1}}})
	if err != nil || offsets.Topics[topic][0].CommittedOffset != 7 || offsets.Topics[topic][1].CommittedOffset != -1 {
		return fmt.Errorf("OffsetFetch: %v, %v", offsets, err)
	}
	at, err := c.FindCoordinator(ctx, &kafka.FindCoordinatorRequest{Key: group, KeyType: kafka.CoordinatorKeyTypeConsumer})
	if err != nil || at.Error != nil || net.JoinHostPort(at.Coordinator.Host, fmt.Sprint(at.Coordinator.Port)) != broker {
		return fmt.Errorf("FindCoordinator: %v, %v", at, err)
	}
	groups, err := c.ListGroups(ctx, &kafka.ListGroupsRequest{})
	if err != nil || groups.Error != nil {
		return fmt.Errorf("ListGroups: %v, %v", groups, err)
	}
	listed := false
	for _, g := range groups.Groups {
		listed = listed || g.GroupID == group
	}
	described, err := c.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil || !listed || len(described.Groups) != 1 || described.Groups[0].GroupState != "Empty" {
		return fmt.Errorf("ListGroups, DescribeGroups: %v, %v, %v", groups, described, err)
	}
	if a, err := c.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}}); err != nil || a.Errors[group] != nil {
		return fmt.Errorf("DeleteGroups: %v, %v", a, err)
	}
	if a, err := c.ElectLeaders(ctx, &kafka.ElectLeadersRequest{Topic: topic, Partitions: []int{0}}); err != nil || a.Error != nil {
		return fmt.Errorf("ElectLeaders: %v, %v", a, err)
	}
	if a, err := c.ListPartitionReassignments(ctx, &kafka.ListPartitionReassignmentsRequest{}); err != nil || a.Error != nil || len(a.Topics) != 0 {
		return fmt.Errorf("ListPartitionReassignments: %v, %v", a, err)
	}
	if a, err := c.DescribeClientQuotas(ctx, &kafka.DescribeClientQuotasRequest{Components: []kafka.DescribeClientQuotasRequestComponent{
		{EntityType: "client-id", MatchType: 2}}}); err != nil || a.Error != nil || len(a.Entries) != 0 {
		return fmt.Errorf("DescribeClientQuotas: %v, %v", a, err)
	}
	if a, err := c.DescribeUserScramCredentials(ctx, &kafka.DescribeUserScramCredentialsRequest{}); err != nil || a.Error != nil || len(a.Results) != 0 {
		return fmt.Errorf("DescribeUserScramCredentials: %v, %v", a, err)
	}
	if a, err := c.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}}); err != nil || a.Errors[topic] != nil {
		return fmt.Errorf("DeleteTopics: %v, %v", a, err)
	}
	return nil
}
