package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
)

const count = 40

// Who sends to a topic of the matrix, beside this program; see tests/matrix.rs.
var senders = []string{"java-zlib", "java-lz4", "java-zstd", "go", "java-grpc", "go-grpc", "python", "node", "rust"}

func init() {
	cases["matrix-send"] = matrixSend
	for _, sender := range senders {
		cases["matrix-receive-"+sender] = func(r run) any { return matrixReceive(r, sender) }
	}
}

// crossed makes message i by the same rule as the Java cases, so that nothing but the broker carries it across.
func crossed(topic string, i int) *rmq.Message {
	body := fmt.Sprintf("\u4f60\u597d %d %s", i, strings.Repeat("0123456789", i*100))
	message := &rmq.Message{Topic: topic, Body: []byte(body)}
	message.SetTag(fmt.Sprintf("tag\u03a9%d", i%5))
	message.SetKeys(fmt.Sprintf("\u8ba2\u5355%d", i), fmt.Sprintf("key%d", i))
	message.AddProperty("index", strconv.Itoa(i))
	message.AddProperty("\u540d", fmt.Sprintf("\u503c \U0001f680 %d", i))
	return message
}

func matrixSend(r run) any {
	topic := "matrix_go-grpc_" + r.suffix
	producer := r.producer(topic)
	defer producer.GracefulStop()
	for i := range count {
		sendOne(producer, crossed(topic, i))
	}
	return map[string]any{"messages": count}
}

// matrixReceive wants each message once, and acknowledges it on its own.
func matrixReceive(r run, sender string) any {
	topic := "matrix_" + sender + "_" + r.suffix
	consumer, err := rmq.NewSimpleConsumer(
		&rmq.Config{Endpoint: r.grpc, ConsumerGroup: "g_" + topic + "_by_go-grpc", Credentials: &credentials.SessionCredentials{}},
		rmq.WithSimpleAwaitDuration(5*time.Second),
		rmq.WithSimpleSubscriptionExpressions(map[string]*rmq.FilterExpression{topic: rmq.SUB_ALL}))
	must(err)
	consumer.SetRequestTimeout(10 * time.Second)
	must(consumer.Start())
	defer consumer.GracefulStop()
	found := map[string]*rmq.MessageView{}
	for len(found) < count {
		views, err := consumer.Receive(context.Background(), 32, 30*time.Second)
		must(err)
		for _, view := range views {
			index := view.GetProperties()["index"]
			if found[index] != nil {
				panic("message " + index + " came again")
			}
			found[index] = view
			must(consumer.Ack(context.Background(), view))
		}
	}
	for i := range count {
		wanted, view := crossed(topic, i), found[strconv.Itoa(i)]
		same("body", i, bytes.Equal(wanted.Body, view.GetBody()))
		same("tag", i, *wanted.GetTag() == *view.GetTag())
		same("keys", i, slices.Equal(slices.Sorted(slices.Values(wanted.GetKeys())), slices.Sorted(slices.Values(view.GetKeys()))))
		same("properties", i, maps.Equal(wanted.GetProperties(), view.GetProperties()))
		same("delivery attempt", i, view.GetDeliveryAttempt() == 1)
	}
	return map[string]any{"messages": count}
}

func same(what string, i int, is bool) {
	if !is {
		panic(fmt.Sprintf("%s of %d changed on its way", what, i))
	}
}
