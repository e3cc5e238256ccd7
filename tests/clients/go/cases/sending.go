package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

func sent(result *primitive.SendResult, err error) *primitive.SendResult {
	must(err, "a send")
	equal(primitive.SendOK, result.Status, "send status")
	return result
}

// Every answer named the place where its message is, and nothing else is there.
func inPlace(results map[string]*primitive.SendResult, found []*primitive.MessageExt) {
	equal(len(results), len(found), "messages in the log")
	ids := map[string]bool{}
	for _, message := range found {
		result := results[string(message.Body)]
		that(result != nil, "nobody sent %q", message.Body)
		equal(result.MsgID, message.MsgId, "message id")
		equal(result.QueueOffset, message.QueueOffset, "queue offset")
		equal(result.MessageQueue.QueueId, message.Queue.QueueId, "queue id")
		that(!ids[message.MsgId], "twice in the log: %s", message.MsgId)
		ids[message.MsgId] = true
	}
}

func sendSync(r *run) any {
	topic := r.name("go_sync")
	p := r.producer()
	results := map[string]*primitive.SendResult{}
	for i := range 200 {
		body := fmt.Sprintf("sync %d", i)
		results[body] = sent(p.SendSync(context.Background(), primitive.NewMessage(topic, []byte(body))))
	}
	// The topic came into being on the first send, with the producer's default of four queues.
	queues, _ := r.queues(topic)
	equal(4, len(queues), "queues of the new topic")
	inPlace(results, r.read(topic, 200))
	return map[string]any{"messages": 200}
}

func sendAsync(r *run) any {
	const count = 2000
	topic := r.name("go_async")
	r.topic(topic, 4)
	p := r.producer()
	results := map[string]*primitive.SendResult{}
	var failures []error
	var lock sync.Mutex
	var answers sync.WaitGroup
	for i := range count {
		body := fmt.Sprintf("async %d", i)
		answers.Add(1)
		must(p.SendAsync(context.Background(), func(_ context.Context, result *primitive.SendResult, err error) {
			defer answers.Done()
			lock.Lock()
			defer lock.Unlock()
			if err != nil {
				failures = append(failures, err)
			} else {
				results[body] = result
			}
		}, primitive.NewMessage(topic, []byte(body))), "an async send")
	}
	answers.Wait()
	that(len(failures) == 0, "%d sends failed, one with: %v", len(failures), failures)
	for _, result := range results {
		sent(result, nil)
	}
	inPlace(results, r.read(topic, count))
	return map[string]any{"messages": count}
}

func sendOneway(r *run) any {
	topic := r.name("go_oneway")
	r.topic(topic, 4)
	p := r.producer()
	for i := range 200 {
		must(p.SendOneWay(context.Background(), primitive.NewMessage(topic, []byte(strconv.Itoa(i)))), "a oneway send")
	}
	found := r.read(topic, 200)
	equal(200, len(found), "messages in the log")
	bodies := map[string]bool{}
	for _, message := range found {
		bodies[string(message.Body)] = true
	}
	equal(200, len(bodies), "different bodies")
	return map[string]any{"messages": 200}
}

func sendBatch(r *run) any {
	topic := r.name("go_batch")
	r.topic(topic, 4)
	p := r.producer()
	var batch []*primitive.Message
	for i := range 50 {
		message := primitive.NewMessage(topic, []byte(fmt.Sprintf("batch %d", i)))
		message.WithTag(fmt.Sprintf("tag%d", i%3)).WithKeys([]string{fmt.Sprintf("key-%d", i)})
		message.WithProperty("index", strconv.Itoa(i))
		batch = append(batch, message)
	}
	result := sent(p.SendSync(context.Background(), batch...))
	found := r.read(topic, 50)
	equal(50, len(found), "messages in the log")
	for i, message := range found {
		equal(result.MessageQueue.QueueId, message.Queue.QueueId, "queue")
		equal(result.QueueOffset+int64(i), message.QueueOffset, "offset")
		equal(fmt.Sprintf("batch %d", i), string(message.Body), "body")
		equal(fmt.Sprintf("tag%d", i%3), message.GetTags(), "tag")
		equal(fmt.Sprintf("key-%d", i), message.GetKeys(), "key")
		equal(strconv.Itoa(i), message.GetProperty("index"), "property")
	}
	return map[string]any{"messages": 50}
}

func explicitQueue(r *run) any {
	topic := r.name("go_queue")
	r.topic(topic, 6)
	p := r.producer(producer.WithQueueSelector(producer.NewManualQueueSelector()))
	queues, _ := r.queues(topic)
	for round := range 10 {
		for _, queue := range queues {
			message := primitive.NewMessage(topic, []byte("x"))
			message.Queue = queue
			result := sent(p.SendSync(context.Background(), message))
			equal(queue.QueueId, result.MessageQueue.QueueId, "queue asked for")
			equal(int64(round), result.QueueOffset, "offset")
		}
	}
	return map[string]any{"queues": 6}
}

func errorsCase(r *run) any {
	topic := r.name("go_errors")
	r.topic(topic, 2)
	p := r.producer(producer.WithQueueSelector(producer.NewManualQueueSelector()), producer.WithCompressMsgBodyOverHowmuch(1<<30))
	queues, addr := r.queues(topic)
	send := func(body []byte, queue primitive.MessageQueue) error {
		message := primitive.NewMessage(topic, body)
		message.Queue = &queue
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, err := p.SendSync(ctx, message)
		return err
	}
	tooLarge := send(make([]byte, 5<<20), *queues[0])
	that(tooLarge != nil, "a body over the limit was accepted")
	missing := *queues[0]
	missing.QueueId = 99
	noQueue := send([]byte("x"), missing)
	that(noQueue != nil, "a queue that is not there was accepted")
	unknown := ask(addr, 29_999, nil)
	equal(3, unknown.Code, "code for an unknown request")
	must(send([]byte("fine"), *queues[0]), "a send after all that was refused")
	return map[string]any{"tooLarge": tooLarge.Error(), "noQueue": noQueue.Error(), "unknown": unknown.Remark}
}
