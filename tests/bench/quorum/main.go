// Command quorum measures how fast a metadata quorum takes commands: an offset commit of one partition each for chronik,
// a put of as many bytes for etcd. The same program drives both, so that the client costs both the same machine.
//
//	quorum load -peer chronik|etcd -at HOST:PORT,... -clients N -seconds S [-bytes 256]
//	quorum gap  -peer chronik|etcd -at HOST:PORT,... -seconds S
//
// load prints one JSON object: commands per second, latency in microseconds, CPU seconds of this program. gap prints the
// longest time without a success, in milliseconds, of one client that always tries again.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

// target is one client's way to commit one command.
type target interface {
	commit(ctx context.Context) error
	close()
}

type options struct {
	peer    string
	at      []string
	clients int
	seconds float64
	warmup  float64
	bytes   int
	only    bool // groups that one of the members in -at coordinates
}

func (o *options) open(ctx context.Context, number int) (target, error) {
	if o.peer == "etcd" {
		return openEtcd(o, number)
	}
	return openChronik(ctx, o, number)
}

func cpuSeconds() float64 {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
}

// one client: commits until the end, remembers what took how long after the warm-up.
func drive(ctx context.Context, t target, from, to time.Time) ([]time.Duration, error) {
	var took []time.Duration
	for {
		begin := time.Now()
		if begin.After(to) {
			return took, nil
		}
		if err := t.commit(ctx); err != nil {
			return took, err
		}
		if begin.After(from) {
			took = append(took, time.Since(begin))
		}
	}
}

func load(o *options) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration((o.seconds+o.warmup+60)*float64(time.Second)))
	defer cancel()
	targets := make([]target, o.clients)
	for i := range targets {
		t, err := o.open(ctx, i)
		if err != nil {
			return err
		}
		defer t.close()
		targets[i] = t
	}
	from := time.Now().Add(time.Duration(o.warmup * float64(time.Second)))
	to := from.Add(time.Duration(o.seconds * float64(time.Second)))
	results := make([][]time.Duration, o.clients)
	errs := make([]error, o.clients)
	cpu := cpuSeconds()
	var wg sync.WaitGroup
	for i, t := range targets {
		wg.Add(1)
		go func() {
			defer wg.Done()
			results[i], errs[i] = drive(ctx, t, from, to)
		}()
	}
	wg.Wait()
	cpu = cpuSeconds() - cpu
	var all []time.Duration
	for i := range results {
		if errs[i] != nil {
			return fmt.Errorf("client %d: %w", i, errs[i])
		}
		all = append(all, results[i]...)
	}
	if len(all) == 0 {
		return fmt.Errorf("no command was answered within %.1f s", o.seconds)
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	us := func(share float64) float64 {
		return float64(all[min(len(all)-1, int(share*float64(len(all))))].Nanoseconds()) / 1e3
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"commands_per_s": float64(len(all)) / o.seconds, "p50_us": us(0.5), "p99_us": us(0.99), "max_us": us(1),
		"client_cpu_s": cpu,
	})
}

func gap(o *options) error {
	var longest time.Duration
	end := time.Now().Add(time.Duration(o.seconds * float64(time.Second)))
	last := time.Time{}
	n, number := 0, 0
	var t target
	for time.Now().Before(end) {
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		var err error
		if t == nil {
			t, err = o.open(ctx, number)
			number++
		}
		if err == nil {
			err = t.commit(ctx)
		}
		cancel()
		if err == nil {
			now := time.Now()
			if !last.IsZero() {
				longest = max(longest, now.Sub(last))
			}
			last = now
			n++
		} else if t != nil {
			t.close()
			t = nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	if last.IsZero() {
		return fmt.Errorf("no command was answered within %.1f s", o.seconds)
	}
	longest = max(longest, time.Since(last))
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"gap_ms": float64(longest.Microseconds()) / 1e3, "commands": float64(n)})
}

func main() {
	var o options
	var at string
	if len(os.Args) < 2 || (os.Args[1] != "load" && os.Args[1] != "gap") {
		fmt.Fprintln(os.Stderr, "usage: quorum load|gap -peer chronik|etcd -at HOST:PORT,... [-clients N] [-seconds S]")
		os.Exit(2)
	}
	f := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	f.StringVar(&o.peer, "peer", "chronik", "chronik or etcd")
	f.StringVar(&at, "at", "", "addresses of the members")
	f.IntVar(&o.clients, "clients", 1, "commands under way")
	f.Float64Var(&o.seconds, "seconds", 5, "how long")
	f.Float64Var(&o.warmup, "warmup", 1, "seconds before that are not counted")
	f.IntVar(&o.bytes, "bytes", 256, "size of a put, and about of a commit request")
	f.BoolVar(&o.only, "only", false, "use groups that a member of -at coordinates")
	_ = f.Parse(os.Args[2:])
	o.at = strings.Split(at, ",")
	run := load
	if os.Args[1] == "gap" {
		run = gap
	}
	if err := run(&o); err != nil {
		fmt.Fprintln(os.Stderr, "quorum:", err)
		os.Exit(1)
	}
}
