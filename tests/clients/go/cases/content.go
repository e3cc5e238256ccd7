package main

import (
	"bytes"
	"context"
	"math/rand"
	"strings"
	"time"

	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"

	"kourou.tests/clients/wire"
)

func ask(addr string, code int, fields map[string]string) *wire.Answer {
	answer, err := wire.Ask(addr, code, fields)
	must(err, "asking")
	return answer
}

func consumeOne(r *run, topic string) *primitive.MessageExt {
	got := make(chan *primitive.MessageExt, 100)
	s := newSeen()
	r.push(r.name("g_"+topic), topic, "*", s.listen)
	s.await("message of "+topic, 1)
	equal(1, s.distinct()+s.repeats(), "messages of "+topic)
	for _, message := range s.latest {
		got <- message
	}
	return <-got
}

func bigBody(r *run) any {
	topic := r.name("go_big")
	p := r.producer(producer.WithCompressMsgBodyOverHowmuch(1 << 30))
	body := make([]byte, 3_900_000)
	rand.New(rand.NewSource(7)).Read(body)
	sent(p.SendSync(context.Background(), primitive.NewMessage(topic, body)))
	found := consumeOne(r, topic)
	that(int(found.StoreSize) > len(body), "stored as %d bytes", found.StoreSize)
	that(bytes.Equal(body, found.Body), "the body changed on its way")
	return map[string]any{"bytes": len(body)}
}

func compressed(r *run) any {
	topic := r.name("go_compressed")
	p := r.producer()
	body := []byte(strings.Repeat("the quick brown fox jumps over the lazy dog. ", 2000))
	sent(p.SendSync(context.Background(), primitive.NewMessage(topic, body)))
	found := consumeOne(r, topic)
	that(int(found.StoreSize) < len(body)/4, "stored as %d bytes", found.StoreSize)
	that(bytes.Equal(body, found.Body), "the body changed on its way")
	return map[string]any{"bytes": len(body), "stored": found.StoreSize}
}

func properties(r *run) any {
	topic := r.name("go_properties")
	p := r.producer()
	message := primitive.NewMessage(topic, []byte("b\u00f6dy \u4f60\u597d \U0001f680"))
	message.Flag = 0x7f00_0001
	message.WithTag("\u6807\u7b7e-\u03a9").WithKeys([]string{"\u8ba2\u5355-1", "\u043a\u043b\u044e\u0447", "plain"})
	own := map[string]string{
		"\u540d\u5b57": "\u503c \U0001f30d", "json": `{"a":[1,2,{"b":"c\\d"}]}`, "spaces": "  two  spaces  ",
		"long": strings.Repeat("x", 10_000),
	}
	for name, value := range own {
		message.WithProperty(name, value)
	}
	before := time.Now().UnixMilli()
	result := sent(p.SendSync(context.Background(), message))
	after := time.Now().UnixMilli()

	found := consumeOne(r, topic)
	equal(topic, found.Topic, "topic")
	equal(string(message.Body), string(found.Body), "body")
	equal(message.GetTags(), found.GetTags(), "tags")
	equal(message.GetKeys(), found.GetKeys(), "keys")
	equal(message.Flag, found.Flag, "flag")
	for name, value := range own {
		equal(value, found.GetProperty(name), "property "+name)
	}
	equal(result.MsgID, found.MsgId, "message id")
	equal(result.MsgID, found.GetProperty(primitive.PropertyUniqueClientMessageIdKeyIndex), "unique id")
	equal(result.OffsetMsgID, found.OffsetMsgId, "offset message id")
	equal(result.QueueOffset, found.QueueOffset, "queue offset")
	equal(result.MessageQueue.QueueId, found.Queue.QueueId, "queue id")
	equal(int32(0), found.ReconsumeTimes, "reconsume times")
	that(found.BornTimestamp >= before && found.BornTimestamp <= after, "born at %d, sent from %d to %d",
		found.BornTimestamp, before, after)
	that(found.StoreTimestamp >= before-5 && found.StoreTimestamp <= after+5, "stored at %d, sent from %d to %d",
		found.StoreTimestamp, before, after)
	that(strings.HasPrefix(found.BornHost, "127.0.0.1:"), "born at host %s", found.BornHost)
	that(found.StoreHost != "", "stored at host %s", found.StoreHost)
	return map[string]any{"storeSize": found.StoreSize}
}
