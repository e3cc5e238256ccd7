package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"

	"kourou.tests/clients/wire"
)

var instances atomic.Int64

// What one case has in hand: names that nobody else uses, clients that are shut down when it ends, and waiting for
// conditions instead of for time to pass.
type run struct {
	namesrv string
	suffix  string

	lock      sync.Mutex
	shutdowns []func() error
}

func (r *run) name(label string) string {
	return label + "_" + r.suffix
}

// Clients of one process share a connection unless they are instances of their own.
func instance() string {
	return fmt.Sprintf("go%d_%d", os.Getpid(), instances.Add(1))
}

// A started producer. It does not retry: a send that fails is the case's to see.
func (r *run) producer(options ...producer.Option) rocketmq.Producer {
	options = append([]producer.Option{
		producer.WithNameServer([]string{r.namesrv}), producer.WithGroupName(r.name("p")),
		producer.WithInstanceName(instance()), producer.WithRetry(0), producer.WithSendMsgTimeout(10 * time.Second),
	}, options...)
	p, err := rocketmq.NewProducer(options...)
	must(err, "a new producer")
	must(p.Start(), "starting a producer")
	r.closing(p.Shutdown)
	return p
}

// A started push consumer from the first offset on.
func (r *run) push(group, topic, tags string,
	take func(context.Context, *primitive.MessageExt) consumer.ConsumeResult, options ...consumer.Option) rocketmq.PushConsumer {
	options = append([]consumer.Option{
		consumer.WithNameServer([]string{r.namesrv}), consumer.WithGroupName(group), consumer.WithInstance(instance()),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset), consumer.WithConsumeMessageBatchMaxSize(1),
	}, options...)
	c, err := rocketmq.NewPushConsumer(options...)
	must(err, "a new push consumer")
	must(c.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: tags},
		func(ctx context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
			for _, message := range messages {
				if result := take(ctx, message); result != consumer.ConsumeSuccess {
					return result, nil
				}
			}
			return consumer.ConsumeSuccess, nil
		}), "subscribing to "+topic)
	must(c.Start(), "starting a push consumer of "+topic)
	r.closing(c.Shutdown)
	return c
}

// A started pull consumer that is a member of no group's balance: it has no queues assigned.
func (r *run) puller(group, topic string, queues []*primitive.MessageQueue) rocketmq.PullConsumer {
	c, err := rocketmq.NewPullConsumer(consumer.WithNameServer([]string{r.namesrv}), consumer.WithGroupName(group),
		consumer.WithInstance(instance()), consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
	must(err, "a new pull consumer")
	must(c.Assign(topic, queues), "assigning queues of "+topic)
	must(c.Start(), "starting a pull consumer of "+topic)
	r.closing(c.Shutdown)
	return c
}

func (r *run) topic(topic string, queues int) {
	must(wire.CreateTopic(r.namesrv, topic, queues), "creating "+topic)
}

// The queues of the topic, and where its broker listens.
func (r *run) queues(topic string) (queues []*primitive.MessageQueue, addr string) {
	broker, addr, count, err := wire.Route(r.namesrv, topic)
	must(err, "the route of "+topic)
	for i := range count {
		queues = append(queues, &primitive.MessageQueue{Topic: topic, BrokerName: broker, QueueId: i})
	}
	return queues, addr
}

// Everything in the topic as it lies on the broker, once that is at least so many messages: queues may be filled a
// moment after a send is answered.
func (r *run) read(topic string, count int) []*primitive.MessageExt {
	await(func() string { return "a route for " + topic }, func() bool {
		_, _, _, err := wire.Route(r.namesrv, topic)
		return err == nil
	})
	queues, addr := r.queues(topic)
	ends := make([]int64, len(queues))
	await(func() string { return fmt.Sprintf("%d messages in %s, now %v", count, topic, ends) }, func() bool {
		sum := int64(0)
		for i, queue := range queues {
			end, err := wire.MaxOffset(addr, topic, queue.QueueId)
			if err != nil {
				return false
			}
			ends[i] = end
			sum += end
		}
		return sum >= int64(count)
	})
	c := r.puller(r.name("reader"), topic, nil)
	var found []*primitive.MessageExt
	for i, queue := range queues {
		for next := int64(0); next < ends[i]; {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			result, err := c.PullFrom(ctx, queue, next, 32)
			cancel()
			must(err, "a pull")
			equal(primitive.PullFound, result.Status, "status of a pull")
			for _, message := range result.GetMessageExts() {
				equal(next, message.QueueOffset, "queue offset")
				equal(queue.QueueId, message.Queue.QueueId, "queue id")
				found = append(found, message)
				next++
			}
			equal(next, result.NextBeginOffset, "next begin offset")
		}
	}
	return found
}

func (r *run) closing(shutdown func() error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.shutdowns = append(r.shutdowns, shutdown)
}

func (r *run) close() {
	r.lock.Lock()
	defer r.lock.Unlock()
	for _, shutdown := range r.shutdowns {
		// A client that had trouble may have more on its way out; the case has its verdict by now.
		func() {
			defer func() { _ = recover() }()
			_ = shutdown()
		}()
	}
}

func await(what func() string, condition func() bool) {
	for deadline := time.Now().Add(60 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			panic("not within 60 s: " + what())
		}
	}
}

func must(err error, what string) {
	if err != nil {
		panic(fmt.Sprintf("%s: %v", what, err))
	}
}

func that(holds bool, what string, args ...any) {
	if !holds {
		panic(fmt.Sprintf(what, args...))
	}
}

func equal[T comparable](wanted, found T, what string) {
	if wanted != found {
		panic(fmt.Sprintf("%s: wanted %v, found %v", what, wanted, found))
	}
}
