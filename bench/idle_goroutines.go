// N goroutines blocked in a network read, for comparison with idle_threads (which see): says "ready" when the
// connections exist, waits for a line, says "idle", waits for a line, ends.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// One end to read from; nobody writes to the other.
func silentConnection() net.Conn {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, "idle_goroutines: socketpair:", err)
		os.Exit(1)
	}
	file := os.NewFile(uintptr(pair[0]), "")
	connection, err := net.FileConn(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, "idle_goroutines:", err)
		os.Exit(1)
	}
	file.Close()
	return connection
}

func main() {
	count, err := strconv.Atoi(os.Args[len(os.Args)-1])
	if err != nil || count < 1 {
		fmt.Fprintln(os.Stderr, "usage: idle_goroutines N")
		os.Exit(2)
	}
	syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20})
	connections := make([]net.Conn, count)
	for i := range connections {
		connections[i] = silentConnection()
	}
	debug.FreeOSMemory() // what making them left behind must not serve for the goroutines
	var started sync.WaitGroup
	started.Add(count)
	input := bufio.NewReader(os.Stdin)
	fmt.Println("ready")
	input.ReadString('\n')
	for _, connection := range connections {
		go func(connection net.Conn) {
			var data [1]byte
			started.Done()
			connection.Read(data[:])
		}(connection)
	}
	started.Wait()
	time.Sleep(500 * time.Millisecond)
	fmt.Println("idle")
	input.ReadString('\n')
}
