// Command go-grpc sends by the gRPC client for Go and prints a line of JSON for each case:
//
//	go-grpc --grpc HOST:PORT --suffix NAME CASE...
//
// The topics must be there. What it sends is looked at by the remoting client for Java.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
)

// A behaviour panics to fail; what it returns is printed as detail.
type behaviour func(r run) any

type run struct {
	grpc   string
	suffix string
}

var cases = map[string]behaviour{
	"grpc-send": send, "grpc-async": sendAsync, "grpc-fifo": fifo, "grpc-delay": delay,
	"grpc-transactions": transactions, "grpc-refused": refused,
}

func main() {
	namesrv := flag.String("namesrv", "", "not needed")
	grpc := flag.String("grpc", "127.0.0.1:8081", "address of the gRPC endpoint")
	suffix := flag.String("suffix", "", "keeps the names of runs apart")
	flag.Parse()
	_ = namesrv
	// As the client is set up by default, unless the test wants it plain.
	rmq.EnableSsl = os.Getenv("CASES_PLAIN") == ""

	failed := false
	for _, name := range flag.Args() {
		body, known := cases[name]
		if !known {
			fmt.Fprintf(os.Stderr, "unknown case %s\n", name)
			os.Exit(2)
		}
		if !one(name, body, run{*grpc, *suffix}) {
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

type line struct {
	Case   string `json:"case"`
	OK     bool   `json:"ok"`
	Ms     int64  `json:"ms"`
	Detail any    `json:"detail"`
	Trace  string `json:"trace,omitempty"`
}

func one(name string, body behaviour, r run) bool {
	start := time.Now()
	done := make(chan line, 1)
	go func() {
		inner := line{Case: name}
		defer func() {
			if failure := recover(); failure != nil {
				inner.Detail = fmt.Sprint(failure)
				inner.Trace = string(debug.Stack())
			}
			done <- inner
		}()
		inner.Detail = body(r)
		inner.OK = true
	}()
	result := line{Case: name, Detail: "did not end within 90 s"}
	select {
	case result = <-done:
	case <-time.After(90 * time.Second):
	}
	result.Ms = time.Since(start).Milliseconds()
	text, err := json.Marshal(result)
	must(err)
	fmt.Println(string(text))
	return result.OK
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (r run) producer(topic string, options ...rmq.ProducerOption) rmq.Producer {
	producer, err := rmq.NewProducer(
		&rmq.Config{Endpoint: r.grpc, Credentials: &credentials.SessionCredentials{}},
		append(options, rmq.WithTopics(topic), rmq.WithMaxAttempts(1))...)
	must(err)
	must(producer.Start())
	return producer
}

func sendOne(producer rmq.Producer, message *rmq.Message) string {
	receipts, err := producer.Send(context.Background(), message)
	must(err)
	return receipts[0].MessageID
}

// send makes its messages by the same rule as the Java cases, so that nothing but the broker carries them across.
func send(r run) any {
	topic := "grpc_cross_go_" + r.suffix
	producer := r.producer(topic)
	defer producer.GracefulStop()
	for i := range count {
		if id := sendOne(producer, crossed(topic, i)); len(id) != 34 {
			panic("the message id is " + id)
		}
	}
	return map[string]any{"messages": count}
}

func fifo(r run) any {
	topic := "grpc_fifo_go_" + r.suffix
	producer := r.producer(topic)
	defer producer.GracefulStop()
	for i := range 100 {
		group := fmt.Sprintf("group %d", i%5)
		message := &rmq.Message{Topic: topic, Body: []byte(fmt.Sprintf("%s %d", group, i))}
		message.SetMessageGroup(group)
		sendOne(producer, message)
	}
	return map[string]any{"messages": 100}
}

func sendAsync(r run) any {
	topic := "grpc_async_go_" + r.suffix
	producer := r.producer(topic)
	defer producer.GracefulStop()
	outcomes := make(chan error, 500)
	for i := range 500 {
		message := &rmq.Message{Topic: topic, Body: []byte(fmt.Sprintf("async %d", i))}
		producer.SendAsync(context.Background(), message,
			func(_ context.Context, _ []*rmq.SendReceipt, err error) { outcomes <- err })
	}
	for range 500 {
		must(<-outcomes)
	}
	return map[string]any{"messages": 500}
}

func delay(r run) any {
	topic := "grpc_delay_go_" + r.suffix
	producer := r.producer(topic)
	defer producer.GracefulStop()
	due := time.Now().Add(2 * time.Second)
	message := &rmq.Message{Topic: topic, Body: []byte(fmt.Sprintf("later %d", due.UnixMilli()))}
	message.SetDelayTimestamp(due)
	sendOne(producer, message)
	return map[string]any{"due": due.UnixMilli()}
}

// refused: of a topic that does not exist the client gives up before it asks for a send.
func refused(r run) any {
	topic := "grpc_cross_go_" + r.suffix
	producer := r.producer(topic)
	defer producer.GracefulStop()
	ordered := &rmq.Message{Topic: topic, Body: []byte("x")}
	ordered.SetMessageGroup("g")
	reserved := &rmq.Message{Topic: topic, Body: []byte("x")}
	reserved.AddProperty("UNIQ_KEY", "x")
	for what, message := range map[string]*rmq.Message{
		"a topic that does not exist":          {Topic: "grpc_nowhere_go_" + r.suffix, Body: []byte("x")},
		"an ordered message to a normal topic": ordered,
		"a body of more than 4 MiB":            {Topic: topic, Body: make([]byte, 4<<20+1)},
		"a property whose name is reserved":    reserved,
	} {
		if _, err := producer.Send(context.Background(), message); err == nil {
			panic("not refused: " + what)
		}
	}
	return map[string]any{"refused": 4}
}

func transactions(r run) any {
	topic := "grpc_transactions_go_" + r.suffix
	var lock sync.Mutex
	asked := map[string]bool{}
	producer := r.producer(topic, rmq.WithTransactionChecker(&rmq.TransactionChecker{
		Check: func(view *rmq.MessageView) rmq.TransactionResolution {
			body := string(view.GetBody())
			lock.Lock()
			defer lock.Unlock()
			asked[body] = true
			if strings.Contains(body, "commit") {
				return rmq.COMMIT
			}
			return rmq.ROLLBACK
		},
	}))
	defer producer.GracefulStop()
	kinds := []string{"commit", "rollback", "late commit", "late rollback"}
	for i := range 20 {
		kind := kinds[i%4]
		message := &rmq.Message{Topic: topic, Body: []byte(fmt.Sprintf("%s %d", kind, i))}
		transaction := producer.BeginTransaction()
		_, err := producer.SendWithTransaction(context.Background(), message, transaction)
		must(err)
		switch kind {
		case "commit":
			must(transaction.Commit())
		case "rollback":
			must(transaction.RollBack())
		}
	}
	deadline := time.Now().Add(60 * time.Second)
	for {
		lock.Lock()
		count := len(asked)
		lock.Unlock()
		if count >= 10 {
			return map[string]any{"asked": count}
		}
		if time.Now().After(deadline) {
			panic(fmt.Sprintf("%d of 10 were asked for", count))
		}
		time.Sleep(5 * time.Millisecond)
	}
}
