package main

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
)

// The shortest for which a message may be out.
const invisible = 10 * time.Second

// Topics and groups are made by the Java case grpc-consuming-topics.
func init() {
	cases["grpc-simple"] = simple
	cases["grpc-again"] = again
	cases["grpc-push"] = push
	cases["grpc-push-dead"] = pushDead
	cases["grpc-push-fifo"] = pushFifo
	cases["grpc-filters"] = filters
	cases["grpc-timed"] = timed
}

func (r run) config(group string) *rmq.Config {
	return &rmq.Config{
		Endpoint: r.grpc, ConsumerGroup: group + "_" + r.suffix, Credentials: &credentials.SessionCredentials{},
	}
}

func (r run) simple(group, topic string, filter *rmq.FilterExpression) rmq.SimpleConsumer {
	consumer, err := rmq.NewSimpleConsumer(r.config(group),
		rmq.WithSimpleAwaitDuration(5*time.Second),
		rmq.WithSimpleSubscriptionExpressions(map[string]*rmq.FilterExpression{topic: filter}))
	must(err)
	must(consumer.Start())
	return consumer
}

func (r run) push(group, topic string, filter *rmq.FilterExpression, consume func(*rmq.MessageView) rmq.ConsumerResult) rmq.PushConsumer {
	consumer, err := rmq.NewPushConsumer(r.config(group),
		rmq.WithPushAwaitDuration(5*time.Second),
		rmq.WithPushSubscriptionExpressions(map[string]*rmq.FilterExpression{topic: filter}),
		rmq.WithPushMessageListener(&rmq.FuncMessageListener{Consume: consume}))
	must(err)
	must(consumer.Start())
	return consumer
}

// receive gets what is there; the client makes an error of nothing.
func receive(consumer rmq.SimpleConsumer, count int32) []*rmq.MessageView {
	views, err := consumer.Receive(context.Background(), count, invisible)
	var status *rmq.ErrRpcStatus
	if errors.As(err, &status) && status.GetCode() == 40401 {
		return nil
	}
	must(err)
	return views
}

func ack(consumer rmq.SimpleConsumer, view *rmq.MessageView) {
	must(consumer.Ack(context.Background(), view))
}

func equal(wanted, found any, what string) {
	if fmt.Sprint(wanted) != fmt.Sprint(found) {
		panic(fmt.Sprintf("%s: wanted %v, found %v", what, wanted, found))
	}
}

func await(what string, condition func() bool) {
	for deadline := time.Now().Add(60 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			panic("not within 60 s: " + what)
		}
	}
}

func content(topic string, i int) *rmq.Message {
	message := &rmq.Message{Topic: topic, Body: []byte(fmt.Sprintf("\u4f60\u597d %d %s", i, strings.Repeat("0123456789", i*100)))}
	message.SetTag(fmt.Sprintf("tag\u03a9%d", i%5))
	message.SetKeys(fmt.Sprintf("\u8ba2\u5355%d", i), fmt.Sprintf("key%d", i))
	message.AddProperty("index", strconv.Itoa(i))
	return message
}

// Two consumers of one group share a topic: each message once, as it was sent.
func simple(r run) any {
	topic := "grpc_c_simple_" + r.suffix
	one, other := r.simple("g_c_simple_go", topic, rmq.SUB_ALL), r.simple("g_c_simple_go", topic, rmq.SUB_ALL)
	defer one.GracefulStop()
	defer other.GracefulStop()
	producer := r.producer(topic)
	defer producer.GracefulStop()
	const count = 40
	for i := range count {
		sendOne(producer, content(topic, i))
	}
	found := map[string]bool{}
	for len(found) < count {
		for _, consumer := range []rmq.SimpleConsumer{one, other} {
			for _, view := range receive(consumer, 8) {
				index := view.GetProperties()["index"]
				if found[index] {
					panic(index + " came twice")
				}
				found[index] = true
				i, err := strconv.Atoi(index)
				must(err)
				wanted := content(topic, i)
				equal(1, view.GetDeliveryAttempt(), "attempt")
				equal(topic, view.GetTopic(), "topic")
				equal(string(wanted.Body), string(view.GetBody()), "body")
				equal(*wanted.GetTag(), *view.GetTag(), "tag")
				equal(wanted.GetKeys(), view.GetKeys(), "keys")
				equal(wanted.GetProperties(), view.GetProperties(), "properties")
				ack(consumer, view)
			}
		}
	}
	for begin := time.Now(); time.Since(begin) < invisible+2*time.Second; {
		equal(0, len(receive(one, 8)), "messages after all were acknowledged")
	}
	return map[string]any{"messages": count}
}

