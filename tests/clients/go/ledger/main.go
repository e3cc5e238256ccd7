// Command ledger is the witness of the kill test, in a process of its own:
//
//	ledger produce --namesrv HOST:PORT --topic T --file F   sends until its input ends, notes every acknowledgement in F
//	ledger verify  --namesrv HOST:PORT --topic T --file F   reads the topic and compares it with F
//
// Somebody else kills and restarts the broker meanwhile.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"kourou.tests/clients/wire"
)

// How many producers keep one message in flight each, in a queue of their own where order can be checked; and how
// many keep many in flight, for load.
const (
	orderedProducers  = 6
	windowedProducers = 2
	windowSize        = 64
	queues            = orderedProducers + 1
	group             = "ledger"
)

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: ledger produce|verify --namesrv HOST:PORT --topic T --file F"))
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	namesrv := flags.String("namesrv", "127.0.0.1:9876", "address of the name server")
	topic := flags.String("topic", "ledger", "topic to send to and to read")
	file := flags.String("file", "ledger.bin", "where the acknowledgements are noted")
	seed := flags.Int64("seed", 1, "of the message sizes and contents")
	if err := flags.Parse(os.Args[2:]); err != nil {
		fail(err)
	}
	wire.Quiet()
	var summary map[string]any
	var err error
	switch os.Args[1] {
	case "produce":
		summary, err = produce(*namesrv, *topic, *file, *seed)
	case "verify":
		summary, err = verify(*namesrv, *topic, *file)
	default:
		err = fmt.Errorf("unknown command %s", os.Args[1])
	}
	if err != nil {
		fail(err)
	}
	text, err := json.Marshal(summary)
	if err != nil {
		fail(err)
	}
	fmt.Println("summary", string(text))
	if summary["ok"] != true {
		os.Exit(1)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "ledger:", err)
	os.Exit(2)
}
