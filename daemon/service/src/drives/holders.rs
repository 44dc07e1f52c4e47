//! Who uses a mounted drive.

use std::fs;
use std::path::Path;

/// So many are named.
const MOST: usize = 5;

/// That the drive at `at` is in use, and by whom, as far as /proc tells.
pub(super) fn sentence(at: &Path) -> String {
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let process = entry.path();
        let pid = entry.file_name().into_string().unwrap_or_default();
        if !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()) && uses(&process, at) {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            names.push(format!("{} ({pid})", super::text::shown(&name)));
        }
    }
    let more = if names.len() > MOST { " and others" } else { "" };
    names.truncate(MOST);
    let by = if names.is_empty() {
        format!("something that the service cannot see (fuser -vm {} can)", at.display())
    } else {
        names.join(", ")
    };
    format!("{} is used by {by}{more}; end that, then try again", at.display())
}

fn uses(process: &Path, at: &Path) -> bool {
    let leads = |link: &Path| fs::read_link(link).is_ok_and(|target| target.starts_with(at));
    let open = || fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    leads(&process.join("cwd")) || leads(&process.join("root")) || open().any(|entry| leads(&entry.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_file_open_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let quiet = sentence(folder.path());
        assert!(quiet.contains("cannot see (fuser -vm /"), "{quiet}");
        let _open = fs::File::create(folder.path().join("file")).expect("made");
        let told = sentence(folder.path());
        assert!(told.contains(&format!("({})", std::process::id())), "{told}");
    }
}
