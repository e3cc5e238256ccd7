package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// Per key strictly in sequence, over several queues, and from one consumer to the next. The library does not give a
// queue's lock back when a rebalance takes the queue away, so two consumers at a time would wait a minute for it to
// expire; a consumer that leaves does give its locks back.
func ordered(r *run) any {
	const keys, perKey = 16, 40
	topic := r.name("go_ordered")
	group := r.name("g_go_ordered")
	r.topic(topic, 4)
	p := r.producer(producer.WithQueueSelector(producer.NewManualQueueSelector()))
	queues, _ := r.queues(topic)
	send := func(from, to int) {
		for i := from; i < to; i++ {
			for key := range keys {
				message := primitive.NewMessage(topic, []byte(fmt.Sprintf("%d:%d", key, i)))
				message.Queue = queues[key%4]
				sent(p.SendSync(context.Background(), message))
			}
		}
	}

	var lock sync.Mutex
	next := map[int]int{}
	var violations []string
	s := newSeen()
	var bySecond atomic.Int64
	listen := func(count *atomic.Int64) func(context.Context, *primitive.MessageExt) consumer.ConsumeResult {
		return func(ctx context.Context, message *primitive.MessageExt) consumer.ConsumeResult {
			var key, number int
			fmt.Sscanf(string(message.Body), "%d:%d", &key, &number)
			lock.Lock()
			defer lock.Unlock()
			if number > next[key] {
				violations = append(violations, fmt.Sprintf("key %d: %d before %d", key, number, next[key]))
			}
			next[key] = max(next[key], number+1)
			count.Add(1)
			s.take(message)
			return consumer.ConsumeSuccess
		}
	}
	send(0, perKey/2)
	first := r.push(group, topic, "*", listen(&atomic.Int64{}), consumer.WithConsumerOrder(true))
	s.await("ordered messages of the first consumer", keys*perKey/2)
	must(first.Shutdown(), "shutting the first consumer down")
	send(perKey/2, perKey)
	r.push(group, topic, "*", listen(&bySecond), consumer.WithConsumerOrder(true))
	s.await("ordered messages", keys*perKey)
	lock.Lock()
	defer lock.Unlock()
	that(len(violations) == 0, "out of order: %v", violations)
	return map[string]any{"messages": s.distinct(), "repeated": s.repeats(), "bySecond": bySecond.Load()}
}
