# A JVM: thread pools, sockets, stack overflows caught, interrupts, collections, javac.
. "$CASES/common.sh"
java -version
cat > T.java <<'J'
import java.util.*; import java.util.concurrent.*; import java.net.*; import java.io.*;
public class T {
  static int depth(int n) { return n == 0 ? 0 : 1 + depth(n - 1); }
  static int overflow() { return 1 + overflow(); }
  public static void main(String[] a) throws Exception {
    ExecutorService p = Executors.newFixedThreadPool(32);
    List<Future<Long>> fs = new ArrayList<>();
    for (int i = 0; i < 100; i++) { final int n = i; fs.add(p.submit(() -> { long s = 0; for (int k = 0; k < 100000; k++) s += k ^ n; byte[][] g = new byte[100][]; for (int k=0;k<100;k++) g[k]=new byte[10000]; Thread.sleep(1); return s; })); }
    long t = 0; for (Future<Long> f : fs) t += f.get(); System.out.println(t);
    ServerSocket s = new ServerSocket(0);
    Thread acc = new Thread(() -> { try { for (int i=0;i<50;i++) { Socket c = s.accept(); new Thread(() -> { try { BufferedReader r = new BufferedReader(new InputStreamReader(c.getInputStream())); String l; while ((l = r.readLine()) != null) { c.getOutputStream().write((l.toUpperCase()+"\n").getBytes()); } c.close(); } catch (IOException e) { System.out.println(e); } }).start(); } } catch (IOException e) { System.out.println(e);} }); acc.start();
    for (int i = 0; i < 50; i++) { final int n = i; fs.clear(); p.submit(() -> { return 0; }); }
    List<Future<String>> g = new ArrayList<>();
    for (int i = 0; i < 50; i++) { final int n = i; g.add(p.submit(() -> { Socket c = new Socket("127.0.0.1", s.getLocalPort()); c.getOutputStream().write(("hello "+n+"\n").getBytes()); String r = new BufferedReader(new InputStreamReader(c.getInputStream())).readLine(); c.close(); return r; })); }
    for (Future<String> f : g) System.out.println(f.get());
    Thread so = new Thread(() -> { try { overflow(); } catch (StackOverflowError e) { System.out.println("caught overflow"); } }); so.start(); so.join();
    try { overflow(); } catch (StackOverflowError e) { System.out.println("caught overflow in main"); }
    Object n = null; try { n.hashCode(); } catch (NullPointerException e) { System.out.println("npe"); }
    Thread sl = new Thread(() -> { try { Thread.sleep(100000); } catch (InterruptedException e) { System.out.println("interrupted"); } }); sl.start(); sl.interrupt(); sl.join();
    for (int i = 0; i < 20; i++) System.gc();
    System.out.println(new Object(){ public synchronized int f() throws Exception { wait(20); return 3; } }.f());
    p.shutdown(); System.out.println(p.awaitTermination(10, TimeUnit.SECONDS));
    Process pr = new ProcessBuilder("echo", "child").start(); System.out.println(new BufferedReader(new InputStreamReader(pr.getInputStream())).readLine() + pr.waitFor());
    System.exit(7);
  }
}
J
javac T.java; echo javac $?
java T; echo $?
java -Xint -XX:+UseSerialGC T; echo $?
