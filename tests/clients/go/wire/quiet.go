package wire

import "github.com/apache/rocketmq-client-go/v2/rlog"

// Quiet drops what the client library would log: a case says itself what went wrong.
func Quiet() {
	rlog.SetLogger(silence{})
}

type silence struct{}

func (silence) Debug(string, map[string]interface{})   {}
func (silence) Info(string, map[string]interface{})    {}
func (silence) Warning(string, map[string]interface{}) {}
func (silence) Error(string, map[string]interface{})   {}
func (silence) Fatal(string, map[string]interface{})   {}
func (silence) Level(string)                           {}
func (silence) OutputPath(string) error                { return nil }