// Not acknowledged, it comes again when its time is over.
func again(r run) any {
	topic := "grpc_c_again_" + r.suffix
	consumer := r.simple("g_c_again_go", topic, rmq.SUB_ALL)
	defer consumer.GracefulStop()
	producer := r.producer(topic)
	defer producer.GracefulStop()
	for _, body := range []string{"acked", "silent", "hurried"} {
		sendOne(producer, &rmq.Message{Topic: topic, Body: []byte(body)})
	}
	first := map[string]*rmq.MessageView{}
	for len(first) < 3 {
		for _, view := range receive(consumer, 8) {
			first[string(view.GetBody())] = view
		}
	}
	begin := time.Now()
	ack(consumer, first["acked"])
	must(consumer.ChangeInvisibleDuration(first["hurried"], time.Second))
	var order []string
	for len(order) < 2 {
		for _, view := range receive(consumer, 8) {
			equal(2, view.GetDeliveryAttempt(), "attempt")
			equal(first[string(view.GetBody())].GetMessageId(), view.GetMessageId(), "message id")
			order = append(order, string(view.GetBody()))
			ack(consumer, view)
		}
	}
	equal([]string{"hurried", "silent"}, order, "what comes again")
	if time.Since(begin) < 8*time.Second {
		panic("too soon")
	}
	return map[string]any{"ms": time.Since(begin).Milliseconds()}
}

type attempts struct {
	lock sync.Mutex
	of   map[string][]int32
}

func (a *attempts) add(view *rmq.MessageView) {
	a.lock.Lock()
	defer a.lock.Unlock()
	body := string(view.GetBody())
	a.of[body] = append(a.of[body], view.GetDeliveryAttempt())
}

func (a *attempts) total() (total int) {
	a.lock.Lock()
	defer a.lock.Unlock()
	for _, all := range a.of {
		total += len(all)
	}
	return total
}

// Each once, but for those that fail at first.
func push(r run) any {
	topic := "grpc_c_push_" + r.suffix
	seen := &attempts{of: map[string][]int32{}}
	fails := func(body string) bool { return strings.HasSuffix(body, "7") }
	r.push("g_c_push_go", topic, rmq.SUB_ALL, func(view *rmq.MessageView) rmq.ConsumerResult {
		seen.add(view)
		if fails(string(view.GetBody())) && view.GetDeliveryAttempt() < 2 {
			return rmq.FAILURE
		}
		return rmq.SUCCESS
	})
	producer := r.producer(topic)
	defer producer.GracefulStop()
	const count = 200
	for i := range count {
		sendOne(producer, &rmq.Message{Topic: topic, Body: []byte(fmt.Sprintf("push %d", i))})
	}
	await("all and some again", func() bool { return seen.total() >= count+count/10 })
	for i := range count {
		body := fmt.Sprintf("push %d", i)
		wanted := []int32{1}
		if fails(body) {
			wanted = []int32{1, 2}
		}
		equal(wanted, seen.of[body], "attempts of "+body)
	}
	return map[string]any{"messages": count}
}

// After its last attempt it is given to the consumer no more.
func pushDead(r run) any {
	topic := "grpc_c_dead_" + r.suffix
	seen := &attempts{of: map[string][]int32{}}
	r.push("g_c_dead_go", topic, rmq.SUB_ALL, func(view *rmq.MessageView) rmq.ConsumerResult {
		seen.add(view)
		return rmq.FAILURE
	})
	producer := r.producer(topic)
	defer producer.GracefulStop()
	sendOne(producer, &rmq.Message{Topic: topic, Body: []byte("never")})
	await("its last attempt", func() bool { return seen.total() >= 2 })
	// What would be the next one is due after five seconds.
	for begin := time.Now(); time.Since(begin) < 7*time.Second; time.Sleep(50 * time.Millisecond) {
		equal([]int32{1, 2}, seen.of["never"], "attempts")
	}
	return map[string]any{"attempts": seen.of["never"]}
}

