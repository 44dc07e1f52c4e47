// What is wrong, in words for the owner of a NAS: by the code of the service, with what to do.
import { size } from "./format";
import { _, counted, filled } from "./text";

/** A code, its parameters, and the service's English sentence. */
export type Problem = readonly [code: string, params: Readonly<Record<string, unknown>>, english: string];

export interface Worded {
    code: string;
    severity: "danger" | "warning" | "info";
    title: string;
    remedy: string;
}

type Words = (params: Readonly<Record<string, string>>) => [severity: Worded["severity"], title: string, remedy: string];

/** The words of a problem. One that this page does not know keeps the service's sentence. */
export function worded([code, params, english]: Problem): Worded {
    const words = WORDS[code];
    if (!words) return { code, severity: "warning", title: english, remedy: "" };
    const texts = Object.fromEntries(
        Object.entries(params).map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : String(value)]),
    );
    const [severity, title, remedy] = words(texts);
    return { code, severity, title: filled(title, texts), remedy: filled(remedy, texts) };
}

const count = (params: Readonly<Record<string, string>>, name: string): number => Number(params[name] ?? 0);

/** What the error of a backup means. The reason is a sentence of the service without a path. */
function failed(params: Readonly<Record<string, string>>): string {
    const words = ERRORS[(params.error ?? "").split(".").pop() ?? ""];
    return words ? words() : (params.reason ?? "");
}

/** What an error of the service means, where the service's sentence speaks to users of the command line. */
export const ERRORS: Record<string, () => string> = {
    NotAuthorized: () => _("You may not do this. Turn on administrative access, or ask an administrator."),
    Busy: () => _("It is busy with another job. Try again when that has ended."),
    NoSpace: () => _("The drive is full. Keep fewer snapshots, or take a larger drive."),
    DeviceGone: () => _("The drive is not attached. Plug it in and try again."),
    WrongPassphrase: () => _("This passphrase does not open the drive. Nothing has changed; try again."),
    StaleRevision: () => _("Somebody changed the settings meanwhile. Look at them again, then repeat your change."),
    Cancelled: () => _("It was stopped."),
    Held: () => _("The snapshot is held. Release it first."),
    Exists: () => _("There is something of this name already."),
};

