# perl's interpreter threads.
perl -e '
use threads; use threads::shared; use Thread::Queue;
my $n :shared = 0; my $q = Thread::Queue->new; my @t = map { my $i = $_; threads->create(sub { for (1..200) { lock $n; $n++ } $q->enqueue($i); return $i * 2 }) } 1..20;
print join(",", map { $_->join } @t), "\n$n ", $q->pending, "\n";
my $c :shared; my $w = threads->create(sub { lock $c; cond_timedwait($c, time + 100) until $c; "woken" }); { sleep 1; lock $c; $c = 1; cond_signal($c); } print $w->join, "\n";
my $k = threads->create(sub { local $SIG{KILL} = sub { threads->exit }; sleep 1 while 1 }); sleep 1; $k->kill("KILL"); $k->join; print "killed\n";
print threads->create(sub { `echo from a thread` })->join;
'
