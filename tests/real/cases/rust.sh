# rustc, and a program with std's threads, channels, locks, sockets and panics.
set -u
cat > r.rs <<'R'
use std::sync::{Arc,Mutex,Condvar,mpsc,RwLock,Barrier}; use std::thread; use std::net::*; use std::io::*; use std::time::Duration;
fn main(){ let m=Arc::new(Mutex::new(0u64)); let h:Vec<_>=(0..50).map(|i|{let m=m.clone(); thread::spawn(move||{for _ in 0..1000{*m.lock().unwrap()+=i;}})}).collect(); for x in h{x.join().unwrap();} println!("{}",*m.lock().unwrap());
 let (tx,rx)=mpsc::channel(); for i in 0..20{let tx=tx.clone(); thread::spawn(move||{tx.send(i).unwrap();});} drop(tx); let mut v:Vec<i32>=rx.iter().collect(); v.sort(); println!("{:?}",v);
 let l=TcpListener::bind("127.0.0.1:0").unwrap(); let a=l.local_addr().unwrap(); thread::spawn(move||{for s in l.incoming(){let mut s=s.unwrap(); thread::spawn(move||{let mut b=[0u8;100]; loop{let n=s.read(&mut b).unwrap(); if n==0{return;} s.write_all(&b[..n]).unwrap();}});}});
 let h:Vec<_>=(0..100).map(|i|thread::spawn(move||{let mut s=TcpStream::connect(a).unwrap(); s.set_read_timeout(Some(Duration::from_secs(20))).unwrap(); let m=format!("hello {}",i); s.write_all(m.as_bytes()).unwrap(); let mut b=vec![0;m.len()]; s.read_exact(&mut b).unwrap(); b==m.as_bytes()})).collect(); println!("{}",h.into_iter().filter(|_|true).map(|x|x.join().unwrap()).all(|x|x));
 let r=thread::spawn(||{if true{panic!("boom")}}).join(); println!("{}",r.is_err()); let c=Arc::new((Mutex::new(false),Condvar::new())); let d=c.clone(); thread::spawn(move||{*d.0.lock().unwrap()=true; d.1.notify_all();}); let mut g=c.0.lock().unwrap(); while !*g{g=c.1.wait(g).unwrap();} println!("cv");
 let w=Arc::new(RwLock::new(0)); let b=Arc::new(Barrier::new(8)); let h:Vec<_>=(0..8).map(|_|{let w=w.clone();let b=b.clone();thread::spawn(move||{b.wait(); for _ in 0..500{*w.write().unwrap()+=1; let _=*w.read().unwrap();}})}).collect(); for x in h{x.join().unwrap();} println!("{}",*w.read().unwrap());
 let t=thread::Builder::new().name("parker".into()).spawn(||{thread::park(); thread::current().name().unwrap().to_string()}).unwrap(); t.thread().unpark(); println!("{}",t.join().unwrap());
 println!("{}",thread::scope(|s|{let v=vec![1,2,3]; let h=s.spawn(move||v.iter().sum::<i32>()); h.join().unwrap()}));
 let o=std::process::Command::new("echo").arg("child").output().unwrap(); print!("{}",String::from_utf8_lossy(&o.stdout)); }
R
/usr/bin/rustc -O -o r r.rs; echo "rustc: $?"; ./r 2>/dev/null; echo $?
