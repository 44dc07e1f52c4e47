//! A slow input, and the limit of the rate.

use std::fs::File;
use std::io::Write as _;
use std::sync::mpsc::sync_channel;
use std::thread::{scope, sleep};
use std::time::Duration;

use butterdock_stream::{Encoder, Version};

use super::*;
use crate::observer::Silent;
use crate::throttle::Time as _;
use crate::throttle::simulated::Simulated;

/// Many small writes to one file, one at a time, so that each read brings a few of them.
fn write_slowly(mut to: File) {
    let mut encoder = Encoder::new(Version::V2);
    encoder.header();
    for n in 0..4500_u64 {
        encoder.command(&Command::Write { path: b"f", offset: n * 10, data: b"0123456789" }).unwrap();
        to.write_all(encoder.bytes()).unwrap();
        encoder.clear();
        sleep(Duration::from_millis(1));
    }
    encoder.command(&Command::End).unwrap();
    to.write_all(encoder.bytes()).unwrap();
}

#[test]
fn a_slow_input_does_not_hang_when_the_window_holds_all_blocks() {
    let control = Control::new().unwrap();
    let (errors, blocks) = (RunErrors::new(1, control.clone()), Blocks::default());
    let (input, output) = nix::unistd::pipe().unwrap();
    let spare = input.try_clone().unwrap();
    let (to, batches) = sync_channel(8);
    let reader = Reader::new(input.as_fd(), false, Limits::default(), to, &blocks, &control, &errors, &Silent, None);
    scope(|threads| {
        threads.spawn(|| write_slowly(output.into()));
        threads.spawn(|| reader.run());
        let mut written = 0;
        while let Ok(batch) = batches.recv_timeout(Duration::from_secs(20)) {
            assert!(matches!(batch.end, BatchEnd::More | BatchEnd::Ended), "{:?}", batch.end);
            written += batch.steps.len();
        }
        errors.stop();
        // If the reader has given up, the writer must not wait for it.
        std::io::copy(&mut File::from(spare), &mut std::io::sink()).unwrap();
        assert!(written > 1 && control.progress().counts.commands == 4501, "{written} steps");
    });
}

/// A stream of so many writes of 1000 bytes.
fn stream(writes: u64) -> Vec<u8> {
    let mut encoder = Encoder::new(Version::V2);
    encoder.header();
    for n in 0..writes {
        encoder.command(&Command::Write { path: b"f", offset: n * 1000, data: &[7; 1000] }).unwrap();
    }
    encoder.command(&Command::End).unwrap();
    encoder.bytes().to_vec()
}

#[test]
fn a_limited_reader_has_the_rate_in_bytes() {
    let time = Simulated::default();
    let control = Control::with_time(time.clone()).unwrap();
    control.set_max_rate(Some(1 << 20));
    let (errors, blocks) = (RunErrors::new(1, control.clone()), Blocks::default());
    let (input, output) = nix::unistd::pipe().unwrap();
    let (to, batches) = sync_channel(8);
    let reader = Reader::new(input.as_fd(), false, Limits::default(), to, &blocks, &control, &errors, &Silent, None);
    let stream = stream(8000);
    scope(|threads| {
        threads.spawn(|| File::from(output).write_all(&stream).unwrap());
        threads.spawn(|| reader.run());
        while let Ok(batch) = batches.recv() {
            // At each moment the run has read no more than the rate allows, and one read.
            let read = u128::from(control.progress().bytes);
            let allowed = time.now().as_micros() * (1 << 20) / 1_000_000 + 2 * (128 << 10);
            assert!(read <= allowed, "{read} > {allowed}");
            drop(batch);
        }
    });
    let (read, took) = (control.progress().bytes, time.now());
    assert_eq!(read, stream.len() as u64);
    assert!(took >= Duration::from_secs(7) && took <= Duration::from_secs(8), "{read} bytes in {took:?}");
}

#[test]
fn a_limited_reader_ends_at_once_when_it_is_cancelled() {
    let control = Control::new().unwrap();
    // 8 MB at this rate would take more than an hour, and one read half a minute.
    control.set_max_rate(Some(128));
    let (errors, blocks) = (RunErrors::new(1, control.clone()), Blocks::default());
    let (input, output) = nix::unistd::pipe().unwrap();
    let spare = input.try_clone().unwrap();
    let (to, batches) = sync_channel(8);
    let reader = Reader::new(input.as_fd(), false, Limits::default(), to, &blocks, &control, &errors, &Silent, None);
    let began = std::time::Instant::now();
    scope(|threads| {
        threads.spawn(|| File::from(output).write_all(&stream(8000)).unwrap());
        let reader = threads.spawn(|| reader.run());
        // The first read needs no wait.
        while control.progress().bytes == 0 {
            std::thread::yield_now();
        }
        control.cancel();
        errors.stop();
        reader.join().unwrap();
        drop(batches);
        std::io::copy(&mut File::from(spare), &mut std::io::sink()).unwrap();
    });
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
