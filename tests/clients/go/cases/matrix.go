package main

import (
	"bytes"
	"context"
	"slices"
	"strings"
)

// Who sends to a topic of the matrix, beside this program (see tests/matrix.rs), and can be read by this client: it knows no compression
// but zlib.
var matrixSenders = []string{"java-zlib", "go", "java-grpc", "go-grpc", "python", "node", "rust"}

func matrixCases() (cases []named) {
	cases = append(cases, named{"matrix-send", matrixSend})
	for _, sender := range matrixSenders {
		cases = append(cases, named{"matrix-receive-" + sender, func(r *run) any { return matrixReceive(r, sender) }})
	}
	return cases
}

func matrixSend(r *run) any {
	topic := r.name("matrix_go")
	p := r.producer()
	for i := range crossMessages {
		sent(p.SendSync(context.Background(), crossMessage(topic, i)))
	}
	return map[string]any{"messages": crossMessages}
}

func matrixReceive(r *run, sender string) any {
	topic := r.name("matrix_" + sender)
	s := newSeen()
	r.push("g_"+topic+"_by_go", topic, "*", s.listen)
	s.await("messages of "+sender, crossMessages)
	equal(0, s.repeats(), "messages that came again")
	for i := range crossMessages {
		wanted := crossMessage(topic, i)
		found := s.message(string(wanted.Body))
		that(found != nil && bytes.Equal(wanted.Body, found.Body), "the body of %d changed on its way", i)
		equal(wanted.GetTags(), found.GetTags(), "tags")
		equal(sorted(wanted.GetKeys()), sorted(found.GetKeys()), "keys")
		equal(wanted.GetProperty("index"), found.GetProperty("index"), "index")
		equal(wanted.GetProperty("\u540d"), found.GetProperty("\u540d"), "property")
	}
	return map[string]any{"messages": crossMessages}
}

func sorted(keys string) string {
	words := strings.Split(keys, " ")
	slices.Sort(words)
	return strings.Join(words, " ")
}
