package main

import (
	"context"
	"fmt"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/primitive"

	"kourou.tests/clients/wire"
)

const first, later = 100, 50

// Offsets outlive the consumer.
func offsets(r *run) any {
	topic := r.name("go_offsets")
	consumeFirst(r, topic)
	return consumeOnlyLater(r, topic)
}

// Offsets outlive the broker: before its restart and after it, with the same suffix.
func offsetsBefore(r *run) any { return consumeFirst(r, r.name("go_offsets_restart")) }
func offsetsAfter(r *run) any  { return consumeOnlyLater(r, r.name("go_offsets_restart")) }

func consumeFirst(r *run, topic string) any {
	r.topic(topic, 4)
	wanted := sendOffsets(r.producer(), topic, 0, first)
	s := newSeen()
	c := r.push("g_"+topic, topic, "*", s.listen)
	s.await("first messages", first)
	s.exactly(wanted, "first messages")
	// The library moves its offsets on when a listener has returned, and does not wait for that when it shuts down.
	await(func() string { return fmt.Sprintf("offsets moved on, behind by %v", c.GetOffsetDiffMap()) }, func() bool {
		behind, known := c.GetOffsetDiffMap()[topic]
		return known && behind == 0
	})
	// Shutting down stores the offsets; they travel one way, so their arrival is awaited at the broker.
	must(c.Shutdown(), "shutting the consumer down")
	await(func() string { return fmt.Sprintf("stored offsets, now %d", stored(r, topic)) }, func() bool { return stored(r, topic) == first })
	return map[string]any{"messages": first}
}

func consumeOnlyLater(r *run, topic string) any {
	equal(first, stored(r, topic), "stored offsets")
	wanted := sendOffsets(r.producer(), topic, first, first+later)
	s := newSeen()
	c := r.push("g_"+topic, topic, "*", s.listen)
	s.await("later messages", later)
	must(c.Shutdown(), "shutting the consumer down")
	s.exactly(wanted, "later messages")
	return map[string]any{"messages": later}
}

func sendOffsets(p rocketmq.Producer, topic string, from, to int) map[string]bool {
	bodies := map[string]bool{}
	for i := from; i < to; i++ {
		body := fmt.Sprintf("offsets %d", i)
		bodies[body] = true
		sent(p.SendSync(context.Background(), primitive.NewMessage(topic, []byte(body))))
	}
	return bodies
}

// The sum of the group's offsets as the broker has them, or -1 if a queue has none yet.
func stored(r *run, topic string) int64 {
	queues, addr := r.queues(topic)
	sum := int64(0)
	for _, queue := range queues {
		offset, err := wire.StoredOffset(addr, "g_"+topic, topic, queue.QueueId)
		if err != nil || offset < 0 {
			return -1
		}
		sum += offset
	}
	return sum
}
