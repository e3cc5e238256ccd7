// Command cases runs client behaviours against a broker and prints a line of JSON for each:
//
//	cases --namesrv HOST:PORT --suffix NAME [--jobs N] [--timeout-s N] CASE...
//
// "all" stands for every case that needs nobody's help. It exits with 1 if one failed. Suffixes keep the topics and
// groups of runs apart.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"kourou.tests/clients/wire"
)

// A behaviour panics with a failure to fail; what it returns is printed as detail.
type behaviour func(r *run) any

type named struct {
	name string
	body behaviour
}

// The slow ones come first, the quick ones fill in beside them.
var all = []named{
	{"rebalance", rebalance}, {"ordered", ordered}, {"retry-dlq", retryThenDeadLetter}, {"delay", delay},
	{"transactions", transactions}, {"namespaces", namespaces}, {"timers", timers}, {"request-reply", requestReply}, {"broadcast", broadcast}, {"tags", tags}, {"offsets", offsets}, {"pull", pull}, {"pull-poll", pullPoll},
	{"sync", sendSync}, {"async", sendAsync}, {"oneway", sendOneway}, {"batch", sendBatch}, {"queue", explicitQueue},
	{"big-body", bigBody}, {"compressed", compressed}, {"properties", properties}, {"errors", errorsCase},
	{"long-poll", longPoll},
}

var onRequest = []named{
	{"offsets-before", offsetsBefore}, {"offsets-after", offsetsAfter}, {"cross-send", crossSend},
	{"cross-receive-java", crossReceiveJava}, {"cross-receive-go", crossReceiveGo},
}

// Cases that measure time run when nothing else does.
var alone = []string{"long-poll"}

func main() {
	namesrv := flag.String("namesrv", "127.0.0.1:9876", "address of the name server")
	suffix := flag.String("suffix", strconv.FormatInt(time.Now().UnixMilli(), 36), "keeps the names of runs apart")
	jobs := flag.Int("jobs", 4, "cases at a time")
	timeoutS := flag.Int("timeout-s", 90, "longest time of a case")
	flag.Parse()
	wire.Quiet()

	var together, single []named
	for _, name := range flag.Args() {
		found := 0
		for _, c := range slices.Concat(all, onRequest, matrixCases()) {
			if c.name != name && !(name == "all" && found < len(all)) {
				continue
			}
			found++
			if slices.Contains(alone, c.name) {
				single = append(single, c)
			} else {
				together = append(together, c)
			}
		}
		if found == 0 {
			fmt.Fprintf(os.Stderr, "unknown case %s\n", name)
			os.Exit(2)
		}
	}

	failed := false
	var lock sync.Mutex
	one := func(c named) {
		ok := runOne(c, *namesrv, *suffix, time.Duration(*timeoutS)*time.Second)
		lock.Lock()
		defer lock.Unlock()
		failed = failed || !ok
	}
	queue := make(chan named)
	var workers sync.WaitGroup
	for range *jobs {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for c := range queue {
				one(c)
			}
		}()
	}
	for _, c := range together {
		queue <- c
	}
	close(queue)
	workers.Wait()
	for _, c := range single {
		one(c)
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

func runOne(c named, namesrv, suffix string, timeout time.Duration) bool {
	start := time.Now()
	result := line{Case: c.name}
	r := &run{namesrv: namesrv, suffix: suffix}
	done := make(chan line, 1)
	go func() {
		inner := line{Case: c.name}
		defer func() {
			if failure := recover(); failure != nil {
				inner.Detail = fmt.Sprint(failure)
				inner.Trace = string(debug.Stack())
			}
			done <- inner
		}()
		inner.Detail = c.body(r)
		inner.OK = true
	}()
	select {
	case result = <-done:
	case <-time.After(timeout):
		result.Detail = fmt.Sprintf("did not end within %v", timeout)
	}
	r.close()
	result.Ms = time.Since(start).Milliseconds()
	text, err := json.Marshal(result)
	if err != nil {
		text = []byte(fmt.Sprintf(`{"case":%q,"ok":false,"detail":"no JSON"}`, c.name))
	}
	fmt.Println(string(text))
	return result.OK
}
