package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"

	"kourou.tests/clients/wire"
)

const problemsShownMax = 10

// What the topic holds against what was acknowledged.
type audit struct {
	// Acknowledged and not yet found, by queue and offset.
	open         []map[uint64]entry
	acknowledged int
	found        int
	corrupted    int
	moved        int
	unordered    int
	latest       [orderedProducers]uint64
	copies       map[[2]uint64]int
	problems     []string
}

func verify(namesrv, topic, file string) (map[string]any, error) {
	entries, err := readBook(file)
	if err != nil {
		return nil, err
	}
	a := &audit{acknowledged: len(entries), open: make([]map[uint64]entry, queues), copies: map[[2]uint64]int{}}
	for queue := range a.open {
		a.open[queue] = map[uint64]entry{}
	}
	twice := 0
	for _, e := range entries {
		if other, taken := a.open[e.Queue][e.Offset]; taken {
			twice++
			a.problem("queue %d offset %d was given to %d/%d and to %d/%d", e.Queue, e.Offset, other.Producer,
				other.Sequence, e.Producer, e.Sequence)
		}
		a.open[e.Queue][e.Offset] = e
	}

	err = readTopic(namesrv, topic, queues, func(queue int, message *primitive.MessageExt) error {
		a.take(queue, uint64(message.QueueOffset), message.Body)
		return nil
	})
	if err != nil {
		return nil, err
	}

	lost := 0
	for queue, open := range a.open {
		for offset, e := range open {
			lost++
			a.problem("lost: %d/%d, acknowledged at queue %d offset %d", e.Producer, e.Sequence, queue, offset)
		}
	}
	duplicates := 0
	for message, copies := range a.copies {
		duplicates += copies - 1
		if copies > 1 {
			a.problem("%d/%d is there %d times", message[0], message[1], copies)
		}
	}
	transactions, err := verifyTransactions(namesrv, topic, file)
	if err != nil {
		return nil, err
	}
	timers, err := verifyTimers(namesrv, topic, file)
	if err != nil {
		return nil, err
	}
	ok := transactions["ok"] == true && timers["ok"] == true && lost == 0 && a.corrupted == 0 && a.moved == 0 && a.unordered == 0 && twice == 0 && duplicates == 0 &&
		a.acknowledged > 0
	return map[string]any{
		"ok": ok, "acknowledged": a.acknowledged, "found": a.found, "lost": lost, "corrupted": a.corrupted,
		"moved": a.moved, "unordered": a.unordered, "offsetsGivenTwice": twice, "duplicates": duplicates,
		"transactions": transactions, "timers": timers, "problems": a.problems,
	}, nil
}

// Reads all queues of a topic.
func readTopic(namesrv, topic string, queues int, take func(queue int, message *primitive.MessageExt) error) error {
	broker, addr, _, err := wire.Route(namesrv, topic)
	if err != nil {
		return err
	}
	c, err := pullConsumer(namesrv, topic, "verify")
	if err != nil {
		return err
	}
	defer func() { _ = c.Shutdown() }()
	for queue := range queues {
		end, err := wire.MaxOffset(addr, topic, queue)
		if err != nil {
			return err
		}
		mq := &primitive.MessageQueue{Topic: topic, BrokerName: broker, QueueId: queue}
		err = readAll(c, mq, end, func(message *primitive.MessageExt) error { return take(queue, message) })
		if err != nil {
			return err
		}
	}
	return nil
}

// A consumer that pulls a topic for one purpose.
func pullConsumer(namesrv, topic, purpose string) (rocketmq.PullConsumer, error) {
	c, err := rocketmq.NewPullConsumer(consumer.WithNameServer([]string{namesrv}), consumer.WithGroupName("ledger_"+purpose),
		consumer.WithInstance(fmt.Sprintf("%s_%s_%d", purpose, topic, os.Getpid())))
	if err != nil {
		return nil, err
	}
	return c, errors.Join(c.Assign(topic, nil), c.Start())
}

// Reads a queue from its first message to its end.
func readAll(c rocketmq.PullConsumer, queue *primitive.MessageQueue, end int64, take func(*primitive.MessageExt) error) error {
	for next := int64(0); next < end; {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		result, err := c.PullFrom(ctx, queue, next, 32)
		cancel()
		if err != nil {
			return err
		}
		messages := result.GetMessageExts()
		if result.Status != primitive.PullFound || len(messages) == 0 {
			return fmt.Errorf("queue %d has nothing at %d and is said to end at %d: %v", queue.QueueId, next, end, result)
		}
		for _, message := range messages {
			if message.QueueOffset != next {
				return fmt.Errorf("queue %d has offset %d where %d should be", queue.QueueId, message.QueueOffset, next)
			}
			if err := take(message); err != nil {
				return fmt.Errorf("queue %d offset %d: %w", queue.QueueId, next, err)
			}
			next++
		}
	}
	return nil
}

func (a *audit) take(queue int, offset uint64, body []byte) {
	a.found++
	producer, sequence, err := decode(body)
	if err != nil {
		a.corrupted++
		a.problem("queue %d offset %d: %v", queue, offset, err)
		return
	}
	a.copies[[2]uint64{uint64(producer), sequence}]++
	if e, acknowledged := a.open[queue][offset]; acknowledged {
		if int(e.Producer) == producer && e.Sequence == sequence {
			delete(a.open[queue], offset)
		} else {
			a.moved++
			a.problem("queue %d offset %d has %d/%d and was given to %d/%d", queue, offset, producer, sequence,
				e.Producer, e.Sequence)
		}
	}
	if producer < orderedProducers {
		if queue != producer || sequence < a.latest[producer] {
			a.unordered++
			a.problem("queue %d offset %d has %d/%d after %d", queue, offset, producer, sequence, a.latest[producer])
		}
		a.latest[producer] = max(a.latest[producer], sequence)
	}
}

func (a *audit) problem(format string, args ...any) {
	if len(a.problems) < problemsShownMax {
		a.problems = append(a.problems, fmt.Sprintf(format, args...))
	}
}