// In order by message group.
func pushFifo(r run) any {
	topic := "grpc_c_fifo_" + r.suffix
	var lock sync.Mutex
	seen := map[string][]int{}
	total := 0
	r.push("g_c_fifo_go", topic, rmq.SUB_ALL, func(view *rmq.MessageView) rmq.ConsumerResult {
		lock.Lock()
		defer lock.Unlock()
		i, err := strconv.Atoi(string(view.GetBody()))
		must(err)
		group := *view.GetMessageGroup()
		seen[group] = append(seen[group], i)
		total++
		return rmq.SUCCESS
	})
	producer := r.producer(topic)
	defer producer.GracefulStop()
	const count = 60
	for i := range count {
		message := &rmq.Message{Topic: topic, Body: []byte(strconv.Itoa(i))}
		message.SetMessageGroup(fmt.Sprintf("group %d", i%5))
		sendOne(producer, message)
	}
	await("all in order", func() bool {
		lock.Lock()
		defer lock.Unlock()
		return total >= count
	})
	equal(count, total, "deliveries")
	for group, all := range seen {
		if !sort.IntsAreSorted(all) || len(all) != count/5 {
			panic(fmt.Sprintf("%s: %v", group, all))
		}
	}
	return map[string]any{"messages": count}
}

func filters(r run) any {
	topic := "grpc_c_filters_" + r.suffix
	tags := r.simple("g_c_tags_go", topic, rmq.NewFilterExpression("a || c"))
	defer tags.GracefulStop()
	sql := r.simple("g_c_sql_go", topic, rmq.NewFilterExpressionWithType("number > 15 AND TAGS <> 'a'", rmq.SQL92))
	defer sql.GracefulStop()
	producer := r.producer(topic)
	defer producer.GracefulStop()
	wantedTags, wantedSQL := map[string]bool{}, map[string]bool{}
	for i := range 30 {
		tag := []string{"a", "b", "c"}[i%3]
		message := &rmq.Message{Topic: topic, Body: []byte(strconv.Itoa(i))}
		message.SetTag(tag)
		message.AddProperty("number", strconv.Itoa(i))
		sendOne(producer, message)
		if tag != "b" {
			wantedTags[strconv.Itoa(i)] = true
		}
		if i > 15 && tag != "a" {
			wantedSQL[strconv.Itoa(i)] = true
		}
	}
	drained := func(consumer rmq.SimpleConsumer, count int) map[string]bool {
		found := map[string]bool{}
		for len(found) < count {
			for _, view := range receive(consumer, 16) {
				if found[string(view.GetBody())] {
					panic("one came twice")
				}
				found[string(view.GetBody())] = true
				ack(consumer, view)
			}
		}
		return found
	}
	equal(wantedTags, drained(tags, len(wantedTags)), "by tag")
	equal(wantedSQL, drained(sql, len(wantedSQL)), "by SQL")
	return map[string]any{"tags": len(wantedTags), "sql": len(wantedSQL)}
}

func timed(r run) any {
	topic := "grpc_c_timed_" + r.suffix
	consumer := r.simple("g_c_timed_go", topic, rmq.SUB_ALL)
	defer consumer.GracefulStop()
	producer := r.producer(topic)
	defer producer.GracefulStop()
	due := time.Now().Add(2 * time.Second)
	message := &rmq.Message{Topic: topic, Body: []byte("later")}
	message.SetDelayTimestamp(due)
	sendOne(producer, message)
	for {
		for _, view := range receive(consumer, 8) {
			late := time.Since(due).Milliseconds()
			if late < 0 {
				panic(fmt.Sprintf("%d ms early", -late))
			}
			equal(due.UnixMilli(), view.GetDeliveryTimestamp().UnixMilli(), "delivery time")
			ack(consumer, view)
			return map[string]any{"lateMs": late}
		}
	}
}
