// Asks before the snapshots that the sources keep for the next increment to a destination are unpinned.
import { options } from "../model/bus";
import type { Drive } from "../model/drives";
import { _, filled } from "../model/text";
import { Dialog } from "./parts";
import { useAction, useBus } from "./store";

/** `backup` is the one whose snapshots are unpinned; without it those of all backups. */
export function UnpinDialog({ drive, backup, onClose }: { drive: Drive; backup?: string; onClose(): void }) {
    const bus = useBus();
    const action = useAction();
    const submit = async (): Promise<void> => {
        const done = await action.run(async () => {
            await bus.call(drive.path, "Destination", "Unpin", [options(backup === undefined ? {} : { backup })]);
        });
        if (done) onClose();
    };
    return (
        <Dialog
            title={filled(_("Keep nothing for {drive}?"), { drive: drive.title })}
            verb={_("Keep nothing")}
            danger
            busy={action.busy}
            error={action.error}
            onClose={onClose}
            onSubmit={() => void submit()}
        >
            <p>
                {_(
                    "Beside the source this machine keeps the last snapshot that the drive has, also while the drive is away, so that the next backup sends only what changed since then.",
                )}
            </p>
            <p>{_("Without it there is more space beside the source, and the next backup to the drive sends more: what changed since an older snapshot that both have, or everything.")}</p>
            <p>{_("What is on the drive stays.")}</p>
        </Dialog>
    );
}
