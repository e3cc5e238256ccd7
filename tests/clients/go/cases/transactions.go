package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// Decides by the first word of a body, and by its second when asked.
type decider struct {
	lock  sync.Mutex
	asked []string
}

func decision(body string, word int) primitive.LocalTransactionState {
	switch strings.Split(body, " ")[word] {
	case "commit":
		return primitive.CommitMessageState
	case "rollback":
		return primitive.RollbackMessageState
	}
	return primitive.UnkonwnState
}

func (d *decider) ExecuteLocalTransaction(message *primitive.Message) primitive.LocalTransactionState {
	return decision(string(message.Body), 0)
}

func (d *decider) CheckLocalTransaction(message *primitive.MessageExt) primitive.LocalTransactionState {
	d.lock.Lock()
	defer d.lock.Unlock()
	d.asked = append(d.asked, string(message.Body))
	return decision(string(message.Body), 1)
}

func (d *decider) count() int {
	d.lock.Lock()
	defer d.lock.Unlock()
	return len(d.asked)
}

// What is committed is there once, what is rolled back never, and whoever does not know is asked.
func transactions(r *run) any {
	topic := r.name("go_transactions")
	r.topic(topic, 3)
	listener := &decider{}
	p, err := rocketmq.NewTransactionProducer(listener, producer.WithNameServer([]string{r.namesrv}),
		producer.WithGroupName(r.name("go_p_transactions")), producer.WithInstanceName(instance()),
		producer.WithRetry(0), producer.WithSendMsgTimeout(10*time.Second))
	must(err, "a new transaction producer")
	must(p.Start(), "starting a transaction producer")
	r.closing(p.Shutdown)

	received := newSeen()
	r.push(r.name("go_g_transactions"), topic, "*", received.listen)
	committed := map[string]*primitive.TransactionSendResult{}
	for i := range 40 {
		kinds := []string{"commit -", "rollback -", "unknown commit", "unknown rollback"}
		body := fmt.Sprintf("%s %d", kinds[i%4], i)
		message := primitive.NewMessage(topic, []byte(body))
		if strings.HasPrefix(body, "unknown") {
			message.WithProperty("CHECK_IMMUNITY_TIME_IN_SECONDS", "1")
		}
		result, err := p.SendMessageInTransaction(context.Background(), message)
		must(err, "a transaction")
		equal(primitive.SendOK, result.Status, "send status")
		if strings.Contains(body, "commit") {
			committed[body] = result
		}
	}
	await(func() string { return fmt.Sprintf("20 questions, now %d", listener.count()) }, func() bool {
		return listener.count() >= 20
	})
	found := r.read(topic, len(committed))
	equal(len(committed), len(found), "messages in the log")
	for _, message := range found {
		result := committed[string(message.Body)]
		that(result != nil, "%q was not committed", message.Body)
		equal(result.MsgID, message.MsgId, "message id")
		equal(result.MessageQueue.QueueId, message.Queue.QueueId, "queue id")
		delete(committed, string(message.Body))
	}
	equal(20, listener.count(), "questions")
	await(func() string { return fmt.Sprintf("%d messages, now %d", len(found), received.distinct()) }, func() bool {
		return received.distinct() >= len(found)
	})
	equal(0, received.repeats(), "messages received twice")
	return map[string]any{"committed": len(found), "asked": listener.count()}
}
