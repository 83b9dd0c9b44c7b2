use super::*;
use crate::xsk::frame::FrameAddr;

fn addresses(range: std::ops::Range<u64>) -> Vec<FrameAddr> {
    range.map(FrameAddr).collect()
}

fn drain(consumer: &mut Consumer<FrameAddr>) -> Vec<FrameAddr> {
    let entries = std::iter::from_fn(|| consumer.pop()).collect();
    consumer.release();
    entries
}

#[test]
fn entries_show_up_when_published_and_make_room_when_released() {
    let (mut producer, mut consumer) = Ring::pair(4).unwrap();
    for address in addresses(0..4) {
        producer.push(address).unwrap();
    }
    assert_eq!((producer.room(), producer.unconsumed()), (0, 4));
    assert_eq!((consumer.pop(), consumer.available()), (None, 0));
    producer.publish();
    assert_eq!(producer.push(FrameAddr(9)), Err(FrameAddr(9)));
    assert_eq!((consumer.available(), producer.ring().waiting()), (4, 4));
    assert_eq!((consumer.pop(), consumer.pop()), (Some(FrameAddr(0)), Some(FrameAddr(1))));
    assert!(producer.is_full());
    consumer.release();
    assert_eq!((producer.room(), producer.is_full()), (2, false));
    assert_eq!(drain(&mut consumer), addresses(2..4));
    assert_eq!(producer.unconsumed(), 0);
}

#[test]
fn indices_wrap_around() {
    let mapping = Mapping::anonymous(4096).unwrap();
    let offsets = Offsets { producer: 0, consumer: 64, flags: 128, entries: 192 };
    let ring = Ring::new(mapping, offsets, 8);
    for index in [ring.producer(), ring.consumer()] {
        index.store(u32::MAX - 3, Ordering::Relaxed);
    }
    let (mut producer, mut consumer) = (Producer::new(ring.clone()), Consumer::new(ring.clone()));
    for round in 0..3 {
        let batch = addresses(round * 7..round * 7 + 7);
        for address in &batch {
            producer.push(*address).unwrap();
        }
        producer.publish();
        assert_eq!(consumer.available(), 7);
        assert_eq!(drain(&mut consumer), batch);
    }
    assert_eq!(ring.producer().load(Ordering::Relaxed), 17);
}

#[test]
fn the_kernel_asks_to_be_woken_by_a_flag() {
    let (producer, _consumer) = Ring::<FrameAddr>::pair(8).unwrap();
    assert!(!producer.needs_wakeup());
    producer.ring().word(128).store(NEED_WAKEUP, Ordering::Release);
    assert!(producer.needs_wakeup());
}

#[test]
#[should_panic = "no power of two"]
fn capacities_are_powers_of_two() {
    let _ = Ring::<FrameAddr>::pair(12);
}

#[test]
fn both_sides_may_run_at_the_same_time() {
    let count = if cfg!(miri) { 300 } else { 200_000 };
    let (mut producer, mut consumer) = Ring::pair(16).unwrap();
    let writer = std::thread::spawn(move || {
        for number in 0..count {
            while producer.push(FrameAddr(number)).is_err() {
                std::thread::yield_now();
            }
            // Batches of different lengths.
            if number % 5 == 0 || producer.is_full() {
                producer.publish();
            }
        }
        producer.publish();
    });
    for number in 0..count {
        let entry = loop {
            match consumer.pop() {
                Some(entry) => break entry,
                None => std::thread::yield_now(),
            }
        };
        assert_eq!(entry, FrameAddr(number));
        if number % 3 == 0 || consumer.available() == 16 {
            consumer.release();
        }
    }
    writer.join().unwrap();
}
