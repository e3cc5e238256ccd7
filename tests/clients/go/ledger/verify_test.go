package main

import (
	"math/rand"
	"path/filepath"
	"testing"
)

func newAudit(entries ...entry) *audit {
	a := &audit{open: make([]map[uint64]entry, queues), copies: map[[2]uint64]int{}}
	for queue := range a.open {
		a.open[queue] = map[uint64]entry{}
	}
	for _, e := range entries {
		a.open[e.Queue][e.Offset] = e
	}
	return a
}

func message(producer int, sequence uint64) []byte {
	return encode(producer, sequence, rand.New(rand.NewSource(1)))
}

// An audit that finds nothing is worth something only if it finds what there is to find.
func TestAuditFindsWhatIsWrong(t *testing.T) {
	a := newAudit(entry{Producer: 1, Queue: 1, Sequence: 0, Offset: 0}, entry{Producer: 1, Queue: 1, Sequence: 1, Offset: 2},
		entry{Producer: 1, Queue: 1, Sequence: 9, Offset: 9})
	a.take(1, 0, message(1, 0))
	a.take(1, 1, message(1, 1))
	a.take(1, 2, message(1, 1))
	if a.corrupted+a.moved+a.unordered != 0 || len(a.open[1]) != 1 || a.copies[[2]uint64{1, 1}] != 2 {
		t.Fatalf("a good log with a duplicate and a loss: %+v", a)
	}
	a.take(1, 3, message(1, 0))
	if a.unordered != 1 {
		t.Fatal("a message after a later one")
	}
	a.take(1, 9, message(1, 8))
	if a.moved != 1 {
		t.Fatal("another message where one was acknowledged")
	}
	torn := message(1, 10)
	torn[len(torn)-1] ^= 1
	a.take(1, 10, torn)
	a.take(1, 11, torn[:7])
	if a.corrupted != 2 {
		t.Fatal("a flipped bit and a cut body")
	}
}

func TestTransactionsAreJudged(t *testing.T) {
	entries := []entry{{Sequence: 1}, {Sequence: 3}, {Sequence: 4}}
	for _, c := range []struct {
		wrong  string
		copies map[[2]uint64]int
	}{
		{"", map[[2]uint64]int{{0, 1}: 1, {0, 4}: 1, {0, 5}: 1}},
		{"lost", map[[2]uint64]int{{0, 1}: 1}},
		{"repeated", map[[2]uint64]int{{0, 1}: 1, {0, 4}: 2}},
		{"visibleThoughRolledBack", map[[2]uint64]int{{0, 1}: 1, {0, 4}: 1, {0, 3}: 1}},
	} {
		found := judgeTransactions(entries, c.copies)
		for _, what := range []string{"lost", "repeated", "visibleThoughRolledBack"} {
			if wanted := map[bool]int{true: 1}[what == c.wrong]; found[what] != wanted {
				t.Fatalf("%s: %v", c.wrong, found)
			}
		}
		if found["ok"] != (c.wrong == "") {
			t.Fatalf("%s: %v", c.wrong, found)
		}
	}
	if judgeTransactions(nil, nil)["ok"] == true {
		t.Fatal("nothing was acknowledged")
	}
}

func TestTimersAreJudged(t *testing.T) {
	entries := []entry{{Sequence: 1, Offset: 5000}, {Sequence: 2, Offset: 6000}}
	for _, c := range []struct {
		wrong  string
		stored map[[2]uint64][]int64
	}{
		{"", map[[2]uint64][]int64{{0, 1}: {5000}, {0, 2}: {6003}}},
		{"lost", map[[2]uint64][]int64{{0, 1}: {5000}}},
		{"repeated", map[[2]uint64][]int64{{0, 1}: {5000}, {0, 2}: {6003, 6004}}},
		{"early", map[[2]uint64][]int64{{0, 1}: {4999}, {0, 2}: {6003}}},
	} {
		found := judgeTimers(entries, c.stored)
		for _, what := range []string{"lost", "repeated", "early"} {
			if wanted := map[bool]int{true: 1}[what == c.wrong]; found[what] != wanted {
				t.Fatalf("%s: %v", c.wrong, found)
			}
		}
		if found["ok"] != (c.wrong == "") {
			t.Fatalf("%s: %v", c.wrong, found)
		}
	}
	if judgeTimers(nil, nil)["ok"] == true {
		t.Fatal("nothing was acknowledged")
	}
}

func TestBookKeepsWhatWasNoted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book")
	b, err := newBook(path)
	if err != nil {
		t.Fatal(err)
	}
	noted := []entry{{1, 2, 3, 4}, {5, 6, 7, 1 << 40}}
	for _, e := range noted {
		if err := b.note(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.close(); err != nil {
		t.Fatal(err)
	}
	found, err := readBook(path)
	if err != nil || len(found) != 2 || found[0] != noted[0] || found[1] != noted[1] {
		t.Fatalf("%v, %v", found, err)
	}
}
