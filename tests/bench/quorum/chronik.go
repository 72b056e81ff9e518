package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// A client of chronik has a connection and a group of its own, as a consumer has, and commits partition 0 of "bench".
type chronikTarget struct {
	conn   net.Conn
	frame  []byte // encoded once; the offset and the correlation id are patched
	offset int64
	at     int // of the offset in the frame
	in     []byte
}

const (
	apiOffsetCommit    = 8
	apiFindCoordinator = 10
)

func putString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

func header(api, version int16) []byte {
	b := make([]byte, 4, 512)
	b = binary.BigEndian.AppendUint16(b, uint16(api))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, 0)
	return putString(b, "quorum")
}

// call sends a frame and returns the answer behind its correlation id.
func call(ctx context.Context, conn net.Conn, frame, in []byte) ([]byte, []byte, error) {
	if d, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(d)
	}
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	if _, err := conn.Write(frame); err != nil {
		return nil, in, err
	}
	if cap(in) < 4096 {
		in = make([]byte, 4096)
	}
	in = in[:cap(in)]
	n := 0
	for {
		k, err := conn.Read(in[n:])
		n += k
		if n >= 4 {
			size := int(binary.BigEndian.Uint32(in))
			if size+4 > len(in) {
				return nil, in, errors.New("an answer that is too long")
			}
			if n >= size+4 {
				return in[8 : size+4], in, nil
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, in, err
		}
	}
}

// coordinator asks any member which one answers for the group.
func coordinator(ctx context.Context, at, group string) (string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	body, _, err := call(ctx, conn, putString(header(apiFindCoordinator, 0), group), nil)
	if err != nil || len(body) < 8 {
		return "", errors.Join(err, errors.New("no answer to FindCoordinator"))
	}
	if code := int16(binary.BigEndian.Uint16(body)); code != 0 {
		return "", fmt.Errorf("FindCoordinator: error %d", code)
	}
	n := int(binary.BigEndian.Uint16(body[6:]))
	return fmt.Sprintf("%s:%d", body[8:8+n], binary.BigEndian.Uint32(body[8+n:])), nil
}

func openChronik(ctx context.Context, o *options, number int) (target, error) {
	group := fmt.Sprintf("client-%d", number)
	var at string
	var err error
	for try := 0; ; try++ {
		at, err = coordinator(ctx, o.at[(number+try)%len(o.at)], group)
		if err == nil && (!o.only || slices.Contains(o.at, at)) {
			break
		}
		if err == nil { // another group may have another coordinator
			group = fmt.Sprintf("client-%d-%d", number, try)
			continue
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(20 * time.Millisecond):
		}
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, err
	}
	t := &chronikTarget{conn: conn}
	b := header(apiOffsetCommit, 7)
	b = putString(b, group)
	b = binary.BigEndian.AppendUint32(b, 0xffffffff) // no generation: a simple consumer
	b = putString(b, "")
	b = binary.BigEndian.AppendUint16(b, 0xffff)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = putString(b, "bench")
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint32(b, 0)
	t.at = len(b)
	b = binary.BigEndian.AppendUint64(b, 0)
	b = binary.BigEndian.AppendUint32(b, 0xffffffff)
	t.frame = putString(b, strings.Repeat("x", max(0, o.bytes-len(b)-2)))
	for try := 0; try < 100; try++ { // the coordinator may still be loading
		if err = t.commit(ctx); err == nil {
			return t, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	conn.Close()
	return nil, err
}

func (t *chronikTarget) commit(ctx context.Context) error {
	var body []byte
	var err error
	t.offset++
	binary.BigEndian.PutUint64(t.frame[t.at:], uint64(t.offset))
	body, t.in, err = call(ctx, t.conn, t.frame, t.in)
	if err != nil {
		return err
	}
	if len(body) < 2 {
		return errors.New("an answer that is too short")
	}
	if code := int16(binary.BigEndian.Uint16(body[len(body)-2:])); code != 0 {
		return fmt.Errorf("OffsetCommit: error %d", code)
	}
	return nil
}

func (t *chronikTarget) close() { t.conn.Close() }
