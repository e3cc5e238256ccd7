package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// Messages for a time are never early and come once. The client has no words for them, so the properties are set by hand; it also sends
// them as halves of transactions, which the Java client refuses to do.
func timers(r *run) any {
	topic := r.name("go_timers")
	r.topic(topic, 3)
	plain := r.producer()
	listener := &decider{}
	transactional, err := rocketmq.NewTransactionProducer(listener, producer.WithNameServer([]string{r.namesrv}),
		producer.WithGroupName(r.name("go_p_timers")), producer.WithInstanceName(instance()),
		producer.WithRetry(0), producer.WithSendMsgTimeout(10*time.Second))
	must(err, "a new transaction producer")
	must(transactional.Start(), "starting a transaction producer")
	r.closing(transactional.Shutdown)
	received := newSeen()
	r.push(r.name("go_g_timers"), topic, "*", received.listen)

	notBefore := map[string]int64{}
	for i := range 32 {
		sendingMs := time.Now().UnixMilli()
		property, value, delayMs := "TIMER_DELIVER_MS", int64(0), int64(600+53*i)
		switch i % 4 {
		case 0:
			property, value = "TIMER_DELAY_MS", delayMs
		case 1:
			delayMs = 2_000
			property, value = "TIMER_DELAY_SEC", 2
		default:
			value = sendingMs + delayMs
		}
		kind := []string{"plain", "plain", "commit", "rollback"}[i%4]
		body := fmt.Sprintf("%s - %d", kind, i)
		message := primitive.NewMessage(topic, []byte(body))
		message.WithProperty(property, strconv.FormatInt(value, 10))
		if kind == "plain" {
			_, err = plain.SendSync(context.Background(), message)
		} else {
			_, err = transactional.SendMessageInTransaction(context.Background(), message)
		}
		must(err, "a send")
		if kind != "rollback" {
			notBefore[body] = sendingMs + delayMs
		}
	}
	await(func() string { return fmt.Sprintf("%d messages, now %d", len(notBefore), received.distinct()) }, func() bool {
		return received.distinct() >= len(notBefore)
	})
	found := r.read(topic, len(notBefore))
	equal(len(notBefore), len(found), "messages in the log")
	for _, message := range found {
		body := string(message.Body)
		that(!strings.HasPrefix(body, "rollback"), "%q came", body)
		dueMs, sent := notBefore[body]
		that(sent, "%q was not sent", body)
		that(message.StoreTimestamp >= dueMs, "%q was stored %d ms early", body, dueMs-message.StoreTimestamp)
		delete(notBefore, body)
	}
	equal(0, received.repeats(), "messages received twice")
	return map[string]any{"timers": len(found)}
}
