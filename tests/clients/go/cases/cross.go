package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/rocketmq-client-go/v2/primitive"
)

// One language sends, the other receives. Both sides make the same messages from the same rule, so that nothing but
// the broker carries them across.
const crossMessages = 40

func crossSend(r *run) any {
	topic := r.name("cross_go")
	r.topic(topic, 4)
	p := r.producer()
	for i := range crossMessages {
		sent(p.SendSync(context.Background(), crossMessage(topic, i)))
	}
	return map[string]any{"messages": crossMessages}
}

func crossReceiveJava(r *run) any { return crossReceive(r, r.name("cross_java")) }
func crossReceiveGo(r *run) any   { return crossReceive(r, r.name("cross_go")) }

func crossReceive(r *run, topic string) any {
	s := newSeen()
	r.push("g_"+topic+"_by_go", topic, "*", s.listen)
	s.await("messages from the other side", crossMessages)
	for i := range crossMessages {
		wanted := crossMessage(topic, i)
		found := s.message(string(wanted.Body))
		that(found != nil && bytes.Equal(wanted.Body, found.Body), "the body of %d changed on its way", i)
		equal(wanted.GetTags(), found.GetTags(), "tags")
		equal(wanted.GetKeys(), found.GetKeys(), "keys")
		equal(wanted.GetProperty("index"), found.GetProperty("index"), "index")
		equal(wanted.GetProperty("\u540d"), found.GetProperty("\u540d"), "property")
	}
	return map[string]any{"messages": crossMessages}
}

// Message i: one of five tags, two keys, two properties, and a body of i * 1,000 bytes and a few.
func crossMessage(topic string, i int) *primitive.Message {
	message := primitive.NewMessage(topic, []byte(fmt.Sprintf("\u4f60\u597d %d %s", i, strings.Repeat("0123456789", i*100))))
	message.WithTag(fmt.Sprintf("tag\u03a9%d", i%5)).WithKeys([]string{fmt.Sprintf("\u8ba2\u5355%d", i), fmt.Sprintf("key%d", i)})
	message.WithProperty("index", strconv.Itoa(i))
	message.WithProperty("\u540d", fmt.Sprintf("\u503c \U0001f680 %d", i))
	return message
}
