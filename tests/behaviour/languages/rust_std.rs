// Rust's standard library: threads, scoped threads, mutex, condition, rwlock, barrier, once, channels, park, thread
// locals, panics. Its locks are futexes.
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, sync_channel, RecvTimeoutError};
use std::sync::{Arc, Barrier, Condvar, Mutex, Once, RwLock};
use std::thread;
use std::time::Duration;

thread_local!(static OWN: Cell<usize> = Cell::new(0));

fn count_in_mutex() -> usize {
    let count = Arc::new(Mutex::new(0));
    let threads: Vec<_> = (0..50)
        .map(|_| {
            let count = Arc::clone(&count);
            thread::spawn(move || {
                for _ in 0..200 {
                    *count.lock().unwrap() += 1;
                }
            })
        })
        .collect();
    for each in threads {
        each.join().unwrap();
    }
    let total = *count.lock().unwrap();
    total
}

fn ping_pong() -> usize {
    let pair = Arc::new((Mutex::new(0usize), Condvar::new()));
    let other = Arc::clone(&pair);
    let thread = thread::spawn(move || {
        let (turn, changed) = &*other;
        let mut turn = turn.lock().unwrap();
        while *turn < 1000 {
            turn = changed.wait_while(turn, |turn| *turn % 2 == 0 && *turn < 1000).unwrap();
            *turn += 1;
            changed.notify_one();
        }
    });
    let (turn, changed) = &*pair;
    let mut turn = turn.lock().unwrap();
    while *turn < 1000 {
        turn = changed.wait_while(turn, |turn| *turn % 2 == 1 && *turn < 1000).unwrap();
        *turn += 1;
        changed.notify_one();
    }
    let reached = (*turn).min(1000);
    drop(turn);
    thread.join().unwrap();
    reached
}

fn channels() -> usize {
    let (sender, receiver) = channel();
    let (bounded, taken) = sync_channel(2);
    let threads: Vec<_> = (0..20)
        .map(|i| {
            let sender = sender.clone();
            let bounded = bounded.clone();
            thread::spawn(move || {
                for j in 0..50 {
                    sender.send(i * 50 + j).unwrap();
                    bounded.send(1).unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    drop(bounded);
    let sum: usize = (0..1000).map(|_| taken.recv().unwrap()).sum();
    assert!(taken.recv().is_err());
    let all: usize = receiver.iter().sum();
    for each in threads {
        each.join().unwrap();
    }
    let (_kept, nothing) = channel::<i32>();
    assert_eq!(nothing.recv_timeout(Duration::from_millis(5)), Err(RecvTimeoutError::Timeout));
    sum + all
}

fn main() {
    println!("mutex {}", count_in_mutex());
    println!("condition {}", ping_pong());
    println!("channels {}", channels());

    let parked = thread::spawn(|| {
        thread::park();
        thread::park_timeout(Duration::from_millis(5));
    });
    thread::sleep(Duration::from_millis(10));
    parked.thread().unpark();
    parked.join().unwrap();
    println!("park");

    let once = Once::new();
    let lock = RwLock::new(0);
    let barrier = Barrier::new(8);
    let leaders = AtomicUsize::new(0);
    thread::scope(|scope| {
        for i in 0..8 {
            let (once, lock, barrier, leaders) = (&once, &lock, &barrier, &leaders);
            scope.spawn(move || {
                once.call_once(|| thread::sleep(Duration::from_millis(5)));
                OWN.with(|own| own.set(i));
                if barrier.wait().is_leader() {
                    leaders.fetch_add(1, Ordering::SeqCst);
                }
                *lock.write().unwrap() += i;
                assert!(*lock.read().unwrap() <= 28);
                assert_eq!(OWN.with(|own| own.get()), i);
            });
        }
    });
    println!("scope {} {}", lock.read().unwrap(), leaders.load(Ordering::SeqCst));

    let named = thread::Builder::new().name("named".into()).stack_size(256 * 1024);
    let name = named.spawn(|| thread::current().name().map(str::to_owned)).unwrap();
    println!("name {:?}", name.join().unwrap());

    std::panic::set_hook(Box::new(|_| {}));
    let poisoned = Arc::new(Mutex::new(()));
    let other = Arc::clone(&poisoned);
    let panicked = thread::spawn(move || {
        let _held = other.lock().unwrap();
        panic!("on purpose");
    });
    println!("panic {} {}", panicked.join().is_err(), poisoned.lock().is_err());
}
