//! Encrypted drives: their secrets and keys.

use super::*;
use crate::device::simulated::{Moment, Step};

#[test]
fn a_wrong_secret_leaves_the_drive_locked() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, true);
        let (fixture, id) = enrolled(&drive).await;
        fixture.devices.plug(&drive);
        fixture.quiet().await;
        assert_eq!(fixture.state(&id), Some(DriveState::Locked));
        let error = fixture.drives().unlock_with(&id, b"wrong").await.expect_err("wrong");
        assert!(error.to_string().contains("passphrase or key is wrong"), "{error}");
        assert_eq!((error.code(), fixture.problem(&id)), (crate::types::ErrorCode::WrongPassphrase, String::new()));
        fixture.quiet().await;
        assert_eq!(fixture.state(&id), Some(DriveState::Locked));
        fixture.drives().unlock_with(&id, PASSPHRASE).await.expect("unlocked");
        fixture.quiet().await;
        assert_eq!((fixture.state(&id), fixture.ends()[0]), (Some(DriveState::Safe), JobState::Succeeded));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_safe_encrypted_drive_can_be_unlocked_again() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, true);
        let (fixture, id) = enrolled(&drive).await;
        back_up(&fixture, &drive, &id).await;
        assert_eq!(fixture.state(&id), Some(DriveState::Safe));
        fixture.drives().unlock_with(&id, b"wrong").await.expect_err("wrong");
        fixture.quiet().await;
        fixture.check_at_rest(std::slice::from_ref(&drive));
        fixture.drives().unlock_with(&id, PASSPHRASE).await.expect("unlocked");
        fixture.settle().await;
        assert_eq!(fixture.state(&id), Some(DriveState::Mounted));
    });
}

#[test]
fn a_configured_key_unlocks_and_a_wrong_one_is_a_problem() {
    for (secret, problem) in [(PASSPHRASE, ""), (b"wrong".as_slice(), "the passphrase or key is wrong")] {
        run(async {
            let drive = SimulatedDrive::new("blue", 1, true);
            let (fixture, id) = enrolled(&drive).await;
            let file = fixture.home.path().join("key");
            std::fs::write(&file, secret).expect("written");
            std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
            fixture.reload(&format!("drives.key_file = [ {{ drive = \"{id}\", file = {file:?} }} ]")).await;
            fixture.devices.plug(&drive);
            fixture.quiet().await;
            let problem_shown = fixture.problem(&id);
            assert!(
                problem_shown.ends_with(problem) && problem_shown.is_empty() == problem.is_empty(),
                "{problem_shown}"
            );
            let state = if problem.is_empty() { DriveState::Safe } else { DriveState::Locked };
            assert_eq!(fixture.state(&id), Some(state));
            fixture.check_at_rest(&[drive]);
        });
    }
}

#[test]
fn a_drive_of_which_one_container_is_unlocked_is_not_safe() {
    run(async {
        let drive = SimulatedDrive::new("blue", 2, true);
        let (fixture, id) = enrolled(&drive).await;
        back_up(&fixture, &drive, &id).await;
        assert_eq!(fixture.state(&id), Some(DriveState::Safe));
        let (devices, same) = (fixture.devices.clone(), drive.clone());
        let second = move || devices.refuse(&same, Step::Unlock, "the passphrase or key is wrong", 1);
        fixture.devices.at_step(1, Moment::Before, second);
        fixture.drives().unlock_with(&id, PASSPHRASE).await.expect_err("the second has another passphrase");
        fixture.settle().await;
        assert!(fixture.devices.is_unlocked(&drive));
        fixture.check_at_rest(std::slice::from_ref(&drive));
        assert_ne!(fixture.state(&id), Some(DriveState::Safe));
        fixture.drives().unlock_with(&id, PASSPHRASE).await.expect("the second too");
        fixture.settle().await;
        assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Mounted), String::new()));
    });
}
