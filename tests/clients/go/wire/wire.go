// Package wire asks a name server or broker one question at a time, past the client library: for what the library
// offers no call for, and for making topics before a case begins.
package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

const (
	queryConsumerOffset   = 14
	updateAndCreateTopic  = 17
	getMaxOffset          = 30
	getRouteInfoByTopic   = 105
	answerSizeMaxBytes    = 16 << 20
	protocolVersionOfLate = 475
)

// Answer is the response to one request.
type Answer struct {
	Code   int               `json:"code"`
	Remark string            `json:"remark"`
	Fields map[string]string `json:"extFields"`
	Body   []byte            `json:"-"`
}

// Ask sends one request on a connection of its own and waits at most 5 s for the answer.
func Ask(addr string, code int, fields map[string]string) (*Answer, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	header, err := json.Marshal(map[string]any{
		"code": code, "language": "GO", "version": protocolVersionOfLate, "opaque": 1, "flag": 0,
		"serializeTypeCurrentRPC": "JSON", "extFields": fields,
	})
	if err != nil {
		return nil, err
	}
	frame := binary.BigEndian.AppendUint32(nil, uint32(4+len(header)))
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(header)))
	if _, err := conn.Write(append(frame, header...)); err != nil {
		return nil, err
	}
	var lengths [8]byte
	if _, err := io.ReadFull(conn, lengths[:]); err != nil {
		return nil, err
	}
	total := int(binary.BigEndian.Uint32(lengths[:4]))
	headerLen := int(binary.BigEndian.Uint32(lengths[4:]) & 0xff_ffff)
	if total > answerSizeMaxBytes || headerLen > total-4 {
		return nil, fmt.Errorf("an answer of %d bytes with a header of %d", total, headerLen)
	}
	rest := make([]byte, total-4)
	if _, err := io.ReadFull(conn, rest); err != nil {
		return nil, err
	}
	answer := &Answer{Body: rest[headerLen:]}
	return answer, json.Unmarshal(rest[:headerLen], answer)
}

// Route names the first broker of a topic, its address and its number of queues to write to.
func Route(namesrv, topic string) (broker, addr string, queues int, err error) {
	answer, err := Ask(namesrv, getRouteInfoByTopic, map[string]string{"topic": topic, "acceptStandardJsonOnly": "true"})
	if err != nil {
		return "", "", 0, err
	}
	if answer.Code != 0 {
		return "", "", 0, fmt.Errorf("route of %s: code %d, %s", topic, answer.Code, answer.Remark)
	}
	var route struct {
		QueueDatas []struct {
			BrokerName     string
			WriteQueueNums int
		}
		BrokerDatas []struct {
			BrokerName  string
			BrokerAddrs map[string]string
		}
	}
	if err := json.Unmarshal(answer.Body, &route); err != nil {
		return "", "", 0, fmt.Errorf("route %s: %w", answer.Body, err)
	}
	if len(route.QueueDatas) == 0 || len(route.BrokerDatas) == 0 {
		return "", "", 0, fmt.Errorf("empty route %s", answer.Body)
	}
	data := route.BrokerDatas[0]
	return data.BrokerName, data.BrokerAddrs["0"], route.QueueDatas[0].WriteQueueNums, nil
}

// CreateTopic makes the topic on the broker that serves the auto-create template and waits for its route.
func CreateTopic(namesrv, topic string, queues int) error {
	_, addr, _, err := Route(namesrv, "TBW102")
	if err != nil {
		return err
	}
	answer, err := Ask(addr, updateAndCreateTopic, map[string]string{
		"topic": topic, "defaultTopic": "TBW102", "readQueueNums": strconv.Itoa(queues),
		"writeQueueNums": strconv.Itoa(queues), "perm": "6", "topicFilterType": "SINGLE_TAG", "topicSysFlag": "0",
		"order": "false",
	})
	if err != nil {
		return err
	}
	if answer.Code != 0 {
		return fmt.Errorf("creating %s: code %d, %s", topic, answer.Code, answer.Remark)
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if _, _, found, err := Route(namesrv, topic); err == nil && found == queues {
			return nil
		}
	}
	return fmt.Errorf("no route for %s within 20 s", topic)
}

// MaxOffset is where the queue ends.
func MaxOffset(addr, topic string, queue int) (int64, error) {
	answer, err := Ask(addr, getMaxOffset, map[string]string{"topic": topic, "queueId": strconv.Itoa(queue)})
	return offset(answer, err)
}

// StoredOffset is what the broker holds for the group, -1 if nothing.
func StoredOffset(addr, group, topic string, queue int) (int64, error) {
	answer, err := Ask(addr, queryConsumerOffset, map[string]string{
		"consumerGroup": group, "topic": topic, "queueId": strconv.Itoa(queue), "setZeroIfNotFound": "false",
	})
	if err == nil && answer.Code == 22 {
		return -1, nil
	}
	return offset(answer, err)
}

func offset(answer *Answer, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	if answer.Code != 0 {
		return 0, fmt.Errorf("code %d, %s", answer.Code, answer.Remark)
	}
	return strconv.ParseInt(answer.Fields["offset"], 10, 64)
}
