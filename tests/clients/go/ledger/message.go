package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand"
)

// A message says who sent it and as which, and carries a checksum of its own over all of that:
//
//	0   u32  CRC-32C of everything after it
//	4   u32  producer
//	8   u64  sequence
//	16  ...  random bytes
const headSize = 16

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encode(producer int, sequence uint64, random *rand.Rand) []byte {
	size := 200 + random.Intn(1800)
	switch random.Intn(100) {
	case 0:
		size = 40_000 + random.Intn(160_000)
	case 1, 2, 3:
		size = 0
	}
	body := make([]byte, headSize+size)
	binary.BigEndian.PutUint32(body[4:], uint32(producer))
	binary.BigEndian.PutUint64(body[8:], sequence)
	random.Read(body[headSize:])
	binary.BigEndian.PutUint32(body, crc32.Checksum(body[4:], castagnoli))
	return body
}

func decode(body []byte) (producer int, sequence uint64, err error) {
	if len(body) < headSize {
		return 0, 0, fmt.Errorf("a body of %d bytes", len(body))
	}
	if wanted, found := binary.BigEndian.Uint32(body), crc32.Checksum(body[4:], castagnoli); wanted != found {
		return 0, 0, fmt.Errorf("checksum %08x in a body of %d bytes that has %08x", wanted, len(body), found)
	}
	return int(binary.BigEndian.Uint32(body[4:])), binary.BigEndian.Uint64(body[8:]), nil
}
