# The go tool, a pure Go program, and one that calls C with threads of its own.
set -u
export HOME=$PWD GO111MODULE=off GOCACHE=$PWD/cache
cat > m.go <<'G'
package main
import ("fmt";"net";"sync";"os/exec";"net/http";"io")
func main(){ var wg sync.WaitGroup; ch:=make(chan int,100); for i:=0;i<1000;i++{wg.Add(1); go func(i int){defer wg.Done(); ch<-i*i}(i)}; go func(){wg.Wait(); close(ch)}(); s:=0; for v:=range ch {s+=v}; fmt.Println(s)
 a,_:=net.LookupHost("localhost"); fmt.Println(len(a)>0); o,_:=exec.Command("echo","child").Output(); fmt.Print(string(o))
 l,_:=net.Listen("tcp","127.0.0.1:0"); go http.Serve(l,http.HandlerFunc(func(w http.ResponseWriter,r *http.Request){fmt.Fprintf(w,"hi %s",r.URL.Path)})); n:=0; for i:=0;i<50;i++{ wg.Add(1); go func(i int){defer wg.Done(); r,e:=http.Get(fmt.Sprintf("http://%s/%d",l.Addr(),i)); if e==nil {b,_:=io.ReadAll(r.Body); n+=len(b)*0+1; r.Body.Close()}}(i)}; wg.Wait(); fmt.Println(n>0)}
G
cat > c.go <<'G'
package main
// #include <pthread.h>
// #include <unistd.h>
// static void* f(void* a){ usleep(1000); return a; }
// static long run(long n){ pthread_t t[50]; long s=0; for(long i=0;i<50;i++) pthread_create(&t[i],0,f,(void*)i); for(int i=0;i<50;i++){void*r; pthread_join(t[i],&r); s+=(long)r;} return s; }
import "C"
import ("fmt";"sync")
func main(){ var wg sync.WaitGroup; var mu sync.Mutex; t:=0; for i:=0;i<40;i++{wg.Add(1); go func(){defer wg.Done(); r:=int(C.run(1)); mu.Lock(); t+=r; mu.Unlock()}()}; wg.Wait(); fmt.Println(t)}
G
go build -o m m.go; echo "go build $?"; ./m; go build -o c c.go; echo "cgo build $?"; ./c; echo $?
