package main

import (
	"context"
	"slices"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

// A parked pull is answered by the send that it waits for, within milliseconds.
func longPoll(r *run) any {
	const messages = 50
	topic := r.name("go_long_poll")
	r.topic(topic, 4)
	p := r.producer()
	arrivals := make(chan time.Time, 4*messages)
	r.push(r.name("g_go_long_poll"), topic, "*", func(context.Context, *primitive.MessageExt) consumer.ConsumeResult {
		arrivals <- time.Now()
		return consumer.ConsumeSuccess
	})
	next := func() time.Time {
		select {
		case arrival := <-arrivals:
			return arrival
		case <-time.After(30 * time.Second):
			panic("a message did not arrive within 30 s")
		}
	}
	for range 20 {
		sent(p.SendSync(context.Background(), primitive.NewMessage(topic, []byte("warm-up"))))
		next()
	}
	var fromSend, fromAnswer []time.Duration
	for range messages {
		// Spacing is what the case is about: each message has to find the pull parked, not on its way.
		time.Sleep(20 * time.Millisecond)
		start := time.Now()
		sent(p.SendSync(context.Background(), primitive.NewMessage(topic, []byte("message"))))
		answered := time.Now()
		arrived := next()
		fromSend = append(fromSend, arrived.Sub(start))
		fromAnswer = append(fromAnswer, max(0, arrived.Sub(answered)))
	}
	slices.Sort(fromSend)
	slices.Sort(fromAnswer)
	median := fromAnswer[messages/2]
	that(median <= 25*time.Millisecond, "half of the messages took over %v from answer to arrival", median)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return map[string]any{"p50AfterAnswerMs": ms(median), "maxAfterAnswerMs": ms(fromAnswer[messages-1]),
		"p50FromSendMs": ms(fromSend[messages/2])}
}