const WORDS: Record<string, Words> = {
    "backup-failed": (p) => ["danger", _("The backup {backup} failed"), failed(p)],
    "backup-interrupted": (p) => ["warning", _("The backup {backup} was interrupted"), failed(p)],
    "backup-not-begun": (p) => ["danger", _("The backup {backup} could not begin"), failed(p)],
    "drive-became-read-only": () => [
        "danger",
        _("The drive stopped accepting data"),
        _("Check the drive and its cable, then plug it in again. Everything that was reported as done is on it."),
    ],
    "drive-changed": () => ["warning", _("The drive changed while it was in use"), _("Plug it in again.")],
    "drive-cloned": () => [
        "danger",
        _("A copy of this drive is attached: {devices}"),
        _("Unplug the copy. Neither is used while both are attached."),
    ],
    "drive-cryptsetup-missing": () => [
        "danger",
        _("Encrypted drives cannot be unlocked"),
        _("Install the package cryptsetup on this machine."),
    ],
    "drive-damaged": (p) => [
        "danger",
        counted("{n} damaged block was found on the drive", "{n} damaged blocks were found on the drive", count(p, "blocks")),
        _("Replace the drive, or delete the damaged snapshots and verify it again."),
    ],
    "drive-degraded": () => [
        "danger",
        _("{missing} of {count} devices of this drive are missing"),
        _("Plug in the missing devices. Without them the drive can be read, but takes no backup."),
    ],
    "drive-device-added": () => [
        "warning",
        _("The drive has one more device than when it was enrolled"),
        _("Forget the drive and enrol it again with all its devices."),
    ],
    "drive-device-count": () => [
        "warning",
        _("The drive has another number of devices than when it was enrolled"),
        _("Plug in all devices. If one was added or removed, forget the drive and enrol it again."),
    ],
    "drive-enrolled-again": () => [
        "warning",
        _("The drive was enrolled again elsewhere"),
        _("Forget the drive and enrol it again."),
    ],
    "drive-failed": () => ["danger", _("The drive cannot be used: {reason}"), _("Correct the cause, then plug the drive in again.")],
    "drive-failing": () => [
        "danger",
        _("The drive says that it is failing"),
        _("Back up to another drive, and replace this one: it may lose its data at any time."),
    ],
    "drive-full": () => [
        "danger",
        _("The drive is full"),
        _("Back up: that deletes old snapshots. If it frees too little, keep fewer snapshots."),
    ],
    "drive-in-use": () => [
        "warning",
        _("Programs are using the drive"),
        _("End the programs that use it, then remove it safely again."),
    ],
    "drive-incomplete": () => [
        "warning",
        _("{missing} of {count} devices of this drive are missing"),
        _("Plug in all devices of the drive."),
    ],
    "drive-key-file": () => [
        "danger",
        _("Others than root can read the key file of the drive"),
        _("Give the key file to root alone (mode 600)."),
    ],
    "drive-locked": () => ["info", _("The drive is locked"), _("Unlock it with its passphrase to use it.")],
    "drive-log-damaged": () => [
        "danger",
        _("The log of the filesystem is damaged"),
        _("Run “btrfs rescue zero-log” on the unmounted drive, then plug it in again. The snapshots of finished backups stay."),
    ],
    "drive-log-write-protected": () => [
        "warning",
        _("The drive is write-protected and must be repaired"),
        _("Switch its write protection off, then plug it in again."),
    ],
    "drive-lost-writes": () => [
        "danger",
        _("The drive lost data that you wrote to it"),
        _("Check the drive and its cable, plug it in again, and check the files that you wrote to it yourself."),
    ],
    "drive-mount-point-in-use": () => [
        "danger",
        _("The place where the drive is mounted is in use"),
        _("Unmount what is mounted below the run directory of butterdockd, or remove the files there."),
    ],
    "drive-mounted-elsewhere": () => [
        "warning",
        _("Another program has mounted the drive"),
        _("Unmount it there. What is due then begins by itself."),
    ],
    "drive-not-responding": () => [
        "danger",
        _("The drive does not respond"),
        _("Check the drive and its cable, then plug it in again."),
    ],
    "drive-not-writable": () => [
        "danger",
        _("The drive cannot be written"),
        _("Check the drive and its cable, then plug it in again. If that does not help, replace the drive."),
    ],
    "drive-older-copy": () => [
        "warning",
        _("This is an older copy of an enrolled drive"),
        _("Plug in the drive itself, or forget it and enrol this copy."),
    ],
    "drive-other-filesystem": () => [
        "warning",
        _("Another format is on the drive beside btrfs: {formats}"),
        _("If you want the backups on it, remove the other signatures (wipefs), then plug it in again. Do not format it."),
    ],
    "drive-pulled": () => [
        "warning",
        _("The drive was unplugged too early"),
        _("Plug it in again. The next backup sends what is missing."),
    ],
    "drive-superblock-damaged": () => [
        "danger",
        _("The filesystem of the drive is damaged"),
        _("Do not format it if you want its backups: “btrfs rescue” and “btrfs restore” read what is left."),
    ],
    "drive-token-missing": () => [
        "warning",
        _("The drive does not prove that it belongs to this machine"),
        _("If it is yours, forget it and enrol it again."),
    ],
    "drive-truncated": () => [
        "danger",
        _("The end of the drive is not accessible"),
        _("Connect it without the dock or enclosure that hides its end."),
    ],
    "drive-unlock-failed": (p) => [
        "danger",
        _("The drive could not be unlocked by itself"),
        p.error?.endsWith("WrongPassphrase")
            ? _("The stored key does not open it. Unlock it with its passphrase.")
            : (p.reason ?? ""),
    ],
    "drive-unlocked-elsewhere": () => [
        "warning",
        _("Another program has unlocked the drive"),
        _("Lock it in the program that unlocked it."),
    ],
    "drive-unplugged-in-use": () => [
        "warning",
        _("The drive was unplugged while you used it"),
        _("Plug it in again and check the files that you wrote to it yourself. Remove it safely next time."),
    ],
    "drive-unreadable": () => [
        "danger",
        _("The drive cannot be read: {missing} of {count} devices are missing"),
        _("Plug in the missing devices."),
    ],
    "drive-unrecorded": () => [
        "danger",
        _("The state of the drive cannot be recorded on this machine"),
        _("Make room on the system's disk, then plug the drive in again."),
    ],
    "drive-unsupported": () => [
        "warning",
        _("The format of this drive is not supported: {formats}"),
        _("Copy the stream files to a drive with btrfs, ext4, FAT or exFAT."),
    ],
    "drive-write-protected": () => [
        "warning",
        _("The drive is write-protected"),
        _("Switch its write protection off, then plug it in again."),
    ],
    "enrolment-unreadable": () => [
        "danger",
        _("The record of the drive {drives} cannot be read"),
        _("Enrol this drive again, or forget it. Until then no snapshot on this machine is deleted."),
    ],
    "no-drive": () => [
        "warning",
        _("The backup has no drive"),
        _("Enrol a drive for it, or choose another one in its settings."),
    ],
    "notification-failed": () => [
        "warning",
        _("Notifications over {channel} do not arrive"),
        _("Correct the channel in the configuration, then test it (butterdock notify test)."),
    ],
    "record-unreadable": () => [
        "danger",
        _("The record on the drive cannot be read"),
        _("Update butterdock, or forget the drive and enrol it again."),
    ],
    "record-unwritable": () => [
        "danger",
        _("The result of the backup cannot be recorded on this machine"),
        _("Make room on the system's disk, or make it writable."),
    ],
    "snapshots-replaced": () => [
        "danger",
        _("Another machine changed the snapshots of: {backups}"),
        _("Find out which machine did that, check them, and back up again."),
    ],
    "source-low-space": () => [
        "warning",
        _("Little space is left beside the source"),
        _("Free some space there, or back up to the drives that are away."),
    ],
    "verify-overdue": () => [
        "warning",
        _("The drive was not verified for a long time"),
        _("Leave the drive attached until a verify has ended."),
    ],
    "would-fail": (p) => ["warning", _("The next backup would fail"), p.reason ?? ""],
};

/** The codes that this page has words for. */
export const CODES: readonly string[] = Object.keys(WORDS);

/** What a failed call or command means. */
export function errorText(failure: unknown): string {
    const { name, message, problem } = failure as cockpit.Failure;
    if (problem === "not-found") return _("The command butterdock is not installed on this machine.");
    if (problem === "access-denied") return _("You may not do this. Turn on administrative access, or ask an administrator.");
    const words = ERRORS[(name ?? "").split(".").pop() ?? ""];
    return words ? words() : message;
}

/** Sizes in sentences. */
export const freeText = (free: number, total: number): string =>
    filled(_("{free} free of {total}"), { free: size(free), total: size(total) });
