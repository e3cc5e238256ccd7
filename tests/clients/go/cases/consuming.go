package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"

	"kourou.tests/clients/wire"
)

// Who received last from each of the queues.
type owners struct {
	lock sync.Mutex
	last [8]string
}

func (o *owners) take(who string, queue int) {
	o.lock.Lock()
	defer o.lock.Unlock()
	o.last[queue] = who
}

func (o *owners) count(who string) int {
	o.lock.Lock()
	defer o.lock.Unlock()
	count := 0
	for _, owner := range o.last {
		if owner == who {
			count++
		}
	}
	return count
}

func rebalance(r *run) any {
	topic := r.name("go_rebalance")
	group := r.name("g_go_rebalance")
	r.topic(topic, 8)
	p := r.producer(producer.WithQueueSelector(producer.NewRoundRobinQueueSelector()))
	s := newSeen()
	own := &owners{}
	listen := func(who string) func(context.Context, *primitive.MessageExt) consumer.ConsumeResult {
		return func(_ context.Context, message *primitive.MessageExt) consumer.ConsumeResult {
			s.take(message)
			own.take(who, message.Queue.QueueId)
			return consumer.ConsumeSuccess
		}
	}

	// Messages flow all the time, so that every hand-over of a queue happens under load.
	var enough atomic.Bool
	var failures atomic.Int64
	acknowledged := map[string]bool{}
	sending := make(chan struct{})
	go func() {
		defer close(sending)
		for i := 0; !enough.Load(); i++ {
			body := fmt.Sprintf("rebalance %d", i)
			result, err := p.SendSync(context.Background(), primitive.NewMessage(topic, []byte(body)))
			if err != nil || result.Status != primitive.SendOK {
				failures.Add(1)
			} else {
				acknowledged[body] = true
			}
			time.Sleep(time.Millisecond)
		}
	}()
	stop := sync.OnceFunc(func() {
		enough.Store(true)
		<-sending
	})
	defer stop()

	r.push(group, topic, "*", listen("first"))
	await(func() string { return "the first consumer receives from all queues" }, func() bool { return own.count("first") == 8 })
	s.await("messages while there is one", 200)
	start := time.Now()
	second := r.push(group, topic, "*", listen("second"))
	await(func() string { return fmt.Sprintf("queues split 4 and 4: %v", own.last) },
		func() bool { return own.count("first") == 4 && own.count("second") == 4 })
	split := time.Since(start)
	s.await("messages while there are two", s.distinct()+200)
	start = time.Now()
	must(second.Shutdown(), "shutting the second consumer down")
	await(func() string { return fmt.Sprintf("all queues are back: %v", own.last) }, func() bool { return own.count("first") == 8 })
	merge := time.Since(start)
	s.await("messages while there is one again", s.distinct()+200)
	stop()
	equal(0, failures.Load(), "failed sends")
	s.await("all messages", len(acknowledged))
	for body := range acknowledged {
		that(s.message(body) != nil, "lost: %s", body)
	}
	// The broker tells of the change; without its word a client looks only every 20 s.
	that(split < 15*time.Second && merge < 15*time.Second, "split took %v, merge %v", split, merge)
	return map[string]any{"messages": len(acknowledged), "repeated": s.repeats(), "splitMs": split.Milliseconds(),
		"mergeMs": merge.Milliseconds()}
}

func broadcast(r *run) any {
	topic := r.name("go_broadcast")
	r.topic(topic, 4)
	p := r.producer()
	both := []*seen{newSeen(), newSeen()}
	for _, s := range both {
		r.push(r.name("g_go_broadcast"), topic, "*", s.listen, consumer.WithConsumerModel(consumer.BroadCasting))
	}
	wanted := map[string]bool{}
	for i := range 100 {
		body := fmt.Sprintf("broadcast %d", i)
		wanted[body] = true
		sent(p.SendSync(context.Background(), primitive.NewMessage(topic, []byte(body))))
	}
	for _, s := range both {
		s.await("broadcast messages", 100)
		s.exactly(wanted, "broadcast messages of one consumer")
	}
	return map[string]any{"each": 100}
}

func tags(r *run) any {
	topic := r.name("go_tags")
	r.topic(topic, 4)
	p := r.producer()
	send := func(tag, body string) {
		message := primitive.NewMessage(topic, []byte(body))
		if tag != "" {
			message.WithTag(tag)
		}
		sent(p.SendSync(context.Background(), message))
	}
	// "Aa" and "BB" hash alike: the broker cannot tell them apart and must leave that to the client.
	kinds := []string{"C", "Aa", "BB", "", "B", "AA"}
	wanted := map[string]bool{}
	for i := range 240 {
		tag := kinds[i%len(kinds)]
		body := fmt.Sprintf("%s %d", tag, i)
		send(tag, body)
		if tag == "Aa" || tag == "B" {
			wanted[body] = true
		}
	}
	s := newSeen()
	r.push(r.name("g_go_tags"), topic, "Aa || B", s.listen)
	s.await("tagged messages", len(wanted))
	send("B", "last")
	wanted["last"] = true
	s.await("tagged messages", len(wanted))
	s.exactly(wanted, "tagged messages")
	return map[string]any{"sent": 241, "received": len(wanted)}
}

