//! No room.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Result, ensure};
use butterdock_tests::snapshot::Proto;
use butterdock_tests::trees::Content;
use butterdock_tests::{Layout, Receiver, Sandbox, TIMEOUT, Volume, run};
use rustix::fs::{FallocateFlags, fallocate};

use crate::source::{Source, failed_with, is_empty};

const NO_ROOM: &[&str] = &["no space", "enospc", "full"];

/// A volume of 256 MiB gets more than that.
fn does_not_fit(
    proto: Proto,
    fill: impl FnOnce(&Path) -> Result<()>,
    prepare: impl FnOnce(&Volume) -> Result<()>,
) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let source = Source::of(&sandbox, proto, fill)?;
    let layout = Layout { mkfs: vec!["-m".into(), "single".into()], ..Layout::sized(256, "") };
    let volume = sandbox.volume("ours", &layout)?;
    let into = volume.join("into");
    fs::create_dir(&into)?;
    prepare(&volume)?;
    let finished = run(Receiver::Ours.command()?.arg("-f").arg(&source.stream).arg(&into), TIMEOUT)?;
    failed_with(&finished, NO_ROOM)?;
    is_empty(&into)
}

fn large(content: Content, mebibytes: usize) -> impl FnOnce(&Path) -> Result<()> {
    move |live| {
        let block = content.bytes(8 << 20, 7);
        for number in 0..mebibytes / 8 {
            fs::write(live.join(format!("f{number}")), &block)?;
        }
        Ok(())
    }
}

#[test]
fn plain_data_that_does_not_fit_is_an_error_that_says_so() -> Result<()> {
    does_not_fit(Proto::One, large(Content::Noise, 320), |_| Ok(()))
}

#[test]
fn encoded_data_that_does_not_fit_is_an_error_that_says_so() -> Result<()> {
    does_not_fit(Proto::TwoCompressed, large(Content::Digits, 640), |_| Ok(()))
}

#[test]
fn metadata_that_does_not_fit_is_an_error_that_says_so() -> Result<()> {
    let many = |live: &Path| {
        for folder in 0..50 {
            let folder = live.join(folder.to_string());
            fs::create_dir(&folder)?;
            for file in 0..400 {
                fs::write(folder.join(file.to_string()), Content::Noise.bytes(2000, 1))?;
            }
        }
        Ok(())
    };
    does_not_fit(Proto::One, many, |volume| {
        // Data gets all that is not given to anything yet; small files go where the metadata is, and that cannot grow.
        let filler = File::create(volume.join("filler"))?;
        let mut len = 0;
        while fallocate(&filler, FallocateFlags::empty(), len, 4 << 20).is_ok() {
            len += 4 << 20;
            ensure!(len < 512 << 20, "the volume takes everything");
        }
        Ok(())
    })
}
