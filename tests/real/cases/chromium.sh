# A page with a script and a worker, in all of the browser's processes.
export HOME=$PWD; mkdir -p $PWD/p; cat >t.html <<'H'
<html><body><script>document.body.innerHTML = '<p id=x>' + [1,2,3].map(x=>x*x).join(',') + '</p>'; const w = new Worker(URL.createObjectURL(new Blob(['postMessage(6*7)']))); w.onmessage = e => { document.body.innerHTML += '<i>' + e.data + '</i>'; };</script></body></html>
H
timeout 60 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir=$PWD/p --virtual-time-budget=3000 --dump-dom file://$PWD/t.html 2>/dev/null; echo "chromium $?"
