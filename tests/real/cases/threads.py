
import threading, concurrent.futures as cf, sqlite3, ssl, multiprocessing as mp, subprocess, os, queue, socket, time, hashlib, tempfile, asyncio
# sqlite3 from threads
db = os.path.join(os.getcwd(), 'db')
c = sqlite3.connect(db); c.execute('create table t(a int)'); c.commit(); c.close()
def w(n):
    c = sqlite3.connect(db, timeout=60)
    for i in range(20):
        with c: c.execute('insert into t values(?)', (n*1000+i,))
    c.close(); return n
with cf.ThreadPoolExecutor(16) as p: print(sorted(p.map(w, range(16))))
print(sqlite3.connect(db).execute('select count(*), sum(a) from t').fetchall())
# subprocess from threads
def s(n): return subprocess.run(['sh','-c',f'cat; exit {n%5}'], input=str(n).encode(), capture_output=True)
with cf.ThreadPoolExecutor(8) as p: print([(r.returncode, r.stdout) for r in p.map(s, range(40))])
# Popen.communicate with timeouts
def t(n):
    p = subprocess.Popen(['sleep','10'])
    try: p.wait(0.2); return 'ended'
    except subprocess.TimeoutExpired: p.kill(); return p.wait()
with cf.ThreadPoolExecutor(8) as p: print(list(p.map(t, range(8))))
# process pool from threads
with cf.ProcessPoolExecutor(4) as p: print(sum(p.map(abs, range(-200, 0), chunksize=10)))
def sq(x): return x*x
if True:
    with mp.Pool(4) as pool: print(pool.map(sq, range(20)))
    q = mp.Queue(); 
    def f(q, n): q.put(n)
    ps = [mp.Process(target=f, args=(q, n)) for n in range(5)]
    [x.start() for x in ps]; print(sorted(q.get() for _ in ps)); [x.join() for x in ps]
    m = mp.Manager(); d = m.dict()
    def g(d, n): d[n] = n*n
    ts = [threading.Thread(target=g, args=(d, n)) for n in range(10)]; [x.start() for x in ts]; [x.join() for x in ts]
    print(sorted(d.items()))
# timers, conditions, events, barriers
b = threading.Barrier(10); r = []
def bb(): b.wait(); r.append(1)
ts = [threading.Thread(target=bb) for _ in range(10)]; [x.start() for x in ts]; [x.join() for x in ts]; print(len(r))
ev = threading.Event(); print(ev.wait(0.05)); threading.Timer(0.05, ev.set).start(); print(ev.wait(10))
# hashing w/o GIL
with cf.ThreadPoolExecutor(4) as p: print([x[:8] for x in p.map(lambda n: hashlib.sha256(bytes([n])*1000000).hexdigest(), range(8))])
# asyncio with to_thread
async def main():
    rs = await asyncio.gather(*[asyncio.to_thread(time.sleep, 0.01) for _ in range(50)])
    p = await asyncio.create_subprocess_exec('echo', 'hi', stdout=subprocess.PIPE); print(await p.communicate())
    return len(rs)
print(asyncio.run(main()))
# signals to main while threads run
import signal
got = []
signal.signal(signal.SIGUSR1, lambda *a: got.append(1))
th = [threading.Thread(target=lambda: time.sleep(0.3)) for _ in range(5)]; [x.start() for x in th]
os.kill(os.getpid(), signal.SIGUSR1); time.sleep(0.05); print(got); [x.join() for x in th]
def deep(n): return 0 if n == 0 else 1 + deep(n-1)
threading.stack_size(64*1024*1024); import sys; sys.setrecursionlimit(100000)
o=[]; x=threading.Thread(target=lambda:o.append(deep(50000))); x.start(); x.join(); print(o)