func retryThenDeadLetter(r *run) any {
	topic := r.name("go_retry")
	group := r.name("g_go_retry")
	r.topic(topic, 2)
	p := r.producer()
	// The retry topic comes into being with the group. A client that started before that finds its route only after
	// half a minute, so a first consumer makes the group and leaves.
	must(r.push(group, topic, "*", newSeen().listen).Shutdown(), "shutting the first consumer down")
	await(func() string { return "a route for the retry topic" }, func() bool {
		_, _, _, err := wire.Route(r.namesrv, "%RETRY%"+group)
		return err == nil
	})

	var lock sync.Mutex
	times := map[int32]time.Time{}
	deliveries := map[int32]*primitive.MessageExt{}
	repeats := 0
	count := func() int {
		lock.Lock()
		defer lock.Unlock()
		return len(deliveries)
	}
	good := newSeen()
	listen := func(ctx context.Context, message *primitive.MessageExt) consumer.ConsumeResult {
		if string(message.Body) != "bad" {
			return good.listen(ctx, message)
		}
		lock.Lock()
		defer lock.Unlock()
		if _, again := deliveries[message.ReconsumeTimes]; again {
			repeats++
		}
		deliveries[message.ReconsumeTimes] = message
		times[message.ReconsumeTimes] = time.Now()
		if concurrently, ok := primitive.GetConcurrentlyCtx(ctx); ok {
			concurrently.DelayLevelWhenNextConsume = 1
		}
		return consumer.ConsumeRetryLater
	}
	r.push(group, topic, "*", listen, consumer.WithMaxReconsumeTimes(2))
	bad := primitive.NewMessage(topic, []byte("bad"))
	bad.WithTag("tag").WithKeys([]string{"bad-key"})
	bad.WithProperty("origin", "here")
	result := sent(p.SendSync(context.Background(), bad))
	for i := range 20 {
		sent(p.SendSync(context.Background(), primitive.NewMessage(topic, []byte(fmt.Sprintf("good %d", i)))))
	}
	good.await("good messages", 20)
	await(func() string { return fmt.Sprintf("deliveries of the bad message, now %d", count()) }, func() bool { return count() == 3 })
	dead := r.read("%DLQ%"+group, 1)
	equal(1, len(dead), "dead letters")
	equal("bad", string(dead[0].Body), "body of the dead letter")
	equal(result.MsgID, dead[0].MsgId, "id of the dead letter")
	equal("bad-key", dead[0].GetKeys(), "key of the dead letter")
	equal("here", dead[0].GetProperty("origin"), "property of the dead letter")
	equal(topic, dead[0].GetProperty(primitive.PropertyRetryTopic), "origin topic of the dead letter")

	lock.Lock()
	defer lock.Unlock()
	for i := range int32(3) {
		delivery := deliveries[i]
		equal(topic, delivery.Topic, "topic of a delivery")
		equal(result.MsgID, delivery.MsgId, "id of a delivery")
		equal("tag", delivery.GetTags(), "tag of a delivery")
		if i > 0 {
			gap := times[i].Sub(times[i-1])
			that(gap >= 990*time.Millisecond, "delivery %d came after %v, its level says 1 s", i, gap)
		}
	}
	equal(0, repeats, "repeated deliveries")
	return map[string]any{"firstGapMs": times[1].Sub(times[0]).Milliseconds(), "secondGapMs": times[2].Sub(times[1]).Milliseconds()}
}

func delay(r *run) any {
	topic := r.name("go_delay")
	r.topic(topic, 2)
	p := r.producer()
	var lock sync.Mutex
	arrivals := map[string]time.Time{}
	s := newSeen()
	r.push(r.name("g_go_delay"), topic, "*", func(ctx context.Context, message *primitive.MessageExt) consumer.ConsumeResult {
		lock.Lock()
		if _, known := arrivals[string(message.Body)]; !known {
			arrivals[string(message.Body)] = time.Now()
		}
		lock.Unlock()
		return s.listen(ctx, message)
	})
	sent(p.SendSync(context.Background(), primitive.NewMessage(topic, []byte("warm-up"))))
	s.await("warm-up message", 1)
	sends := map[string]time.Time{}
	for i := range 10 {
		body := fmt.Sprintf("delay %d", i)
		message := primitive.NewMessage(topic, []byte(body))
		message.WithDelayTimeLevel(1)
		sends[body] = time.Now()
		sent(p.SendSync(context.Background(), message))
	}
	s.await("delayed messages", 11)
	latest := time.Duration(0)
	lock.Lock()
	defer lock.Unlock()
	for body, start := range sends {
		took := arrivals[body].Sub(start)
		// Clocks are read in whole milliseconds on both sides.
		that(took >= 999*time.Millisecond && took < 3*time.Second, "%s came after %v, one second was asked for", body, took)
		latest = max(latest, took-time.Second)
	}
	return map[string]any{"messages": 10, "latestMs": latest.Milliseconds()}
}
