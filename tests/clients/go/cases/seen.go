package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

// What has been received: how often each body, and the last message of each.
type seen struct {
	lock   sync.Mutex
	times  map[string]int
	latest map[string]*primitive.MessageExt
	total  int
}

func newSeen() *seen {
	return &seen{times: map[string]int{}, latest: map[string]*primitive.MessageExt{}}
}

func (s *seen) take(message *primitive.MessageExt) {
	s.lock.Lock()
	defer s.lock.Unlock()
	body := string(message.Body)
	s.times[body]++
	s.latest[body] = message
	s.total++
}

// A listener that takes every message and succeeds.
func (s *seen) listen(_ context.Context, message *primitive.MessageExt) consumer.ConsumeResult {
	s.take(message)
	return consumer.ConsumeSuccess
}

func (s *seen) distinct() int {
	s.lock.Lock()
	defer s.lock.Unlock()
	return len(s.times)
}

func (s *seen) repeats() int {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.total - len(s.times)
}

func (s *seen) message(body string) *primitive.MessageExt {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.latest[body]
}

func (s *seen) await(what string, count int) {
	await(func() string { return fmt.Sprintf("%s: %d of %d", what, s.distinct(), count) },
		func() bool { return s.distinct() >= count })
}

// Exactly these bodies have come, each once.
func (s *seen) exactly(wanted map[string]bool, what string) {
	s.lock.Lock()
	defer s.lock.Unlock()
	for body, times := range s.times {
		that(wanted[body], "%s: nobody asked for %q", what, body)
		equal(1, times, what+": deliveries of "+body)
	}
	equal(len(wanted), len(s.times), what)
}
