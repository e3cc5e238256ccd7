package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// One acknowledgement: this message is at this offset of this queue.
type entry struct {
	Producer uint32
	Queue    uint32
	Sequence uint64
	Offset   uint64
}

// The acknowledgements, written down as they come.
type book struct {
	lock  sync.Mutex
	file  *os.File
	out   *bufio.Writer
	count atomic.Int64
}

func newBook(path string) (*book, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &book{file: file, out: bufio.NewWriterSize(file, 1<<16)}, nil
}

func (b *book) note(e entry) error {
	b.lock.Lock()
	defer b.lock.Unlock()
	b.count.Add(1)
	return binary.Write(b.out, binary.BigEndian, e)
}

func (b *book) close() error {
	b.lock.Lock()
	defer b.lock.Unlock()
	return errors.Join(b.out.Flush(), b.file.Close())
}

func readBook(path string) ([]entry, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 1<<16)
	var entries []entry
	for {
		var e entry
		switch err := binary.Read(in, binary.BigEndian, &e); {
		case errors.Is(err, io.EOF):
			return entries, nil
		case err != nil:
			return nil, err
		}
		entries = append(entries, e)
	}
}
