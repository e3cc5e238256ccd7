package main

import (
	"context"
	"fmt"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// Pulling from offsets of one's own choice.
func pull(r *run) any {
	topic := r.name("go_pull")
	r.topic(topic, 1)
	p := r.producer(producer.WithQueueSelector(producer.NewManualQueueSelector()))
	queues, _ := r.queues(topic)
	for i := range 50 {
		message := primitive.NewMessage(topic, []byte(fmt.Sprintf("pull %d", i)))
		message.Queue = queues[0]
		sent(p.SendSync(context.Background(), message))
	}
	equal(50, len(r.read(topic, 50)), "messages in the log")
	c := r.puller(r.name("g_go_pull"), topic, nil)
	some, err := c.PullFrom(context.Background(), queues[0], 10, 5)
	must(err, "a pull")
	equal(primitive.PullFound, some.Status, "status")
	equal(5, len(some.GetMessageExts()), "messages of a pull that asked for 5")
	equal("pull 10", string(some.GetMessageExts()[0].Body), "first body")
	equal(15, some.NextBeginOffset, "next offset")
	equal(0, some.MinOffset, "min offset")
	equal(50, some.MaxOffset, "max offset")
	beyond, err := c.PullFrom(context.Background(), queues[0], 1000, 32)
	must(err, "a pull beyond the end")
	equal(primitive.PullOffsetIllegal, beyond.Status, "status beyond the end")
	equal(50, beyond.NextBeginOffset, "corrected offset")
	return map[string]any{"messages": 50}
}

// Pulling what a balance among the group assigned.
func pullPoll(r *run) any {
	topic := r.name("go_pull_poll")
	r.topic(topic, 4)
	p := r.producer()
	wanted := map[string]bool{}
	for i := range 100 {
		body := fmt.Sprintf("poll %d", i)
		wanted[body] = true
		sent(p.SendSync(context.Background(), primitive.NewMessage(topic, []byte(body))))
	}
	c, err := rocketmq.NewPullConsumer(consumer.WithNameServer([]string{r.namesrv}),
		consumer.WithGroupName(r.name("g_go_pull_poll")), consumer.WithInstance(instance()),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
	must(err, "a new pull consumer")
	must(c.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}), "subscribing")
	must(c.Start(), "starting a pull consumer")
	r.closing(c.Shutdown)
	s := newSeen()
	await(func() string { return fmt.Sprintf("polled messages: %d of 100", s.distinct()) }, func() bool {
		polled, err := c.Poll(context.Background(), 100*time.Millisecond)
		if err == nil {
			for _, message := range polled.GetMsgList() {
				s.take(message)
			}
			c.ACK(context.Background(), polled, consumer.ConsumeSuccess)
		}
		return s.distinct() == 100
	})
	s.exactly(wanted, "polled messages")
	return map[string]any{"messages": 100}
}
