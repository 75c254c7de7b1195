# ruby: threads, ractors, webrick and puma.
. "$CASES/common.sh"
ruby -e '
require "socket"; require "net/http"; require "webrick"; require "timeout"; require "open3"
s = WEBrick::HTTPServer.new(Port: 0, BindAddress: "127.0.0.1", Logger: WEBrick::Log.new(File::NULL), AccessLog: [])
s.mount_proc("/") { |q, r| sleep 0.01; r.body = "answer " + q.path * 100 }
t = Thread.new { s.start }
port = s.config[:Port]
r = 40.times.map { |i| Thread.new { Net::HTTP.get(URI("http://127.0.0.1:#{port}/#{i}")) } }.map(&:value)
puts r.map(&:hash).uniq.size, r.map(&:size).inspect
q = Queue.new; m = Mutex.new; cv = ConditionVariable.new; n = 0
ts = 20.times.map { |i| Thread.new { 100.times { m.synchronize { n += 1; cv.signal } }; q << i } }
ts.each(&:join); puts n, q.size
begin; Timeout.timeout(0.1) { sleep 10 }; rescue Timeout::Error; puts "timeout"; end
puts 10.times.map { |i| Thread.new { Open3.capture2e("sh", "-c", "echo #{i}; exit #{i}") } }.map(&:value).map { |o, st| [o, st.exitstatus] }.inspect
th = Thread.new { sleep }; sleep 0.05; th.kill; th.join; puts th.status.inspect
th = Thread.new { begin; sleep; rescue => e; e.message; end }; sleep 0.05; th.raise("woken"); puts th.value
r, w = IO.pipe; th = Thread.new { r.read }; w << "x"*100000; w.close; puts th.value.size
pid = fork { Thread.new { sleep 0.01; puts "in child" }.join; exit 3 }; Process.wait pid; puts $?.exitstatus
trap("USR1") { puts "trapped" }; Process.kill("USR1", $$); sleep 0.1
def deep(n) n == 0 ? 0 : 1 + deep(n-1) end
puts Thread.new { begin; deep(10_000_000); rescue SystemStackError; "too deep"; end }.value
rr = 4.times.map { |i| Ractor.new(i) { |k| (1..100000).sum * k } } rescue nil
puts rr.map(&:take).inspect
s.shutdown; t.join; puts "end"
' 2>&1 | grep -v experimental
cat > c.ru <<'R'
run lambda { |env| sleep 0.005; [200, {"content-type" => "text/plain"}, ["puma " + env["PATH_INFO"]]] }
R
puma -t 8:16 -b "tcp://127.0.0.1:${PORTS[0]}" c.ru >puma.log 2>&1 &
puma=$!
up "${PORTS[0]}"
get() { curl -s "http://127.0.0.1:${PORTS[0]}/$1"; }
at_once get 60
threads puma $puma
stop puma $puma
