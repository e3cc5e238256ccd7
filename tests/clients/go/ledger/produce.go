package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"sync"
	"sync/atomic"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"

	"kourou.tests/clients/wire"
)

type sending struct {
	topic    string
	broker   string
	book     *book
	attempts atomic.Int64
	stopping atomic.Bool
	lives    lives
	failed   atomic.Pointer[error]
}

// Sends until the input ends. Every message is sent again, with the same content and unique key, until it is acknowledged
// once.
//
// The input has a line for each time that the broker was killed: what was in flight then is given up at once, where
// the client by itself would wait for its timeout. The output has a line with the number of acknowledgements each
// time that it has grown.
func produce(namesrv, topic, file string, seed int64) (map[string]any, error) {
	if err := wire.CreateTopic(namesrv, topic, queues); err != nil {
		return nil, err
	}
	broker, addr, _, err := wire.Route(namesrv, topic)
	if err != nil {
		return nil, err
	}
	ledger, err := newBook(file)
	if err != nil {
		return nil, err
	}
	s := &sending{topic: topic, broker: broker, book: ledger}
	s.lives.begin()
	var all sync.WaitGroup
	start := func(work func()) {
		all.Add(1)
		go func() {
			defer all.Done()
			work()
		}()
	}
	for id := range orderedProducers + windowedProducers {
		p, err := startProducer(namesrv, fmt.Sprintf("ledger_%d_%d", os.Getpid(), id))
		if err != nil {
			return nil, err
		}
		random := rand.New(rand.NewSource(seed + int64(id)))
		if id < orderedProducers {
			start(func() { s.inOrder(p, id, random) })
		} else {
			start(func() { s.inWindow(p, id, random) })
		}
	}
	inTransactions, err := startTransactions(namesrv, topic, file, start, seed)
	if err != nil {
		return nil, err
	}
	forTimes, err := startTimers(namesrv, topic, file, start, seed)
	if err != nil {
		return nil, err
	}
	if err := makeGroup(namesrv, topic); err != nil {
		return nil, err
	}
	keeper := &offsetKeeper{addr: addr, topic: topic, sending: s, settled: -1}
	start(keeper.keep)
	finished := make(chan struct{})
	go s.report(finished)
	witnesses := []*sending{s, inTransactions.sending, forTimes.sending}

	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		for _, witness := range witnesses {
			witness.lives.begin()
		}
	}
	for _, witness := range witnesses {
		witness.stopping.Store(true)
	}
	all.Wait()
	if err := errors.Join(inTransactions.settle(), forTimes.settle()); err != nil {
		return nil, err
	}
	close(finished)
	if err := errors.Join(ledger.close(), inTransactions.book.close(), forTimes.book.close()); err != nil {
		return nil, err
	}
	for _, witness := range witnesses {
		if failure := witness.failed.Load(); failure != nil {
			return nil, *failure
		}
	}
	return map[string]any{
		"ok": keeper.commits > 0 && forTimes.early.Load() == 0, "acknowledged": ledger.count.Load(), "attempts": s.attempts.Load(),
		"transactions": inTransactions.book.count.Load(), "asked": inTransactions.decider.asked.Load(),
		"timers": forTimes.book.count.Load(), "timersSeenEarly": forTimes.early.Load(),
		"offsetCommits": keeper.commits, "offsetsLookedUp": keeper.lookUps, "offsetsSetBack": keeper.setBack,
	}, nil
}

func startProducer(namesrv, instance string) (rocketmq.Producer, error) {
	p, err := rocketmq.NewProducer(
		producer.WithNameServer([]string{namesrv}), producer.WithGroupName(group), producer.WithInstanceName(instance),
		producer.WithRetry(0), producer.WithSendMsgTimeout(5*time.Second), producer.WithCompressMsgBodyOverHowmuch(1<<30),
		producer.WithQueueSelector(producer.NewManualQueueSelector()),
	)
	if err != nil {
		return nil, err
	}
	return p, p.Start()
}

// One message in flight: the queue has this producer's messages in the order of their numbers.
func (s *sending) inOrder(p rocketmq.Producer, id int, random *rand.Rand) {
	for sequence := uint64(0); !s.stopping.Load(); sequence++ {
		s.untilAcknowledged(p, id, sequence, id, encode(id, sequence, random))
	}
}

// Many in flight, in a queue that these producers share.
func (s *sending) inWindow(p rocketmq.Producer, id int, random *rand.Rand) {
	slots := make(chan struct{}, windowSize)
	for sequence := uint64(0); !s.stopping.Load(); sequence++ {
		slots <- struct{}{}
		body := encode(id, sequence, random)
		go func() {
			s.untilAcknowledged(p, id, sequence, orderedProducers, body)
			<-slots
		}()
	}
	for range windowSize {
		slots <- struct{}{}
	}
}

func (s *sending) untilAcknowledged(p rocketmq.Producer, id int, sequence uint64, queue int, body []byte) {
	// The client gives a message its unique key when it first sends it, and leaves it when there is one.
	message := primitive.NewMessage(s.topic, body)
	message.Queue = &primitive.MessageQueue{Topic: s.topic, BrokerName: s.broker, QueueId: queue}
	for {
		s.attempts.Add(1)
		result, err := p.SendSync(s.lives.current(), message)
		if err != nil || result.Status != primitive.SendOK {
			time.Sleep(2 * time.Millisecond)
			continue
		}
		err = s.book.note(entry{
			Producer: uint32(id), Queue: uint32(result.MessageQueue.QueueId), Sequence: sequence, Offset: uint64(result.QueueOffset),
		})
		if err != nil {
			s.failed.CompareAndSwap(nil, &err)
		}
		return
	}
}

func (s *sending) report(finished <-chan struct{}) {
	ticks := time.NewTicker(2 * time.Millisecond)
	defer ticks.Stop()
	last := int64(-1)
	for {
		select {
		case <-finished:
			return
		case <-ticks.C:
			if now := s.book.count.Load(); now != last {
				last = now
				fmt.Println("acknowledged", now)
			}
		}
	}
}

// A context for each life of the broker, done when that life is over.
type lives struct {
	lock   sync.Mutex
	ctx    context.Context
	cancel context.CancelFunc
}

func (l *lives) begin() {
	l.lock.Lock()
	defer l.lock.Unlock()
	if l.cancel != nil {
		l.cancel()
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
}

func (l *lives) current() context.Context {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.ctx
}
