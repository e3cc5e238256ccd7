package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// Clients of a namespace: the same names in another one are others, retries and dead letters included.
func namespaces(r *run) any {
	topic, group := r.name("go_in_namespace"), r.name("g_go_in_namespace")
	var lock sync.Mutex
	received := map[string]map[string]bool{}
	deliveries := map[int32]bool{}
	for _, namespace := range []string{"one", "two"} {
		r.topic(namespace+"%"+topic, 2)
		received[namespace] = map[string]bool{}
		r.push(group, topic, "*", func(ctx context.Context, message *primitive.MessageExt) consumer.ConsumeResult {
			lock.Lock()
			defer lock.Unlock()
			body := string(message.Body)
			if body == "two bad" {
				deliveries[message.ReconsumeTimes] = true
				if c, ok := primitive.GetConcurrentlyCtx(ctx); ok {
					c.DelayLevelWhenNextConsume = 1
				}
				return consumer.ConsumeRetryLater
			}
			received[namespace][body] = true
			return consumer.ConsumeSuccess
		}, consumer.WithNamespace(namespace), consumer.WithMaxReconsumeTimes(1))
		p := r.producer(producer.WithNamespace(namespace))
		for i := range 20 {
			result, err := p.SendSync(context.Background(),
				primitive.NewMessage(topic, []byte(fmt.Sprintf("%s %d", namespace, i))))
			must(err, "a send")
			equal(primitive.SendOK, result.Status, "status of a send")
		}
		if namespace == "two" {
			_, err := p.SendSync(context.Background(), primitive.NewMessage(topic, []byte("two bad")))
			must(err, "a send")
		}
	}
	for _, namespace := range []string{"one", "two"} {
		count := func() int {
			lock.Lock()
			defer lock.Unlock()
			return len(received[namespace])
		}
		await(func() string { return fmt.Sprintf("20 messages in namespace %s, now %d", namespace, count()) },
			func() bool { return count() >= 20 })
		for i := range 20 {
			that(received[namespace][fmt.Sprintf("%s %d", namespace, i)], "message %d of namespace %s", i, namespace)
		}
		equal(20, count(), "messages in namespace "+namespace)
	}
	letters := r.read("%DLQ%two%"+group, 1)
	equal(1, len(letters), "dead letters")
	equal("two bad", string(letters[0].Body), "the dead letter")
	lock.Lock()
	defer lock.Unlock()
	equal(2, len(deliveries), "deliveries of the bad message")
	return map[string]any{"each": 20}
}
