package main

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/primitive"

	"kourou.tests/clients/wire"
)

const (
	timerProducers = 2
	timerQueues    = 2
	// Messages are for any time up to this from now: several lives of the broker.
	delayMax = 6 * time.Second
	// Between two of a producer: as many wait as a store may have at a time, and not the whole run.
	timerPace        = 4 * time.Millisecond
	timerSettleLimit = 60 * time.Second
	dueProperty      = "LEDGER_DUE_MS"
)

func timerTopic(topic string) string { return topic + "_timers" }
func timerFile(file string) string   { return file + ".timers" }

// Sends messages for a time, until each is acknowledged once, and watches their queues meanwhile: by a clock that is not the
// broker's, none may be there before its time. The book has the time where others have an offset.
type timers struct {
	*sending
	namesrv string
	// By queue, how many were seen; and those that were there too early.
	seen  [timerQueues]atomic.Int64
	early atomic.Int64
}

func startTimers(namesrv, topic, file string, start func(func()), seed int64) (*timers, error) {
	topic = timerTopic(topic)
	if err := wire.CreateTopic(namesrv, topic, timerQueues); err != nil {
		return nil, err
	}
	broker, _, _, err := wire.Route(namesrv, topic)
	if err != nil {
		return nil, err
	}
	book, err := newBook(timerFile(file))
	if err != nil {
		return nil, err
	}
	t := &timers{sending: &sending{topic: topic, broker: broker, book: book}, namesrv: namesrv}
	t.lives.begin()
	for id := range timerProducers {
		p, err := startProducer(namesrv, fmt.Sprintf("ledger_timers_%d_%d", os.Getpid(), id))
		if err != nil {
			return nil, err
		}
		random := rand.New(rand.NewSource(seed + 1000 + int64(id)))
		start(func() { t.send(p, id, random) })
	}
	c, err := pullConsumer(namesrv, topic, "watch")
	if err != nil {
		return nil, err
	}
	for queue := range timerQueues {
		// It goes on while what was sent comes due, until the program ends.
		go t.watch(c, queue)
	}
	return t, nil
}

func (t *timers) send(p rocketmq.Producer, id int, random *rand.Rand) {
	for sequence := uint64(0); !t.stopping.Load(); sequence++ {
		body := encode(id, sequence, random)
		due := strconv.FormatInt(time.Now().Add(time.Duration(random.Int63n(int64(delayMax)))).UnixMilli(), 10)
		message := primitive.NewMessage(t.topic, body)
		message.Queue = &primitive.MessageQueue{Topic: t.topic, BrokerName: t.broker, QueueId: id}
		message.WithProperty("TIMER_DELIVER_MS", due)
		message.WithProperty(dueProperty, due)
		for {
			t.attempts.Add(1)
			result, err := p.SendSync(t.lives.current(), message)
			if err == nil && result.Status == primitive.SendOK {
				break
			}
			time.Sleep(2 * time.Millisecond)
		}
		dueMs, err := strconv.ParseUint(due, 10, 64)
		if err == nil {
			err = t.book.note(entry{Producer: uint32(id), Sequence: sequence, Offset: dueMs})
		}
		if err != nil {
			t.failed.CompareAndSwap(nil, &err)
		}
		time.Sleep(timerPace)
	}
}

// Reads a queue as it grows.
func (t *timers) watch(c rocketmq.PullConsumer, queue int) {
	mq := &primitive.MessageQueue{Topic: t.topic, BrokerName: t.broker, QueueId: queue}
	for next := int64(0); ; {
		ctx, cancel := context.WithTimeout(t.lives.current(), 5*time.Second)
		result, err := c.PullFrom(ctx, mq, next, 32)
		now := time.Now().UnixMilli()
		cancel()
		if err != nil || result.Status != primitive.PullFound {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		for _, message := range result.GetMessageExts() {
			due, err := strconv.ParseInt(message.GetProperty(dueProperty), 10, 64)
			if err != nil {
				err = fmt.Errorf("queue %d offset %d is for no time: %w", queue, message.QueueOffset, err)
				t.failed.CompareAndSwap(nil, &err)
			}
			if now < due {
				t.early.Add(1)
			}
			next = message.QueueOffset + 1
			t.seen[queue].Add(1)
		}
	}
}

// Waits until all that was acknowledged has come.
func (t *timers) settle() error {
	wanted := t.book.count.Load()
	var seen int64
	for begin := time.Now(); time.Since(begin) < timerSettleLimit; time.Sleep(20 * time.Millisecond) {
		seen = 0
		for queue := range timerQueues {
			seen += t.seen[queue].Load()
		}
		if seen >= wanted {
			return nil
		}
	}
	return fmt.Errorf("of %d messages for a time %d have come after %v", wanted, seen, timerSettleLimit)
}

// Compares the topic with what was acknowledged: each is there once, and was stored no earlier than it should be.
func verifyTimers(namesrv, topic, file string) (map[string]any, error) {
	entries, err := readBook(timerFile(file))
	if err != nil {
		return nil, err
	}
	topic = timerTopic(topic)
	stored := map[[2]uint64][]int64{}
	err = readTopic(namesrv, topic, timerQueues, func(_ int, message *primitive.MessageExt) error {
		producer, sequence, err := decode(message.Body)
		key := [2]uint64{uint64(producer), sequence}
		stored[key] = append(stored[key], message.StoreTimestamp)
		return err
	})
	if err != nil {
		return nil, err
	}
	return judgeTimers(entries, stored), nil
}

// `stored` says when each message, by producer and number, came into the topic.
func judgeTimers(entries []entry, stored map[[2]uint64][]int64) map[string]any {
	lost, repeated, early := 0, 0, 0
	for _, e := range entries {
		times := stored[[2]uint64{uint64(e.Producer), e.Sequence}]
		if len(times) == 0 {
			lost++
		}
		for _, at := range times {
			if at < int64(e.Offset) {
				early++
			}
		}
	}
	for _, times := range stored {
		repeated += len(times) - 1
	}
	ok := lost == 0 && repeated == 0 && early == 0 && len(entries) > 0
	return map[string]any{"ok": ok, "acknowledged": len(entries), "lost": lost, "repeated": repeated, "early": early}
}
