package main

import (
	"context"
	"time"

	"github.com/IBM/sarama"
)

type handler struct{ topic string }

func (h handler) Setup(s sarama.ConsumerGroupSession) error {
	assigned(s.Claims()[h.topic], s.GenerationID())
	return nil
}

func (h handler) Cleanup(s sarama.ConsumerGroupSession) error {
	assigned(nil, s.GenerationID())
	return nil
}

// A claim ends with its session, and a session is one generation.
func (h handler) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case <-s.Context().Done():
			return nil
		case m, more := <-claim.Messages():
			if !more {
				return nil
			}
			processed(m.Partition, m.Offset, m.Offset, s.GenerationID())
			s.MarkMessage(m, "")
			if claim.HighWaterMarkOffset()-m.Offset <= 1 || m.Offset%20 == 0 {
				s.Commit()
			}
		}
	}
}

func saramaMember(ctx context.Context, broker, group, topic, strategy string) error {
	c := sarama.NewConfig()
	c.Version = sarama.V2_8_0_0
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.Group.Session.Timeout = 3 * time.Second
	c.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
	c.Consumer.Group.Rebalance.Timeout = 10 * time.Second
	c.Consumer.MaxWaitTime = 200 * time.Millisecond
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange()}
	members, err := sarama.NewConsumerGroup([]string{broker}, group, c)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		note(members.Consume(ctx, []string{topic}, handler{topic}))
	}
	return members.Close()
}
