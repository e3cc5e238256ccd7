package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

// A message that waits for its reply: at once, by callback, and when nobody replies.
func requestReply(r *run) any {
	topic := r.name("go_request")
	r.topic(topic, 2)
	requester, replier := r.producer(), r.producer()
	var lock sync.Mutex
	var failures []string
	r.push(r.name("go_g_request"), topic, "*", func(ctx context.Context, message *primitive.MessageExt) consumer.ConsumeResult {
		if string(message.Body) == "nobody replies" {
			return consumer.ConsumeSuccess
		}
		// The client takes the body that it is given here for properties, and sends a reply without one.
		reply, err := consumer.CreateReplyMessage(message, nil)
		if err == nil {
			reply.Body = []byte("reply to " + string(message.Body))
			_, err = replier.SendSync(ctx, reply)
		}
		if err != nil {
			lock.Lock()
			failures = append(failures, err.Error())
			lock.Unlock()
		}
		return consumer.ConsumeSuccess
	})

	ask := func(body string) string {
		reply, err := requester.Request(context.Background(), 30*time.Second, primitive.NewMessage(topic, []byte(body)))
		lock.Lock()
		defer lock.Unlock()
		that(err == nil, "the request %s: %v; replies that failed: %v", body, err, failures)
		return string(reply.Body)
	}
	// The client tells the broker of itself with its heartbeat alone, some ten seconds after it has started: only then can
	// replies find it.
	await(func() string { return "a first reply" }, func() bool {
		_, err := requester.Request(context.Background(), time.Second, primitive.NewMessage(topic, []byte("first")))
		return err == nil
	})
	lock.Lock()
	failures = nil
	lock.Unlock()
	start := time.Now()
	for i := range 20 {
		equal(fmt.Sprintf("reply to %d", i), ask(fmt.Sprint(i)), "a reply")
	}
	each := time.Since(start) / 20

	heard := make(chan string, 100)
	for i := range 20 {
		message := primitive.NewMessage(topic, []byte(fmt.Sprintf("async %d", i)))
		must(requester.RequestAsync(context.Background(), 30*time.Second,
			func(_ context.Context, reply *primitive.Message, err error) {
				if err != nil {
					heard <- err.Error()
				} else {
					heard <- string(reply.Body)
				}
			}, message), "an asynchronous request")
	}
	missing := map[string]bool{}
	for i := range 20 {
		missing[fmt.Sprintf("reply to async %d", i)] = true
	}
	limit := time.After(30 * time.Second)
	for len(missing) > 0 {
		select {
		case body := <-heard:
			// The client may call twice for one reply.
			that(strings.HasPrefix(body, "reply to async "), "a callback heard %q", body)
			delete(missing, body)
		case <-limit:
			that(false, "callbacks that did not come: %v", missing)
		}
	}
	_, err := requester.Request(context.Background(), time.Second, primitive.NewMessage(topic, []byte("nobody replies")))
	that(err != nil, "a request without a reply must fail")
	lock.Lock()
	defer lock.Unlock()
	that(len(failures) == 0, "replies that failed: %v", failures)
	return map[string]any{"replies": 41, "eachMs": each.Milliseconds()}
}
