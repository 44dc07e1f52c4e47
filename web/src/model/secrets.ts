// What needs a passphrase. Cockpit's D-Bus cannot pass a descriptor, so the command line does it: it reads the passphrase from its
// standard input. The passphrase is in no argument and in no message of this page.
import { butterdock } from "./command";

/** Unlocks an encrypted drive. */
export async function unlock(id: string, passphrase: string): Promise<void> {
    await butterdock(["unlock", "--key-file", "-", "--", id], passphrase);
}

export interface EncryptedEnrolment {
    id: string;
    /** Erase the drive and encrypt it: its serial number, or its size if it has none. Without it the drive is encrypted already. */
    erase?: { serial: string; label: string };
    /** Unlock it when it is plugged in, with a key file of its own. */
    keepKey: boolean;
    unmount: boolean;
}

/** Enrols an encrypted drive, or encrypts it first. */
export async function enrolEncrypted(order: EncryptedEnrolment, passphrase: string): Promise<void> {
    const command = ["enrol", "--key-file", "-"];
    if (order.erase) {
        command.push("--format", "--encrypt", `--label=${order.erase.label}`, `--yes-erase=${order.erase.serial}`);
    }
    if (order.keepKey) command.push("--keep-key");
    if (order.unmount) command.push("--unmount");
    await butterdock([...command, "--", order.id], passphrase);
}
