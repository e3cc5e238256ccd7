package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"sync/atomic"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"

	"kourou.tests/clients/wire"
)

const (
	transactionGroup     = "ledger_transactions"
	transactionProducers = 2
	transactionQueues    = 2
	// How long nobody is asked before nothing is pending: the kill test has the broker ask every second.
	quietTime   = 4 * time.Second
	settleLimit = 60 * time.Second
)

func transactionTopic(topic string) string { return topic + "_transactions" }
func transactionFile(file string) string   { return file + ".transactions" }

// What becomes of a transaction is in its number, so that whoever is asked, after whatever kill, says the same.
func isCommitted(sequence uint64) bool { return sequence%3 != 0 }

// Some producers do not know at first, and have to be asked.
func isKnownAtOnce(sequence uint64) bool { return sequence%4 != 3 }

// The number of a transaction whose producer does not know, and when asked says no.
const askedAndRolledBack = 3

type decider struct {
	asked     atomic.Int64
	lastAsked atomic.Int64
}

func decided(body []byte) primitive.LocalTransactionState {
	_, sequence, err := decode(body)
	switch {
	case err != nil:
		return primitive.UnkonwnState
	case isCommitted(sequence):
		return primitive.CommitMessageState
	default:
		return primitive.RollbackMessageState
	}
}

func (d *decider) ExecuteLocalTransaction(message *primitive.Message) primitive.LocalTransactionState {
	if _, sequence, err := decode(message.Body); err != nil || !isKnownAtOnce(sequence) {
		return primitive.UnkonwnState
	}
	return decided(message.Body)
}

func (d *decider) CheckLocalTransaction(message *primitive.MessageExt) primitive.LocalTransactionState {
	d.asked.Add(1)
	d.lastAsked.Store(time.Now().UnixNano())
	return decided(message.Body)
}

// Sends transactions, none of them twice: each number is one transaction, acknowledged or not.
type transactions struct {
	*sending
	namesrv string
	decider decider
}

// Begins to send transactions to a topic of their own; `start` runs what it is given beside the rest.
func startTransactions(namesrv, topic, file string, start func(func()), seed int64) (*transactions, error) {
	topic = transactionTopic(topic)
	if err := wire.CreateTopic(namesrv, topic, transactionQueues); err != nil {
		return nil, err
	}
	book, err := newBook(transactionFile(file))
	if err != nil {
		return nil, err
	}
	t := &transactions{sending: &sending{topic: topic, book: book}, namesrv: namesrv}
	t.lives.begin()
	for id := range transactionProducers {
		p, err := t.start(fmt.Sprintf("ledger_transactions_%d", id))
		if err != nil {
			return nil, err
		}
		random := rand.New(rand.NewSource(^seed - int64(id)))
		start(func() { t.send(p, id, random) })
	}
	return t, nil
}

func (t *transactions) start(instance string) (rocketmq.TransactionProducer, error) {
	p, err := rocketmq.NewTransactionProducer(&t.decider, producer.WithNameServer([]string{t.namesrv}),
		producer.WithGroupName(transactionGroup), producer.WithInstanceName(fmt.Sprintf("%s_%d", instance, os.Getpid())),
		producer.WithRetry(0), producer.WithSendMsgTimeout(5*time.Second), producer.WithCompressMsgBodyOverHowmuch(1<<30))
	if err != nil {
		return nil, err
	}
	return p, p.Start()
}

func (t *transactions) send(p rocketmq.TransactionProducer, id int, random *rand.Rand) {
	for sequence := uint64(0); !t.stopping.Load(); sequence++ {
		message := primitive.NewMessage(t.topic, encode(id, sequence, random))
		message.WithProperty("CHECK_IMMUNITY_TIME_IN_SECONDS", "1")
		result, err := p.SendMessageInTransaction(t.lives.current(), message)
		if err != nil || result.Status != primitive.SendOK {
			time.Sleep(2 * time.Millisecond)
			continue
		}
		err = t.book.note(entry{Producer: uint32(id), Sequence: sequence, Offset: uint64(result.QueueOffset)})
		if err != nil {
			t.failed.CompareAndSwap(nil, &err)
		}
	}
}

// Waits until the broker asks no more. A producer that met a kill is known to it again with its next heartbeat, up to 30
// seconds later; one that starts and sends is after a second. What that one sends is asked for as well, so that nobody
// being asked cannot be taken for nothing being pending.
func (t *transactions) settle() error {
	p, err := t.start("settle")
	if err != nil {
		return err
	}
	last := primitive.NewMessage(t.topic, encode(transactionProducers, askedAndRolledBack, rand.New(rand.NewSource(1))))
	last.WithProperty("CHECK_IMMUNITY_TIME_IN_SECONDS", "1")
	if _, err := p.SendMessageInTransaction(context.Background(), last); err != nil {
		return errors.Join(err, p.Shutdown())
	}
	before := t.decider.asked.Load()
	for begin := time.Now(); time.Since(begin) < settleLimit; time.Sleep(100 * time.Millisecond) {
		quiet := time.Since(time.Unix(0, t.decider.lastAsked.Load()))
		if t.decider.asked.Load() > before && quiet > quietTime {
			return p.Shutdown()
		}
	}
	return errors.Join(fmt.Errorf("the broker still asks for transactions after %v", settleLimit), p.Shutdown())
}

// Compares the topic with what was acknowledged: committed ones once, others of them never, and nothing else twice.
func verifyTransactions(namesrv, topic, file string) (map[string]any, error) {
	entries, err := readBook(transactionFile(file))
	if err != nil {
		return nil, err
	}
	copies, err := readTransactions(namesrv, transactionTopic(topic))
	if err != nil {
		return nil, err
	}
	return judgeTransactions(entries, copies), nil
}

// `copies` says how often each message, by producer and number, is in the topic.
func judgeTransactions(entries []entry, copies map[[2]uint64]int) map[string]any {
	lost, repeated, rolledBack := 0, 0, 0
	for _, e := range entries {
		if isCommitted(e.Sequence) && copies[[2]uint64{uint64(e.Producer), e.Sequence}] == 0 {
			lost++
		}
	}
	for message, count := range copies {
		repeated += count - 1
		if !isCommitted(message[1]) {
			rolledBack++
		}
	}
	ok := lost == 0 && repeated == 0 && rolledBack == 0 && len(entries) > 0
	return map[string]any{
		"ok": ok, "acknowledged": len(entries), "committed": len(copies), "lost": lost, "repeated": repeated,
		"visibleThoughRolledBack": rolledBack,
	}
}

func readTransactions(namesrv, topic string) (map[[2]uint64]int, error) {
	copies := map[[2]uint64]int{}
	err := readTopic(namesrv, topic, transactionQueues, func(_ int, message *primitive.MessageExt) error {
		producer, sequence, err := decode(message.Body)
		copies[[2]uint64{uint64(producer), sequence}]++
		return err
	})
	return copies, err
}
