package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"

	"kourou.tests/clients/wire"
)

const (
	updateConsumerOffset = 15
	// A commit this old has to outlive a kill. Younger ones may be taken back: that repeats messages and loses none.
	settledAfter = 10 * time.Second
)

// The group comes into being with the heartbeat of a consumer; commits of an unknown one are refused.
func makeGroup(namesrv, topic string) error {
	c, err := rocketmq.NewPullConsumer(consumer.WithNameServer([]string{namesrv}), consumer.WithGroupName(group),
		consumer.WithInstance(fmt.Sprintf("ledger_group_%d", os.Getpid())))
	if err != nil {
		return err
	}
	if err := c.Assign(topic, nil); err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	return c.Shutdown()
}

type commit struct {
	at     time.Time
	offset int64
}

// Commits the offset of a group over and over, and looks after each interruption at what the broker still knows: never
// more than was committed, never beyond the end of the queue, and nothing settled is lost.
type offsetKeeper struct {
	addr    string
	topic   string
	sending *sending

	highest int64
	recent  []commit
	settled int64

	commits, lookUps, setBack int64
}

func (k *offsetKeeper) keep() {
	interrupted := false
	for !k.sending.stopping.Load() {
		if interrupted {
			if err := k.lookUp(); err != nil {
				time.Sleep(2 * time.Millisecond)
				continue
			}
		}
		interrupted = k.commitEnd() != nil
		time.Sleep(5 * time.Millisecond)
	}
}

func (k *offsetKeeper) commitEnd() error {
	end, err := wire.MaxOffset(k.addr, k.topic, 0)
	if err != nil {
		return err
	}
	k.highest = max(k.highest, end)
	answer, err := wire.Ask(k.addr, updateConsumerOffset, map[string]string{
		"consumerGroup": group, "topic": k.topic, "queueId": "0", "commitOffset": strconv.FormatInt(end, 10),
	})
	if err != nil {
		return err
	}
	if answer.Code != 0 {
		return fmt.Errorf("committing: code %d, %s", answer.Code, answer.Remark)
	}
	k.commits++
	now := time.Now()
	k.recent = append(k.recent, commit{now, end})
	for len(k.recent) > 0 && now.Sub(k.recent[0].at) > settledAfter {
		k.settled = k.recent[0].offset
		k.recent = k.recent[1:]
	}
	return nil
}

func (k *offsetKeeper) lookUp() error {
	found, err := wire.StoredOffset(k.addr, group, k.topic, 0)
	if err != nil {
		return err
	}
	end, err := wire.MaxOffset(k.addr, k.topic, 0)
	if err != nil {
		return err
	}
	k.lookUps++
	if len(k.recent) > 0 && found < k.recent[len(k.recent)-1].offset {
		k.setBack++
	}
	if found > k.highest || found > end || found < k.settled {
		err := fmt.Errorf("the offset is %d after a restart: committed were at most %d, %d long ago, and the queue ends at %d",
			found, k.highest, k.settled, end)
		k.sending.failed.CompareAndSwap(nil, &err)
	}
	return nil
}
